"""Random small networks: executor = RTL in every integer, schedule = RTL in every clock.

A failing network is shrunk and kept in ``runs/failures``: ``<test>.json`` (the typed graph) and
``<test>.settings.json``; ``replay`` runs it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from equiv.networks import Maker, bench, network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateformer.hw.settings import Settings
from gateformer.quant.expand import Affine, Elementwise, LayerNorm, Pool, RMSNorm, Softmax
from gateformer.quant.graph import Graph
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Reshape, Slice
from gateformer.quant.serialize import load, save

pytestmark = pytest.mark.icarus

FAILURES = Path(__file__).parents[2] / "runs/failures"
FUNCTIONS = ("relu", "gelu", "sigmoid", "tanh", "hard_tanh")


@dataclass(frozen=True)
class Case:
    """A network and how it is to be built."""

    graph: Graph
    token_parallelism: int
    reuse_factor: int
    layers: dict[str, int]
    stalls: bool
    joint: bool = False
    ternary: bool = False

    @property
    def settings(self) -> Settings:
        return Settings(
            self.token_parallelism,
            self.reuse_factor,
            self.layers,
            joint=self.joint,
            ternary=self.ternary,
        )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A network of one to five layers with an ending, and its settings."""
    kind = _kind(draw)
    mode = draw(st.sampled_from(["direct", "max"]))

    def make(m: Maker) -> None:
        _layers(draw, m)

    make.__name__ = "random"
    bits, seed = draw(st.integers(2, 7)), draw(st.integers(0, 999))
    graph = network(make, kind, seed, mode, bits)
    layers = [name for name in graph.layers if name not in graph.inputs]
    own = draw(st.dictionaries(st.sampled_from(layers), st.integers(1, 4), max_size=2))
    p, r = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    return Case(graph, p, r, own, *(draw(st.booleans()) for _ in range(3)))


def _kind(draw: st.DrawFn) -> str:
    width = draw(st.integers(2, 14))
    return f"fixed<{width},{draw(st.integers(1, width))}>"


def _layers(draw: st.DrawFn, m: Maker) -> None:
    tokens, features = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    x = m.builder.input("x", (tokens, features))
    keep = m.builder.input("keep", (tokens, 1), masks="x") if draw(st.booleans()) else None
    other = None
    if draw(st.integers(0, 3)) == 3:
        other = m.builder.input("y", (draw(st.integers(1, 6)), draw(st.integers(1, 3))))
    made = [x]
    for number in range(draw(st.integers(1, 5))):
        choice = draw(st.sampled_from(sorted(LAYERS)))
        made.append(LAYERS[choice](draw, m, made, f"{choice}{number}", keep, other))
    last = ENDINGS[draw(st.sampled_from(sorted(ENDINGS)))](draw, m, made[-1], keep)
    early = draw(st.sampled_from(made[1:])) if draw(st.integers(0, 3)) == 3 else last
    for name in dict.fromkeys((early, last)):
        m.builder.output(name)


def _attention(
    draw: st.DrawFn, m: Maker, made: list[str], name: str, keep: str | None, other: str | None
) -> str:
    source = other if other is not None and draw(st.booleans()) else made[-1]
    own = source != other
    masked = own and keep is not None and draw(st.booleans())
    return m.attention(
        made[-1], source, name, draw(st.integers(1, 3)), draw(st.integers(1, 4)),
        own and draw(st.booleans()), keep if masked else None, draw(st.booleans()),
    )  # fmt: skip


def _residual(
    draw: st.DrawFn, m: Maker, made: list[str], name: str, keep: str | None, other: str | None
) -> str:
    shape = m.builder.values[made[-1]].shape
    same = [v for v in made if m.builder.values[v].shape == shape]
    return m.one(Add(draw(st.booleans())), made[-1], draw(st.sampled_from(same)), name=name)


def _joined(
    draw: st.DrawFn, m: Maker, made: list[str], name: str, keep: str | None, other: str | None
) -> str:
    return m.one(Concat(), made[-1], draw(st.sampled_from(made)), name=name)


def _sliced(
    draw: st.DrawFn, m: Maker, made: list[str], name: str, keep: str | None, other: str | None
) -> str:
    size = m.builder.values[made[-1]].shape[1]
    start = draw(st.integers(0, size - 1))
    return m.one(Slice(start, draw(st.integers(start + 1, size))), made[-1], name=name)


def _gated(
    draw: st.DrawFn, m: Maker, made: list[str], name: str, keep: str | None, other: str | None
) -> str:
    gate = m.one(Elementwise("sigmoid"), made[-1], name=f"{name}_gate")
    return m.one(Mul(), gate, made[-1], name=name)


def _single(op: Callable[[st.DrawFn, Maker, int], object]) -> Callable[..., str]:
    """A layer of one operation that keeps the shape."""

    def layer(
        draw: st.DrawFn, m: Maker, made: list[str], name: str, keep: str | None, other: str | None
    ) -> str:
        size = m.builder.values[made[-1]].shape[1]
        return m.one(op(draw, m, size), made[-1], name=name)

    return layer


LAYERS: dict[str, Callable[..., str]] = {
    "affine": _single(lambda draw, m, d: Affine(m.weights(d) + 1.0, m.weights(d))),
    "attention": _attention,
    "dense": lambda draw, m, made, name, keep, other: m.linear(
        made[-1], draw(st.integers(1, 5)), name
    ),
    "function": _single(lambda draw, m, d: Elementwise(draw(st.sampled_from(FUNCTIONS)))),
    "gated": _gated,
    "joined": _joined,
    "layer_norm": _single(lambda draw, m, d: LayerNorm(m.weights(d) + 1.0, m.weights(d), 1e-3)),
    "residual": _residual,
    "rms_norm": _single(lambda draw, m, d: RMSNorm(m.weights(d) + 1.0, 1e-3)),
    "sliced": _sliced,
}


def _flat(draw: st.DrawFn, m: Maker, x: str, keep: str | None) -> str:
    shape = m.builder.values[x].shape
    f = m.one(Reshape((shape[0] * shape[1],)), x, name="flat")
    return m.linear(f, draw(st.integers(1, 3)), "head")


def _pooled(draw: st.DrawFn, m: Maker, x: str, keep: str | None) -> str:
    kind = draw(st.sampled_from(["mean", "max"]))
    if kind == "mean" and keep is not None and draw(st.booleans()):
        return m.one(Pool("mean", True), x, keep, name="pooled")
    return m.one(Pool(kind), x, name="pooled")


ENDINGS: dict[str, Callable[[st.DrawFn, Maker, str, str | None], str]] = {
    "flat": _flat,
    "none": lambda draw, m, x, keep: x,
    "pooled": _pooled,
    "softmax": lambda draw, m, x, keep: m.one(Softmax(), x, name="shares"),
}


def check(case: Case, name: str) -> None:
    """Check a network; one that fails is kept, and hypothesis ends with the smallest."""
    try:
        with TemporaryDirectory() as work:
            planned = bench(
                case.graph, Path(work), case.settings, count=7, stalls=case.stalls, seed=1
            )
        assert planned.facts.settings == case.settings
    except Exception as error:
        FAILURES.mkdir(parents=True, exist_ok=True)
        kept = FAILURES / f"{name}.json"
        save(case.graph, kept)
        rest = {f.name: getattr(case, f.name) for f in fields(case) if f.name != "graph"}
        kept.with_suffix(".settings.json").write_text(json.dumps(rest), encoding="utf-8")
        error.add_note(f"the network is kept as {kept}")
        raise


def replay(kept: Path) -> None:
    """Check a kept network again."""
    rest = json.loads(kept.with_suffix(".settings.json").read_text(encoding="utf-8"))
    check(Case(load(kept), **rest), kept.stem)


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(max_examples=20, suppress_health_check=QUIET, report_multiple_bugs=False)
@given(cases())
def test_twenty_random_networks(case: Case) -> None:
    check(case, "twenty")


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=QUIET, report_multiple_bugs=False)
@given(cases())
def test_two_hundred_random_networks(case: Case) -> None:
    check(case, "two_hundred")
