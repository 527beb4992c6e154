"""A layer's weights by name, from either file format, checked before anything uses them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import numpy as np

from gateformer.quant.errors import ModelError
from gateformer.quant.frontends.h5_store import Store
from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.types import FloatArray

SUBLAYERS = {"attention_output": "output"}
"""Variable scope of attention's sublayers -> their attribute, where the two differ."""

ROOTS = ("layers", "_layer_checkpoint_dependencies")
"""Group of a model's layers in an archive: now, and in Keras 2.12."""


class Weights(Protocol):
    """Where weights come from."""

    def find(self, layer: LayerConfig, name: str, index: int) -> FloatArray | None:
        """Weight ``name`` (``query/kernel``), the ``index``-th of its (sub)layer, or None."""

    def at(self, layer: LayerConfig, path: str, index: int) -> FloatArray | None:
        """Variable ``index`` of the part of a layer at a path, or None."""


class LegacyWeights:
    """Weights of an ``.h5`` file: a group a top-level layer, variables by name."""

    def __init__(self, store: Store, root: str) -> None:
        self._store = store
        self._root = root
        self._names: dict[str, list[str]] = {}

    def find(self, layer: LayerConfig, name: str, index: int) -> FloatArray | None:
        """By the end of the variable's name; narrowed by layer and model where several fit."""
        group = f"{self._root}/{layer.names[0]}"
        if group not in self._names:
            self._names[group] = self._store.names(group, "weight_names")
        wanted = tuple(name.split("/"))
        found = [n for n in self._names[group] if tuple(_parts(n)[-len(wanted) :]) == wanted]
        for depth in range(1, len(layer.names) + 1):
            if len(found) < 2:
                break
            tail = (*layer.names[-depth:], *wanted)
            found = [n for n in found if tuple(_parts(n)[-len(tail) :]) == tail] or found
        if len(found) != 1:
            return None
        return self._store.tensor(f"{group}/{found[0]}")

    def at(self, layer: LayerConfig, path: str, index: int) -> FloatArray | None:
        """None: variables have names here, not places."""
        return None


class ArchiveWeights:
    """Weights of a ``.keras`` archive: groups by class, variables by number."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, layer: LayerConfig, name: str, index: int) -> FloatArray | None:
        """By place among siblings of a class."""
        sub = name.rpartition("/")[0]
        attribute = SUBLAYERS.get(sub, sub)
        inner = [f"/{attribute}_dense", f"/_{attribute}_dense"] if sub else [""]
        for root in ROOTS:
            place = "/".join(f"{root}/{part}" for part in layer.places)
            for part in inner:
                found = self._store.tensor(f"{place}{part}/vars/{index}")
                if found is not None:
                    return found
        return None

    def at(self, layer: LayerConfig, path: str, index: int) -> FloatArray | None:
        """By the attributes that lead to the part."""
        place = "/".join(f"{ROOTS[0]}/{part}" for part in layer.places)
        return self._store.tensor(f"{place}/{path}/vars/{index}")


class LayerWeights:
    """Weights of one layer, taken in the order in which Keras creates them.

    Parameters
    ----------
    layer : LayerConfig
        The layer.
    source : Weights
        The file.
    """

    def __init__(self, layer: LayerConfig, source: Weights) -> None:
        self._layer = layer
        self._source = source
        self._taken: Counter[str] = Counter()

    def take(
        self,
        name: str,
        shape: tuple[int | None, ...],
        quantizer: Callable[[FloatArray], FloatArray] | None = None,
    ) -> FloatArray:
        """Weight as the layer computes with it.

        Parameters
        ----------
        name : str
            ``kernel``, or ``query/kernel`` of a sublayer.
        shape : tuple of int or None
            Expected sizes; None where any will do.
        quantizer : callable, optional
            Applied to the file's shadow weights.

        Raises
        ------
        ModelError
            E104 missing or misshapen, E105 NaN or infinite.
        """
        scope = name.rpartition("/")[0]
        index = self._taken[scope]
        self._taken[scope] += 1
        try:
            found = self._source.find(self._layer, name, index)
        except ModelError as error:
            raise error.at(self._layer.name) from None
        if found is None:
            raise self._error("E104", "missing weights", f"the file does not hold its '{name}'")
        if len(found.shape) != len(shape) or any(
            want is not None and want != have for want, have in zip(shape, found.shape, strict=True)
        ):
            sizes = ", ".join("any" if n is None else str(n) for n in shape)
            cause = f"'{name}' has shape {found.shape}, the configuration says ({sizes})"
            raise self._error("E104", "misshapen weights", cause)
        if not np.isfinite(found).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0])
            cause = f"'{name}' is {found[where]} at {where}"
            raise self._error("E105", "NaN or infinite weights", cause, "train again")
        return found if quantizer is None else quantizer(found)

    def at(self, path: str, index: int) -> FloatArray | None:
        """Variable ``index`` of a part of the layer, as it is in the file; None if it is not."""
        try:
            return self._source.at(self._layer, path, index)
        except ModelError as error:
            raise error.at(self._layer.name) from None

    def _error(
        self, code: str, what: str, cause: str, fix: str = "save the model again"
    ) -> ModelError:
        kind = self._layer.kind
        return ModelError(code, what, layer=self._layer.name, kind=kind, cause=cause, fix=fix)


def _parts(name: str) -> list[str]:
    return re.sub(r":\d+$", "", name).split("/")
