"""Vectors: the integers that every simulator gets, and those that must come out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateformer.config.schema import Config
from gateformer.flow.data import data_files
from gateformer.flow.step import Outcome, Step, View
from gateformer.flow.steps.importing import Import
from gateformer.flow.steps.lowering import Lower
from gateformer.quant.types import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames in, frames out.

    Attributes
    ----------
    inputs, outputs : mapping of str to ndarray of int, (n, *shape)
        Raw integers by value.
    real : int
        How many come from the data; the rest are drawn.
    """

    inputs: Mapping[str, IntArray]
    outputs: Mapping[str, IntArray]
    real: int

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def first(self, count: int) -> Frames:
        """Return the first frames."""
        cut = {name: array[:count] for name, array in self.inputs.items()}
        out = {name: array[:count] for name, array in self.outputs.items()}
        return Frames(cut, out, min(self.real, count))


class Vectors(Step[Frames]):
    """Takes real data, quantized, and draws what is lacking."""

    name = "vectors"
    needs = (Import, Lower)
    uses = (
        "data",
        "simulate.seed",
        "simulate.icarus.vectors",
        "simulate.verilator.vectors",
        "hls.enabled",
        "hls.vectors",
    )

    def files(self, config: Config) -> Iterable[Path]:
        """Yield the data's file."""
        return data_files(config)

    def make(self, view: View) -> Frames:
        """Return as many frames as the largest simulation takes."""
        from gateformer.flow.data import read_samples
        from gateformer.flow.vectors import drawn, join, quantized
        from gateformer.quant.execute import run

        simulate = view.config.simulate
        count = max(simulate.icarus.vectors, simulate.verilator.vectors)
        if view.config.hls.enabled is not False:
            count = max(count, view.config.hls.vectors)
        graph = view.get(Lower).graph
        real = 0
        inputs: dict[str, IntArray] = {}
        if view.config.data.file is not None:
            samples = read_samples(view.config.data, view.get(Import), "test")
            real = min(count, len(samples))
            inputs = quantized(graph, samples.inputs, real)
        if real < count:
            more = drawn(graph, count - real, simulate.seed)
            inputs = join(inputs, more) if real else more
        return Frames(inputs, run(graph, inputs), real)

    def write(self, view: View, product: Frames, folder: Path) -> Outcome:
        """Write the frames."""
        arrays = {f"in/{name}": plain(array) for name, array in product.inputs.items()}
        arrays |= {f"out/{name}": plain(array) for name, array in product.outputs.items()}
        np.savez_compressed(
            folder / "frames.npz",
            real=np.array(product.real),
            **arrays,  # type: ignore[arg-type] # the stub takes allow_pickle for a key
        )
        count = len(product)
        metrics = {"vectors.real": product.real, "vectors.drawn": count - product.real}
        kinds = f"{product.real:,} from the data, {count - product.real:,} drawn"
        return Outcome(metrics, kinds)

    def load(self, view: View, folder: Path) -> Frames:
        """Read the frames."""
        with np.load(folder / "frames.npz", allow_pickle=False) as file:
            sides: dict[str, dict[str, IntArray]] = {"in": {}, "out": {}}
            for key in file.files:
                side, _, name = key.partition("/")
                if name:
                    sides[side][name] = whole(file[key])
            return Frames(sides["in"], sides["out"], int(file["real"]))


def plain(array: IntArray) -> np.ndarray:
    """Return integers as an array that needs no pickle: wide ones as decimal texts."""
    return array.astype(np.str_) if array.dtype == object else array


def whole(array: np.ndarray) -> IntArray:
    """Undo `plain`."""
    if array.dtype.kind != "U":
        return array
    numbers = [int(text) for text in array.reshape(-1)]
    return np.array(numbers, dtype=object).reshape(array.shape)
