"""Plain C: the lowered graph's integers bit for bit, and nothing of a model's text in a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from equiv.networks import NETWORKS, network, vectors
from unit.network_graphs import made, work

from gateformer.baselines.networks import c_build
from gateformer.baselines.networks.c_build import EXACT, FAST, Called
from gateformer.baselines.networks.c_integers import SAYS
from gateformer.baselines.networks.c_integers import source as integer_source
from gateformer.baselines.networks.c_reals import source as reals_source
from gateformer.baselines.networks.candidates import CANDIDATES
from gateformer.baselines.runtime import Clocked
from gateformer.baselines.timing import all_outputs
from gateformer.quant.errors import BaselineError, ToolError
from gateformer.quant.execute import run
from gateformer.quant.expand.context import Types
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower
from gateformer.quant.ops.base import REGISTRY, Primitive
from gateformer.quant.ops.cast import Cast, Constant
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat
from gateformer.quant.ops.normalize import Normalize, Shift
from gateformer.quant.types import Fixed, Overflow, Rounding

needs_compiler = pytest.mark.skipif(c_build.find_tool("g++") is None, reason="not installed: g++")
SOON = ("-O1",)
"""For long sources: the same integers, compiled ten times sooner."""
QUICK = (
    "embedded", "folded", "layer_norm", "log_sqrt2_masked", "masked_causal", "rearranged",
    "short_inputs", "truncated",
)  # fmt: skip


def equal(graph: Graph, frames: int = 24, threads: int = 1, flags: Sequence[str] = EXACT) -> bool:
    """Whether every integer of the C is the executor's."""
    given = vectors(graph, frames)
    right = run(graph, given)
    text, weights = integer_source(graph)
    results = [np.zeros((frames, *graph.values[name].shape), np.int64) for name in graph.outputs]
    inputs = [np.ascontiguousarray(given[name], np.int64) for name in graph.inputs]
    Called(text, weights, inputs, results, threads, flags).step()
    return all(
        bool((one == right[name]).all()) for one, name in zip(results, graph.outputs, strict=True)
    )


def test_every_primitive_is_said_in_c() -> None:
    for name, kind in REGISTRY.items():
        own = kind.__module__.startswith("gateformer") and hasattr(kind, "__dataclass_fields__")
        if own and issubclass(kind, Primitive):
            assert kind in SAYS, name


@needs_compiler
@pytest.mark.parametrize("name", QUICK)
def test_a_lowered_network_is_bit_equal(name: str) -> None:
    assert equal(network(NETWORKS[name]))


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fixed<12,5>", "fixed<18,7>", "fixed<24,9>"])
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_lowered_network_is_bit_equal(name: str, kind: str) -> None:
    assert equal(network(NETWORKS[name], kind), threads=2)


@needs_compiler
def test_casts_of_every_kind_and_width_are_bit_equal() -> None:
    builder = Builder("casts")
    narrow = builder.input("narrow", (2, 3), Fixed(True, 12, 4))
    broad = builder.input("broad", (2, 3), Fixed(True, 48, 20))
    wide = builder.add(Mul(), broad, broad, name="wide", layer="wide")
    targets = (Fixed(True, 9, 2), Fixed(False, 7, 1), Fixed(True, 40, 16), Fixed(True, 30, -3))
    for x in (narrow, broad, wide):
        for to in targets:
            for rounding in Rounding:
                for overflow in Overflow:
                    op = Cast(to, rounding, overflow)
                    builder.output(builder.add(op, x, name="cast", layer="cast"))
    assert equal(builder.build(), flags=SOON)


@needs_compiler
def test_shifts_by_leading_zeros_are_bit_equal() -> None:
    builder = Builder("shifts")
    x = builder.input("x", (3, 4), Fixed(False, 20, 10))
    broad = builder.input("broad", (3, 4), Fixed(False, 33, 12))
    wide = builder.add(Mul(), broad, broad, name="wide", layer="wide")
    for source in (x, broad, wide):
        for even in (False, True):
            amount = builder.add(Normalize(even), source, name="zeros", layer="zeros")
            builder.output(amount)
            for rounding in Rounding:
                for to in (Fixed(False, 9, 3), Fixed(True, 24, 6)):
                    op = Shift(to, rounding, Overflow.SAT)
                    builder.output(builder.add(op, source, amount, name="moved", layer="moved"))
            op = Shift(Fixed(False, 11, 4), Rounding.TRN, Overflow.WRAP)
            builder.output(builder.add(op, source, amount, name="moved", layer="moved"))
    assert equal(builder.build(), flags=SOON)


@needs_compiler
def test_constants_of_all_widths_are_bit_equal() -> None:
    builder = Builder("constants")
    x = builder.input("x", (2, 3), Fixed(True, 10, 2))
    for value, frac in ((-7, 0), (-(1 << 40) - 5, 3), ((1 << 61) + 9, 40)):
        constant = Constant(np.full((1, 3), value), frac)
        held = builder.add(constant, name="constant", layer="constant")
        total = builder.add(Add(subtract=True), x, held, name="sum", layer="sum")
        both = builder.add(Concat(), x, total, name="both", layer="both")
        low = Cast(Fixed(True, 33, 5), Rounding.RND, Overflow.WRAP)
        builder.output(builder.add(low, both, name="low", layer="low"))
    assert equal(builder.build(), flags=SOON)


def test_integers_wider_than_c_has_are_refused() -> None:
    builder = Builder("wide")
    x = builder.input("x", (2, 2), Fixed(True, 50, 0))
    for _ in range(2):
        x = builder.add(Mul(), x, x, name="square", layer="square")
    builder.output(builder.add(Cast(Fixed(True, 8, 0)), x, name="y", layer="y"))
    with pytest.raises(BaselineError, match=r"E851.* 128"):
        integer_source(builder.build())


@needs_compiler
def test_the_candidate_gives_the_reals_of_its_integers(tmp_path: Path) -> None:
    graph = made("folded")
    lowered = lower(graph, Types(default=Fixed(True, 12, 7)))
    files = work(graph, tmp_path, 5, lowered)
    (candidate,) = (one for one in CANDIDATES if one.exact)
    session = candidate.open(files, 2)
    session.step()
    assert (session.outputs() == files.reference(exact=True)).all()
    session.close()


@needs_compiler
def test_the_clock_in_c_is_around_each_call_on_each_batch(tmp_path: Path) -> None:
    graph = made("deep")
    files = replace(work(graph, tmp_path, 6), batch=2)
    (candidate,) = (one for one in CANDIDATES if one.key == "plain-c:fp32")
    session = candidate.open(files, 1)
    assert isinstance(session, Clocked)
    assert session.batches == 3
    right = files.reference()
    assert np.abs(all_outputs(session) - right).max() <= 1e-5 * np.abs(right).max()
    session.turn(0)
    for calls, last in ((1, 0), (1, 1), (3, 1), (2, 0)):
        began = perf_counter()
        seconds = session.repeat(calls)
        spent = perf_counter() - began
        assert len(seconds) == calls
        assert (seconds > 0).all()
        assert seconds.sum() < spent
        found = session.outputs()
        assert np.abs(found - right[2 * last : 2 * last + 2]).max() <= 1e-5
    # What a call from Python takes is not in the times.
    inside = np.median(session.repeat(2000))
    outside = np.median([timed_call(session.step) for _ in range(2000)])
    assert inside < outside
    session.close()


def timed_call(step: Callable[[], None]) -> float:
    began = perf_counter()
    step()
    return perf_counter() - began


@needs_compiler
def test_frames_are_shared_among_threads() -> None:
    graph = made("deep")
    text, weights = reals_source(graph)
    inputs = np.random.default_rng(1).normal(size=(33, 5, 3)).astype(np.float32)
    found = []
    for threads in (1, 2):
        results = [np.zeros((33, 2), np.float32)]
        Called(text, weights, [inputs], results, threads, FAST).step()
        found.append(results[0])
    assert (found[0] == found[1]).all()
    assert found[0].any()


def test_no_text_of_a_model_reaches_the_compiler() -> None:
    evil = 'x"); system("touch owned"); //'
    builder = Builder(evil)
    x = builder.input(evil, (3, 2), Fixed(True, 8, 4))
    total = builder.add(Add(), x, x, name=f"{evil} sum", layer=evil)
    builder.output(total)
    for source in (reals_source, integer_source):
        text, _ = source(builder.build())
        assert "owned" not in text


def test_a_machine_without_a_compiler_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(c_build, "find_tool", lambda name: None)
    with pytest.raises(ToolError, match=r"E501.*g\+\+"):
        c_build.compiled("void run(void) {}", tmp_path, ())


@needs_compiler
def test_what_a_compiler_says_is_told(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"E502.*nonsense"):
        c_build.compiled("nonsense", tmp_path, ())
