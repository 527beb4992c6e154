"""``gateformer.compile``: a design as a Python callable that computes what its hardware computes.

Owns ``compile`` and ``Model``. Imports the flow's steps and the compiled HLS project.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gateformer.flow.files import disk_full
from gateformer.hw.hls.project import Project
from gateformer.quant.errors import DataError, GateformerError, Problems
from gateformer.quant.graph import Graph
from gateformer.quant.types import FloatArray, IntArray
from gateformer.sim.hls.program import Compiled

Inputs = Any
"""An array for a model of one input, or a mapping of input to array."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Model:
    """A design whose HLS C++ is compiled: every integer is the hardware's.

    Attributes
    ----------
    graph : Graph
        The integer graph that the sources were made of; its values carry the types.
    compiled : Compiled
        The program.
    """

    graph: Graph
    compiled: Compiled

    def __repr__(self) -> str:
        chosen = self.project.settings
        return f"Model({self.graph.name!r}, {chosen.backend}, {chosen.io_type})"

    @property
    def project(self) -> Project:
        """The HLS project."""
        return self.compiled.project

    @property
    def folder(self) -> Path:
        """Where the sources and the program are."""
        return self.compiled.program.parent

    def predict(self, x: Inputs) -> FloatArray | dict[str, FloatArray]:
        """Run reals: they are quantized to the nearest step of the input types and saturate.

        Parameters
        ----------
        x : array_like, (n, *shape), or mapping of str to array_like
            Reals, by input where there are several; a padding mask is 1 where a token counts.

        Returns
        -------
        ndarray of float64, (n, *shape), or dict of str to ndarray
            By output where there are several.

        Raises
        ------
        DataError
            E602, E610 or E611 for data that are no numbers, missing or misshapen, E620 for NaN.
        """
        given = self._gathered(x, reals=True)
        raw = {name: self.graph.from_real(name, given[name]) for name in given}
        made = self._made(raw)
        return self._alone({name: self.graph.to_real(name, made[name]) for name in made})

    def run(self, raw: Inputs) -> IntArray | dict[str, IntArray]:
        """Run raw integers of the input types; returns raw integers of the output types.

        Parameters
        ----------
        raw : array_like of int, (n, *shape), or mapping of str to array_like
            By input where there are several.

        Returns
        -------
        ndarray of int, (n, *shape), or dict of str to ndarray
            By output where there are several.

        Raises
        ------
        DataError
            E602, E610 or E611 for data that are no integers, missing, misshapen or beyond their
            type.
        """
        return self._alone(self._made(self._gathered(raw, reals=False)))

    def _gathered(self, x: Inputs, reals: bool) -> dict[str, NDArray[Any]]:
        """Return an array for each input; all faults at once."""
        names = self.graph.inputs
        given = x if isinstance(x, Mapping) else {names[0]: x}
        faults: list[GateformerError] = [
            DataError("E610", f"no data for input '{name}'", fix="pass every input")
            for name in names
            if name not in given
        ]
        faults += [
            DataError(
                "E611", f"no input is called '{name}'", cause=f"The model takes {', '.join(names)}"
            )
            for name in given
            if name not in names
        ]
        found: dict[str, NDArray[Any]] = {}
        for name in (name for name in names if name in given):
            try:
                found[name] = numbers(given[name], reals)
            except (TypeError, ValueError, OverflowError) as error:
                faults.append(
                    DataError("E602", f"input '{name}' is no array of numbers", cause=str(error))
                )
                continue
            shape = self.graph.values[name].shape
            if found[name].ndim < 1 or found[name].shape[1:] != shape:
                alone = "; a single frame is x[None]" if found[name].shape == shape else ""
                faults.append(
                    DataError(
                        "E611",
                        f"input '{name}' has shape {found[name].shape}",
                        cause=f"The model takes (n, {', '.join(map(str, shape))}){alone}",
                        fix="reshape the data",
                    )
                )
        Problems.raise_if_any(faults)
        return found

    def _made(self, raw: Mapping[str, IntArray]) -> dict[str, IntArray]:
        with telling_full_disk(Path(tempfile.gettempdir())):
            made = self.compiled.run(raw)
        return {name: made[name].reshape(-1, *self.graph.values[name].shape) for name in made}

    def _alone(self, outputs: dict[str, NDArray[Any]]) -> Any:
        """Return the only output as it is, several by name."""
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs


@contextmanager
def telling_full_disk(folder: Path) -> Iterator[None]:
    """Raise E701 for what a full disk does to files in a folder."""
    try:
        yield
    except OSError as error:
        if full := disk_full(folder, error):
            raise full from error
        raise


def numbers(data: object, reals: bool) -> NDArray[Any]:
    """Return data as an array of numbers, in float64 where they are reals.

    Raises
    ------
    TypeError, ValueError, OverflowError
        With the reason, where they are no numbers.
    """
    array = np.asarray(data)
    if array.dtype.kind not in "biufO":
        raise TypeError(f"its elements are {array.dtype}")
    if array.dtype.kind == "O":
        kind = Real if reals else Integral
        for value in array.flat:
            if not isinstance(value, kind):
                raise TypeError(f"it holds {type(value).__name__}")
    return array.astype(np.float64) if reals else array


def compile(
    design: str | Path,
    *,
    backend: Literal["vitis", "vivado", "quartus", "oneapi"] | None = None,
    io_type: Literal["io_parallel", "io_stream"] | None = None,
    overrides: Iterable[str] = (),
    folder: str | Path | None = None,
) -> Model:
    """Generate a design's HLS project and compile it with g++.

    Parameters
    ----------
    design : str or Path
        A ``design.toml``, its folder, or a model file.
    backend : {"vitis", "vivado", "quartus", "oneapi"}, optional
        Whose project; the configuration's ``hls.backend`` by default.
    io_type : {"io_parallel", "io_stream"}, optional
        How tensors travel; the configuration's ``hls.io_type`` by default.
    overrides : iterable of str
        ``key=value``, as for the option ``-o``.
    folder : str or Path, optional
        Folder of finished builds and logs, in place of the configuration's cache.

    Returns
    -------
    Model
        With ``predict`` on reals and ``run`` on raw integers.

    Raises
    ------
    GateformerError
        Where the design cannot be read, generated or compiled; E701 where the disk is full.
    """
    from gateformer.config.read import load
    from gateformer.flow.cache import cache_folder
    from gateformer.flow.steps.hls import project_of
    from gateformer.flow.steps.lowering import Lower
    from gateformer.flow.view import Memory
    from gateformer.sim.hls.build import compile_project

    given = list(overrides)
    given += [f"hls.backend={backend}"] if backend is not None else []
    given += [f"hls.io_type={io_type}"] if io_type is not None else []
    view = Memory(load(Path(design), given))
    project = project_of(view)
    place = cache_folder(view.config, "hls") if folder is None else Path(folder)
    with telling_full_disk(place):
        compiled = compile_project(project, place, place)
    return Model(view.get(Lower).graph, compiled)
