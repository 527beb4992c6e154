"""A parsed ONNX model as plain data: no protobuf beyond this point.

Owns ``Node``, ``Model`` and ``Const``. Imports errors and types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.errors import ModelError
from gateformer.quant.types import FloatArray

HEADLINES = {
    "E102": "unsupported layer",
    "E103": "malformed layer configuration",
    "E104": "missing or misshapen weights",
    "E105": "NaN or infinite weights",
    "E107": "model too large",
    "E109": "unsupported quantizer",
    "E112": "inconsistent shapes",
    "E114": "unsupported connection between layers",
}
"""What happened, by the code of an error about a node."""


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """The whole steps behind quantized constants: ``array = raw scale``.

    Attributes
    ----------
    raw : ndarray of float64
        Whole numbers, the zero point taken away.
    scale : ndarray of float64
        Broadcasts to ``raw``, which has its rank.
    """

    raw: FloatArray
    scale: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Const:
    """A tensor known at import; ``steps`` where a quantizer made it."""

    array: NDArray[Any]
    steps: Steps | None = None

    @property
    def reals(self) -> FloatArray:
        """As float64."""
        return self.array.astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation of the file.

    Attributes
    ----------
    name : str
        Its name in the graph under construction.
    kind, domain : str
        What it does; the domain of standard ONNX is "".
    version : int
        Version of its domain's operations that the file was written for.
    inputs : tuple of str
        Tensors; "" is an input left out.
    outputs : tuple of str
        Tensors.
    attributes : mapping of str to object
        Numbers, strings, tuples of them, and arrays.
    """

    name: str
    kind: str
    domain: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def error(
        self, cause: str, fix: str = "export the model again", code: str = "E103"
    ) -> ModelError:
        """Return an error about this node (E103 unless told)."""
        kind = f"{self.domain}.{self.kind}" if self.domain else self.kind
        what = HEADLINES[code]
        return ModelError(code, what, layer=self.name, kind=kind, cause=cause, fix=fix)

    def unsupported(self, cause: str, fix: str) -> ModelError:
        """E102 about this node."""
        return self.error(cause, fix, "E102")

    def integer(self, key: str, default: int | None = None) -> int:
        """Integer attribute."""
        value = self.attributes.get(key, default)
        if not isinstance(value, int):
            raise self.error(f"its attribute '{key}' is {value!r}, not an integer")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Finite number."""
        value = self.attributes.get(key, default)
        if not isinstance(value, (int, float)) or not np.isfinite(value):
            raise self.error(f"its attribute '{key}' is {value!r}, not a finite number")
        return float(value)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string attribute."""
        value = self.attributes.get(key, default)
        if not isinstance(value, str):
            raise self.error(f"its attribute '{key}' is {value!r}, not a string")
        return value

    def integers(self, key: str) -> tuple[int, ...] | None:
        """List of integers, or None where it is absent."""
        value = self.attributes.get(key)
        if value is None:
            return None
        if not isinstance(value, tuple) or not all(isinstance(i, int) for i in value):
            raise self.error(f"its attribute '{key}' is no list of integers")
        return value


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """An input; a dimension that is not fixed is None."""

    name: str
    dims: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A whole file, its nodes in topological order."""

    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Const]
