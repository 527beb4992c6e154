"""Laws of a decoding step: found again where they hold, and never fitted to what they predict."""

from typing import Any

import numpy as np
import pytest

from gateformer.baselines.fitting import Law, Sample, bandwidth, fit, predict
from gateformer.baselines.launching import kernels, launching
from gateformer.baselines.machines import launches
from gateformer.baselines.record import Hardware, Record, Setup, Times, Workload
from gateformer.quant.expand import Linear, Quantize
from gateformer.quant.graph import Builder
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.types import Fixed


def law_of(layer: float, share: float, hidden: bool = False) -> Law:
    return Law(layer, 1 / share, hidden, 3)


STEPS = [(4.0, 0.002), (12.0, 0.005), (24.0, 0.02), (48.0, 0.02), (24.0, 0.1)]


@pytest.mark.parametrize("hidden", [False, True])
def test_a_law_is_found_again(hidden: bool) -> None:
    true = law_of(1e-3, 0.7, hidden)
    found = fit([Sample(*one, true.seconds(*one)) for one in STEPS], hidden=hidden)
    assert found.layer == pytest.approx(1e-3)
    assert found.share == pytest.approx(0.7)
    assert found.samples == 5


def test_a_law_is_found_again_under_noise() -> None:
    random, true = np.random.default_rng(5), law_of(1e-4, 0.6)
    noisy = [Sample(*one, true.seconds(*one) * random.normal(1, 0.03)) for one in STEPS * 20]
    assert fit(noisy).share == pytest.approx(0.6, rel=0.05)
    assert fit(noisy).layer == pytest.approx(1e-4, rel=0.2)


def test_many_hidden_steps_take_no_long_time() -> None:
    random, true = np.random.default_rng(6), law_of(1e-3, 0.7, hidden=True)
    steps = [(4.0 * one, random.uniform(0.001, 0.1)) for one in range(1, 200)]
    found = fit([Sample(*one, true.seconds(*one)) for one in steps], hidden=True)
    assert (found.layer, found.share) == (pytest.approx(1e-3), pytest.approx(0.7))


def test_no_constant_goes_below_zero() -> None:
    shrinking = [Sample(2, 0.001, 0.010), Sample(4, 0.1, 0.011)]
    assert fit(shrinking).layer >= 0
    assert fit(shrinking).slowness >= 0
    only_layers = [Sample(2, 0.1, 0.002), Sample(20, 0.1, 0.020), Sample(40, 0.05, 0.041)]
    assert fit(only_layers).share is None
    faster_than_proportional = [Sample(2, 0.01, 0.010), Sample(4, 0.10, 0.110)]
    assert fit(faster_than_proportional).layer == 0


def test_one_step_or_proportional_ones_give_a_share_alone() -> None:
    assert fit([Sample(12, 0.01, 0.02)]) == Law(0.0, 2.0, False, 1)
    assert fit([Sample(12, 0.01, 0.02), Sample(24, 0.02, 0.04)]).layer == 0


def test_one_shape_measured_twice_is_one_shape() -> None:
    twice = [Sample(12, 0.0100, 0.0200), Sample(12, 0.0104, 0.0205)]
    for hidden in (False, True):
        found = fit(twice, hidden=hidden)
        assert (found.layer, found.samples) == (0.0, 1)
        assert found.slowness == pytest.approx(2, rel=0.05)
    assert fit([*twice, Sample(24, 0.03, 0.06)]).samples == 3


def record(name: str, layers: int, mega: int, ms: float, gbs: float = 40.0, **more: Any) -> Record:
    """Return a record of a decoder with so many million parameters of four bytes."""
    setup: dict[str, Any] = {
        "runtime": "r", "version": "1", "precision": "fp32", "tier": "tuned", "threads": 2,
        "options": {},
    }  # fmt: skip
    setup |= more
    return Record(
        workload=Workload(
            name=name,
            kind="decode",
            fingerprint="f",
            batch=1,
            context=64,
            layers=layers,
            parameters=mega * 10**6,
            operations=2 * mega * 10**6,
            bytes=4 * mega * 10**6,
        ),
        hardware=Hardware(
            id="m", kind="cpu", name="M", cores=2, memory_gb=8, bandwidth_gbs=gbs,
            bandwidth_method="read", details={},
        ),
        setup=Setup(**setup),
        times=Times(
            samples=9, warmup=1, minimum=ms / 1e3, median=ms / 1e3, p90=ms / 1e3, p99=ms / 1e3,
            mean=ms / 1e3,
        ),
        energy=None,
        energy_note="no meter",
        transfer=False,
        difference=None,
        load=0.0,
        date="2026-01-01",
        command="c",
    )  # fmt: skip


def ms(layers: int, mega: int) -> float:
    return 0.1 * layers + 4e6 * mega / (0.8 * 40e9) * 1e3


def test_a_prediction_is_made_of_smaller_decoders_alone() -> None:
    small, cut = record("small", 12, 124, ms(12, 124)), record("cut", 4, 67, ms(4, 67))
    medium = record("medium", 24, 354, 1.1 * ms(24, 354))
    large = record("large", 36, 774, 1.0)
    found = predict(medium, [small, cut, medium, large])
    assert found is not None
    assert set(found.fitted) == {"small", "cut"}
    assert found.error == pytest.approx(1 / 1.1 - 1)
    assert found.law.share == pytest.approx(0.8)
    assert predict(cut, [small, medium, large]) is None
    assert predict(record("again", 12, 125, 20.0), [small]) is None


def test_what_memory_gave_in_one_minute_changes_no_prediction() -> None:
    calm = [record("small", 12, 124, ms(12, 124)), record("cut", 4, 67, ms(4, 67))]
    noisy = [record("small", 12, 124, ms(12, 124), 11.0), record("cut", 4, 67, ms(4, 67), 40.0)]
    medium, crowded = (record("medium", 24, 354, ms(24, 354), gbs) for gbs in (40.0, 9.0))
    found = [predict(one, some) for one in (medium, crowded) for some in (calm, noisy)]
    assert all(one is not None and one.error == pytest.approx(0) for one in found)
    # The best of all of them is what the share is of, on the same pages alone.
    assert {round(one.law.share or 0, 6) for one in found if one} == {0.8}
    huge = record("small", 12, 124, 1.0, 90.0, options={"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"})
    assert bandwidth(medium, [*noisy, huge]) == 40.0
    assert bandwidth(huge, noisy) == 90.0


def test_other_runtimes_batches_and_kinds_are_left_aside() -> None:
    medium = record("medium", 24, 354, 50.0)
    huge = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    for other in (
        {"runtime": "q"}, {"version": "2"}, {"precision": "int8"}, {"threads": 1},
        {"tier": "eager"}, {"options": huge},
    ):  # fmt: skip
        assert predict(medium, [record("small", 12, 124, 20.0, **other)]) is None
    small = record("small", 12, 124, 20.0)
    batched = small.model_copy(update={"workload": small.workload.model_copy(update={"batch": 8})})
    assert predict(medium, [batched]) is None
    assert predict(batched, [record("tiny", 1, 5, 1.0)]) is None


def test_eager_on_a_gpu_hides_launches_behind_reading() -> None:
    def gpu(name: str, layers: int, mega: int) -> Record:
        launching, reading = 0.5 * layers, 4e6 * mega / (0.8 * 40e9) * 1e3
        one = record(name, layers, mega, max(launching, reading), tier="eager")
        return one.model_copy(update={"hardware": one.hardware.model_copy(update={"kind": "gpu"})})

    found = predict(gpu("xl", 48, 1558), [gpu("deep", 48, 20), gpu("wide", 2, 300)])
    assert found is not None
    assert found.law.hidden
    assert found.error == pytest.approx(0)


def test_operations_of_a_network_are_counted_as_a_framework_launches_them() -> None:
    maker = Builder("net")
    source = maker.input("x", (4, 6))
    tight = maker.add(Quantize(Fixed(True, 8, 4)), source, name="tight", layer="tight")
    wide = maker.add(Linear(np.ones((6, 3)), None, (3,)), tight, name="wide", layer="wide")
    flat = maker.add(Reshape((12,)), wide, name="flat", layer="flat")
    maker.output(flat)
    graph = maker.build()
    # The quantizer of the fixed-point network is no operation of the float one.
    assert kernels(graph) == 0 + 1 + 0
    eager, captured = launching(graph, "eager"), launching(graph, "fused")
    assert eager.value == pytest.approx(launches("eager").us * 1e-6)
    assert "quantizers left out" in eager.source
    assert captured.low is not None
    assert captured.low < captured.value < eager.value
    assert eager.kind == captured.kind == "modelled"


def test_launches_are_ordered_and_sourced() -> None:
    for tier in ("eager", "fused"):
        one = launches(tier)  # type: ignore[arg-type]
        assert one.low < one.us < one.high
        assert one.source
    assert launches("fused").us < launches("eager").us
