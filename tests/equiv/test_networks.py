"""Small networks of every kind: executor = RTL in every integer, schedule = RTL in every clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from equiv.networks import NETWORKS, Maker, bench, check, hundred_tokens, network, vectors

from gateformer.hw.dataflow.plan import plan
from gateformer.hw.rtl.emit import emit
from gateformer.hw.settings import Settings
from gateformer.quant.execute import run
from gateformer.quant.expand import Pool
from gateformer.quant.graph import Builder
from gateformer.quant.ops.cast import Constant
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import Fixed
from gateformer.sim.dataflow import simulate_clocks
from gateformer.sim.rtl.build import build
from gateformer.sim.rtl.simulate import job_of, judge, run_jobs
from gateformer.sim.stalls import StallPattern

pytestmark = pytest.mark.icarus

NORMALIZED = {
    "affine", "dense", "each_width", "embedded", "gelu", "joined_peaks", "layer_norm", "pooled",
    "rearranged", "rms_norm", "scaled_dense", "truncated",
}  # fmt: skip
"""Networks without a softmax."""

MODES = [
    pytest.param(name, mode, id=f"{name}-{mode}")
    for name in NETWORKS
    for mode in (("direct",) if name in NORMALIZED else ("direct", "max"))
]
FEW = {"direct": ((1, 1), (4, 1), (16, 3)), "max": ((1, 3), (2, 2), (16, 1))}
"""(token parallelism, reuse factor): one token a beat, a part of them, all of them."""

PATTERNS = (
    StallPattern(seed=1),
    StallPattern(seed=2, probability=0.8),
    StallPattern("bursts", seed=3, burst=40, probability=0.6, sources=False),
    StallPattern("bursts", seed=4, burst=5, sinks=False),
)


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_a_few_foldings(name: str, mode: str, tmp_path: Path) -> None:
    graph = network(NETWORKS[name], softmax=mode)
    for p, r in FEW[mode]:
        settings = Settings(token_parallelism=p, reuse_factor=r)
        planned = bench(graph, tmp_path / f"{p}_{r}", settings, count=7)
        slots = max(-(-port.tokens // p) for port in planned.design.inputs)
        assert planned.design.slots == slots


@pytest.mark.slow
@pytest.mark.parametrize("r", [1, 2, 3, 4, 7])
@pytest.mark.parametrize(("name", "mode"), MODES)
def test_every_folding(name: str, mode: str, r: int, tmp_path: Path) -> None:
    graph = network(NETWORKS[name], softmax=mode)
    for p in (1, 2, 3, 4, 5, 16):
        settings = Settings(token_parallelism=p, reuse_factor=r)
        assert bench(graph, tmp_path / str(p), settings, count=7).facts.settings == settings


@pytest.mark.parametrize("name", ["self_attention", "layer_norm", "gelu", "two_outputs"])
@pytest.mark.parametrize("kind", ["fixed<2,1>", "fixed<3,3>", "fixed<8,3>", "fixed<16,7>",
                                  "fixed<24,10>"])  # fmt: skip
def test_widths(name: str, kind: str, tmp_path: Path) -> None:
    graph = network(NETWORKS[name], kind)
    assert str(graph.values["x"].fixed) == kind
    bench(graph, tmp_path, Settings(token_parallelism=2, reuse_factor=2), count=7)


@pytest.mark.parametrize("name", ["self_attention", "masked", "cross", "pooled", "two_outputs"])
def test_stalls_lose_repeat_and_reorder_nothing(name: str, tmp_path: Path) -> None:
    """On both sides of every stream; and the event simulator knows every handshake's clock."""
    graph = network(NETWORKS[name])
    planned = plan(graph, Settings(token_parallelism=4, reuse_factor=2))
    design = planned.design
    count = design.capacity + 5
    frames = vectors(graph, count)
    expected = run(graph, frames)
    built = build("icarus", emit(planned).files, f"gf_{design.name}_axis", tmp_path / "builds")
    jobs = [job_of(design, frames, pattern) for pattern in PATTERNS]
    for pattern, record in zip(PATTERNS, run_jobs(built, jobs, tmp_path), strict=True):
        result = judge(
            design, record, expected, "icarus", vectors=count, seconds=(0, 0), stalled=True
        )
        assert result.first is None, result.first
        assert not result.problems
        for value, array in result.outputs.items():
            np.testing.assert_array_equal(array.reshape(expected[value].shape), expected[value])
        events = simulate_clocks(design, count, pattern)
        for port, clocks in record.sent.items():
            np.testing.assert_array_equal(events.sent[port], clocks)
        for port, clocks in record.received.items():
            np.testing.assert_array_equal(events.received[port], clocks)


@pytest.mark.parametrize("p", [1, 16])
def test_more_frames_than_fit_inside(p: int, tmp_path: Path) -> None:
    """P = 16 makes every frame one beat."""
    graph = network(NETWORKS["dense"])
    settings = Settings(token_parallelism=p)
    capacity = plan(graph, settings).design.capacity
    bench(graph, tmp_path, settings, count=3 * capacity + 1)
    bench(graph, tmp_path, settings, count=3 * capacity + 1, stalls=True)


def test_cocotb_and_the_written_bench_agree(tmp_path: Path) -> None:
    graph = network(NETWORKS["masked_causal"])
    found = check(graph, tmp_path / "cocotb", p=4, r=2).result
    design = bench(graph, tmp_path / "plain", Settings(token_parallelism=4, reuse_factor=2)).design
    assert (found.latency_cycles, found.interval_cycles) == (
        design.latency_cycles, design.interval_cycles,
    )  # fmt: skip


def test_a_fully_masked_row_gives_zeros(tmp_path: Path) -> None:
    def net(m: Maker) -> None:
        x = m.builder.input("x", (4, 3))
        keep = m.builder.input("keep", (4, 1), masks="x")
        a = m.attention(x, x, "mix", size=2, mask=keep, biased=False)
        m.builder.output(a)
        m.builder.output(m.one(Pool("mean", True), a, keep, name="mean"))

    for mode in ("direct", "max"):
        graph = network(net, softmax=mode)
        frames = vectors(graph, 12)
        frames["keep"][5] = 0
        results = run(graph, frames)
        for name in graph.outputs:
            assert not results[name][5].any()
            assert results[name][0].any()
        bench(graph, tmp_path / mode, Settings(token_parallelism=3))


def test_causal_rows_see_no_later_token() -> None:
    graph = network(NETWORKS["causal"])
    x = vectors(graph, 8)["x"]
    later = x.copy()
    later[:, 3:] += np.where(later[:, 3:] > 0, -1, 1)
    before, after = (run(graph, {"x": v})["mix"] for v in (x, later))
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any()


@pytest.mark.parametrize(
    ("p", "r"),
    [
        (1, 1),
        (1, 10),
        pytest.param(7, 10, marks=pytest.mark.slow),
        pytest.param(10, 7, marks=pytest.mark.slow),
        pytest.param(100, 25, marks=pytest.mark.slow),
    ],
)
def test_a_hundred_tokens(p: int, r: int, tmp_path: Path) -> None:
    settings = Settings(token_parallelism=p, reuse_factor=r)
    design = bench(network(hundred_tokens), tmp_path, settings, count=3).design
    assert design.inputs[0].tokens == 100
    assert design.interval_cycles == -(-100 // p) * r


def test_a_layers_own_reuse_factor(tmp_path: Path) -> None:
    settings = Settings(token_parallelism=2, layers={"wide1": 3, "mix2": 5})
    design = bench(network(NETWORKS["deep"]), tmp_path, settings).design
    assert design.interval_cycles == 3 * 5


@pytest.mark.parametrize("name", ["folded", "layer_norm", "masked", "gelu"])
def test_registers_nearly_everywhere(name: str, tmp_path: Path) -> None:
    """A stage's logic may come later than the next one's whole budget: it registers it first."""
    graph = network(NETWORKS[name], softmax="max")
    for ns in (1.0, 1.5, 2.0):
        for p, r in ((2, 1), (3, 2)):
            settings = Settings(token_parallelism=p, reuse_factor=r, logic_ns=ns)
            assert (
                bench(graph, tmp_path / f"{ns}_{r}", settings, count=7).facts.settings == settings
            )


@pytest.mark.parametrize("p", [1, 2, 3])
def test_a_maximum_that_is_negative_until_its_last_clock(p: int, tmp_path: Path) -> None:
    """What is proven of a maximum over all tokens, or keys, holds for no part of them."""
    builder = Builder("peaks")
    x = builder.input("x", (6, 2), Fixed(True, 5, 0))
    raised = np.array([-90, -80, -70, -60, -50, 40]).reshape(6, 1)
    steps = builder.add(Constant(raised, 0), name="steps", layer="sum")
    tokens = builder.add(Add(), x, steps, name="sum", layer="sum")
    builder.output(builder.add(Reduce("max", "tokens"), tokens, name="peak", layer="peak"))
    heads = builder.add(Reshape((6, 1, 2)), x, name="heads", layer="score")
    score = builder.add(MatMul("features"), heads, heads, name="score", layer="score")
    far = builder.add(Constant(20 * raised.reshape(1, 1, 6), 0), name="far", layer="score")
    moved = builder.add(Add(), score, far, name="moved", layer="score")
    builder.output(builder.add(Reduce("max", "features"), moved, name="most", layer="most"))
    graph = builder.build()
    assert not graph.values["peak"].fixed.signed
    for r in (1, 3, 4):
        settings = Settings(token_parallelism=p, reuse_factor=r)
        assert bench(graph, tmp_path / str(r), settings).facts.settings == settings


def test_a_value_may_be_called_like_a_counter(tmp_path: Path) -> None:
    builder = Builder("names")
    x = builder.input("beat", (5, 2), Fixed(True, 5, 0))
    heads = builder.add(Reshape((5, 1, 2)), x, name="heads", layer="score")
    builder.output(builder.add(MatMul("features"), heads, heads, name="score", layer="score"))
    bench(builder.build(), tmp_path, Settings(token_parallelism=2))
