"""Six networks, two of them trained, and the frames on which HLS C++, numpy and RTL agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from equiv.networks import Maker, vectors

from gateformer.config.read import load
from gateformer.flow.steps.hls import kinds_of
from gateformer.flow.steps.importing import Import
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.steps.scheduling import Schedule
from gateformer.flow.steps.vectors import Vectors
from gateformer.flow.view import Memory
from gateformer.hw.dataflow.plan import Plan, plan
from gateformer.hw.settings import Settings
from gateformer.quant.execute import run
from gateformer.quant.expand import Elementwise, LayerNorm
from gateformer.quant.expand.context import Options, Types
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.types import Fixed, IntArray

PROJECTS = Path(__file__).parents[2] / "fpga_projects"
FRAMES = 10_000
REAL = 6_000
"""Frames of a network, and at most so many of them real; the rest are drawn."""


def feed_forward(m: Maker, x: str, kind: str, width: int, name: str) -> str:
    """A dense pair around a function, and a residual sum around both."""
    size = m.builder.values[x].shape[1]
    h = m.one(Elementwise(kind), m.linear(x, width, f"{name}_up"), name=f"{name}_{kind}")
    return m.one(Add(), m.linear(h, size, f"{name}_down"), x, name=f"{name}_sum")


def normalized(m: Maker, x: str, name: str) -> str:
    """LayerNorm with random gains and offsets."""
    size = m.builder.values[x].shape[1]
    return m.one(LayerNorm(m.weights(size) + 1.0, m.weights(size), 1e-3), x, name=name)


def layer_norm(m: Maker) -> None:
    """A block of attention and a feed-forward pair, each with LayerNorm after its sum."""
    x = m.builder.input("x", (8, 6))
    s = m.one(Add(), m.attention(x, x, "mix", size=3), x, name="mix_sum")
    y = feed_forward(m, normalized(m, s, "mix_norm"), "relu", 8, "ffn")
    m.builder.output(normalized(m, y, "ffn_norm"))


def causal(m: Maker) -> None:
    """A decoder's block: each token sees itself and those before it."""
    x = m.builder.input("x", (10, 4))
    s = m.one(Add(), m.attention(x, x, "mix", size=3, causal=True), x, name="mix_sum")
    m.builder.output(feed_forward(m, s, "relu", 6, "ffn"))


def cross(m: Maker) -> None:
    """Queries of one sequence, keys and values of a longer one; a result for each query."""
    x, y = m.builder.input("x", (6, 4)), m.builder.input("y", (9, 5))
    s = m.one(Add(), m.attention(x, y, "mix", size=3), x, name="mix_sum")
    m.builder.output(m.linear(s, 3, "logits"))


def gelu(m: Maker) -> None:
    """Attention and a feed-forward pair around GELU, then a head over all tokens."""
    x = m.builder.input("x", (6, 4))
    s = m.one(Add(), m.attention(x, x, "mix", heads=1, size=4), x, name="mix_sum")
    y = feed_forward(m, s, "gelu", 8, "ffn")
    m.builder.output(m.linear(m.one(Reshape((24,)), y, name="flat"), 3, "logits"))


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A network with its schedule, its layers' classes and its frames.

    Attributes
    ----------
    graph : Graph
        Lowered.
    kinds : mapping of str to str
        Class of each layer's operation before.
    plan : Plan
        The RTL's schedule.
    reuse_factor, layers
        What the schedule was told, and the HLS project is.
    frames, expected : mapping of str to ndarray of int, (FRAMES, *shape)
        Raw integers in, and what numpy makes of them.
    """

    graph: Graph
    kinds: Mapping[str, str]
    plan: Plan
    reuse_factor: int
    layers: Mapping[str, int]
    frames: Mapping[str, IntArray]
    expected: Mapping[str, IntArray]


def drawn(make: Callable[[Maker], None], kind: str = "fixed<12,5>", reuse_factor: int = 1) -> Case:
    """A network with seeded weights."""
    builder = Builder(make.__name__)
    make(Maker(builder, np.random.default_rng(1)))
    imported = builder.build()
    graph = lower(imported, Types(default=Fixed.parse(kind)), Options())
    frames = vectors(graph, FRAMES, seed=2)
    planned = plan(graph, Settings(reuse_factor=reuse_factor))
    return Case(graph, kinds_of(imported), planned, reuse_factor, {}, frames, run(graph, frames))


def trained(name: str) -> Case:
    """A shipped design, its real data first."""
    view = Memory(load(PROJECTS / name, []))
    graph, real = view.get(Lower).graph, view.get(Vectors)
    count = min(REAL, real.real)
    more = vectors(graph, FRAMES - count, seed=2)
    frames = {key: np.concatenate([real.inputs[key][:count], more[key]]) for key in more}
    schedule = view.config.schedule
    return Case(
        graph,
        kinds_of(view.get(Import)),
        view.get(Schedule),
        schedule.reuse_factor,
        schedule.layers,
        frames,
        run(graph, frames),
    )


CASES: Mapping[str, Callable[[], Case]] = {
    "btag": lambda: trained("btag"),
    "layer_norm": lambda: drawn(layer_norm, "fixed<10,3>"),
    "causal": lambda: drawn(causal, reuse_factor=2),
    "cross": lambda: drawn(cross),
    "gelu": lambda: drawn(gelu, "fixed<10,4>"),
    "digits": lambda: trained("digits"),
}


@cache
def case(name: str) -> Case:
    """One of the six."""
    return CASES[name]()
