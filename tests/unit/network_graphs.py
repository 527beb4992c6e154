"""Graphs for the tests of networks in runtimes: small ones of every kind, and the projects' own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from equiv.networks import NETWORKS, Maker

from gateformer.baselines.work import NetworkWork
from gateformer.quant.expand import Elementwise, Quantize
from gateformer.quant.frontends import load
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.passes.fold_heads import fold_heads
from gateformer.quant.serialize import save
from gateformer.quant.types import Fixed, Overflow, Rounding

PROJECTS = Path(__file__).parents[2] / "fpga_projects"
PARAMETERS: dict[str, Sequence[dict[str, float]]] = {
    "relu": ({}, {"max_value": 1.5}, {"negative_slope": 0.25, "threshold": 0.5}),
    "quantized_relu": (
        {"bits": 4, "integer": 1},
        {"bits": 4, "integer": 1, "use_sigmoid": 1},
        {"bits": 4, "integer": 2, "bound": 1.5},
    ),
    "quantized_leaky_relu": ({"bits": 4, "integer": 2, "power": -2},),
    "quantized_sigmoid": ({"bits": 4}, {"bits": 4, "real": 1, "symmetric": 1}),
    "quantized_tanh": ({"bits": 4}, {"bits": 4, "symmetric": 1}),
    "quantized_ulaw": ({"bits": 5, "integer": 1},),
    "quantized_hswish": ({"bits": 5, "integer": 2},),
    "quantized_po2": ({"low": -4, "high": 2}, {"low": -6, "high": 2, "even": 1, "floor": 1}),
    "quantized_relu_po2": ({"low": -4, "high": 2, "slope": 0.5}, {"low": -4, "high": 2}),
}
"""What a function has to be told, and what changes it."""


def made(name: str, folded: bool = True) -> Graph:
    """Return a network of the catalogue on reals."""
    builder = Builder(name)
    NETWORKS[name](Maker(builder, np.random.default_rng(1)))
    graph = builder.build()
    return fold_heads(graph)[0] if folded else graph


def project(name: str) -> Graph:
    """Return a project's network, folded."""
    return fold_heads(load(PROJECTS / name / "model.h5"))[0]


def functions(names: Sequence[str]) -> Graph:
    """Return each function of one input, with each choice of parameters: an output each."""
    builder = Builder("functions")
    x = builder.input("x", (6, 4))
    for name in names:
        for parameters in PARAMETERS.get(name, ({},)):
            op = Elementwise(name, tuple(parameters.items()))
            builder.output(builder.add(op, x, name=name, layer=name))
    return builder.build()


def quantizers() -> Graph:
    """Return every rounding and overflow, narrow and wide, signed or not: an output each."""
    builder = Builder("quantizers")
    x = builder.input("x", (6, 4))
    for kind in (Fixed(True, 8, 4), Fixed(False, 8, 5), Fixed(True, 5, 3), Fixed(True, 18, 9)):
        for rounding in Rounding:
            for overflow in Overflow:
                op = Quantize(kind, rounding, overflow)
                builder.output(builder.add(op, x, name="quantized", layer="quantized"))
    return builder.build()


def samples(graph: Graph, frames: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return seeded reals; masks of zeros and ones, one frame's all zero; indices of a table."""
    random, found = np.random.default_rng(seed), {}
    for name in graph.inputs:
        shape = (frames, *graph.values[name].shape)
        if name in graph.masks:
            found[name] = random.integers(0, 2, shape).astype(float)
            found[name][1] = 0.0
        elif graph.name == "embedded":
            found[name] = random.integers(-1, 14, shape).astype(float)
        else:
            found[name] = random.normal(size=shape) * 2.0
    return found


def work(graph: Graph, folder: Path, frames: int = 5, lowered: Graph | None = None) -> NetworkWork:
    """Write a network and its inputs as a worker gets them."""
    save(graph, folder / "graph.json")
    np.savez(folder / "inputs.npz", **samples(graph, frames))  # type: ignore[arg-type]
    place = None
    if lowered is not None:
        place = folder / "lowered.json"
        save(lowered, place)
    return NetworkWork(graph.name, folder / "graph.json", folder / "inputs.npz", frames, place)
