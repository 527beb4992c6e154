"""The driver against the simulated board: packing, batches, and every way that it can go wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gateformer.host.description import Description, Stream
from gateformer.host.driver import Accelerator
from gateformer.host.engine import Answer, NumpyEngine, Packet
from gateformer.host.simulated_board import SimulatedBoard
from gateformer.hw.dataflow.design import Port
from gateformer.quant.errors import BoardError, DataError, GateformerError, Problems
from gateformer.quant.types import Fixed, IntArray, Overflow
from gateformer.sim.rtl.streams import ByteArray

IDENTITY = 0x2BADCAFE


def describe(*ports: Port, outputs: tuple[Port, ...]) -> Description:
    sides = [tuple(Stream(p, f"dma_{i}") for i, p in enumerate(side)) for side in (ports, outputs)]
    return Description("toy", IDENTITY, 10.0, 9, 4, *sides)


X = Port("s_axis", "x", 5, 3, Fixed(True, 6, 3), 2)
Y = Port("m_axis", "y", 5, 3, Fixed(True, 8, 3), 2)


def affine(frames: Mapping[str, IntArray]) -> dict[str, IntArray]:
    return {"y": 3 * frames["x"] + 1}


def board(
    description: Description | None = None,
    execute: Callable[[Mapping[str, IntArray]], Mapping[str, IntArray]] = affine,
) -> SimulatedBoard:
    description = description or describe(X, outputs=(Y,))
    return SimulatedBoard(description, NumpyEngine(description, execute))


def accelerator(made: SimulatedBoard, **settings: Any) -> Accelerator:
    return Accelerator(made, made.description, **settings)


def raised(call: Callable[[], object]) -> GateformerError:
    with pytest.raises(GateformerError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("batch", [1, 4, 7, 100, None])
def test_reals_go_in_and_come_out(batch: int | None) -> None:
    reals = np.random.default_rng(1).normal(0, 1, (7, 5, 3))
    with accelerator(board(), batch=batch) as chip:
        got = chip.predict(reals)
        assert not chip.frame_error
    np.testing.assert_array_equal(got, 3 * X.type.from_real(reals) / 8 + 1 / 8)


@pytest.mark.parametrize("count", [1, 3, 15])
def test_real_scales_of_ports(count: int) -> None:
    """One factor, one a feature, one an element, on both sides."""
    given, taken = (np.linspace(0.2, 0.7, count), np.linspace(3.0, 9.0, count))
    ports = (replace(p, scale=tuple(s)) for p, s in ((X, given), (Y, taken)))
    x, y = ports
    reals = np.random.default_rng(1).normal(0, 1, (4, 5, 3))
    with accelerator(board(describe(x, outputs=(y,)))) as chip:
        got = chip.predict(reals)
    given, taken = (s.reshape(-1, 3) if count > 1 else s for s in (given, taken))
    np.testing.assert_allclose(got, (3 * X.type.from_real(reals / given) / 8 + 1 / 8) * taken)


@pytest.mark.parametrize("floor", [Overflow.WRAP, Overflow.SAT])
def test_ports_that_round_down(floor: Overflow) -> None:
    """What HGQ2's wrapping and saturating quantizers want to see of the data."""
    reals = np.random.default_rng(1).normal(0, 4, (7, 5, 3))
    with accelerator(board(describe(replace(X, floor=floor), outputs=(Y,)))) as chip:
        got = chip.predict(reals)
    steps = np.floor(reals * 8).astype(np.int64)
    steps = (steps + 32) % 64 - 32 if floor is Overflow.WRAP else np.clip(steps, -32, 31)
    np.testing.assert_array_equal(got, (3 * steps + 1) / 8)


def test_raw_integers_pass_whole_ranges_and_saturate_in_predict() -> None:
    ends = np.array([X.type.min, X.type.max, -1, 0, 1])
    raw = np.resize(ends, (3, 5, 3))
    with accelerator(board()) as chip:
        np.testing.assert_array_equal(chip.run({"x": raw})["y"], 3 * raw + 1)
        np.testing.assert_array_equal(chip.predict(np.full((1, 5, 3), 1e9)), 94 / 8)
        np.testing.assert_array_equal(chip.predict(np.full((1, 5, 3), -np.inf)), -95 / 8)


def test_no_frames_are_no_transfer() -> None:
    with accelerator(board()) as chip:
        assert chip.run({"x": np.zeros((0, 5, 3), np.int64)})["y"].shape == (0, 5, 3)


SHAPES = [
    Port("s_axis", "x", 1, 1, Fixed(False, 1, 0), 1),
    Port("s_axis", "x", 16, 4, Fixed(True, 8, 4), 1),
    Port("s_axis", "x", 7, 3, Fixed(True, 24, 0), 3),
    Port("s_axis", "x", 4, 3, Fixed(True, 70, 60), 2),
    Port("s_axis", "x", 20, 1, Fixed(False, 9, 4), 9, mask="keep"),
    Port("s_axis", "x", 3, 2, Fixed(True, 16, 4), 2, mask="keep"),
]


@pytest.mark.parametrize("port", SHAPES, ids=str)
def test_every_byte_finds_its_place(port: Port) -> None:
    random = np.random.default_rng(3)
    bits = random.integers(0, 2, (9, port.tokens, port.features, port.type.width)).astype(object)
    raw = (bits << np.arange(port.type.width).astype(object)).sum(-1) + port.type.min
    frames = {"x": raw if port.type.width > 62 else raw.astype(np.int64)}
    if port.mask is not None:
        frames[port.mask] = random.integers(0, 2, (9, port.tokens))
    out = replace(port, name="m_axis", value="y", mask=None)
    seen: dict[str, IntArray] = {}

    def execute(given: Mapping[str, IntArray]) -> dict[str, IntArray]:
        seen.update(given)
        return {"y": given["x"]}

    with accelerator(board(describe(port, outputs=(out,)), execute)) as chip:
        got = chip.run(frames)["y"]
    np.testing.assert_array_equal(got.reshape(raw.shape), raw)
    for value, sent in frames.items():
        np.testing.assert_array_equal(seen[value].reshape(sent.shape), sent)


def test_several_streams_and_a_mask_go_by_name() -> None:
    tokens = Port("s_axis", "a", 4, 2, Fixed(True, 8, 0), 2, mask="keep")
    vector = Port("s_axis_b", "b", 1, 3, Fixed(True, 8, 0), 1)
    outputs = (
        Port("m_axis", "sum", 1, 3, Fixed(True, 12, 0), 1),
        Port("m_axis_kept", "kept", 4, 2, Fixed(True, 8, 0), 4),
    )

    def execute(given: Mapping[str, IntArray]) -> dict[str, IntArray]:
        kept = given["a"] * given["keep"]
        return {"sum": given["b"] + kept.sum(axis=(1, 2))[:, None, None], "kept": kept}

    a = np.arange(16).reshape(2, 4, 2)
    b = np.array([[1, 2, 3], [4, 5, 6]])
    keep = np.array([[True, True, False, True], [False, False, False, True]])
    with accelerator(board(describe(tokens, vector, outputs=outputs), execute)) as chip:
        got = chip.predict({"a": a.astype(float), "b": b.astype(float), "keep": keep})
    assert isinstance(got, dict)
    kept = a * keep[..., None]
    np.testing.assert_array_equal(got["kept"], kept)
    np.testing.assert_array_equal(got["sum"], b + kept.sum(axis=(1, 2))[:, None])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.zeros((2, 5, 4)), r"E602 shape \(2, 5, 4\): 'x'. Pass \(n, 5, 3\), n frames"),
        (np.zeros((5, 3)), r"E602 shape \(5, 3\)"),
        (np.float64(1), r"E602 shape \(\)"),
        ({}, "E602 no data for an input: 'x'. Pass every input"),
        (np.array([["a"] * 3] * 5)[None], "E602 <U1, not real numbers"),
        (
            np.where(np.arange(15) == 7, np.nan, 0).reshape(1, 5, 3),
            r"E620 NaN at index \(0, 2, 1\)",
        ),
    ],
)
def test_unusable_inputs_are_refused_before_anything_is_sent(given: Any, told: str) -> None:
    made = board(execute=lambda frames: pytest.fail("something was sent"))
    with accelerator(made) as chip:
        error = raised(lambda: chip.predict(given))
        assert isinstance(error, DataError)
        assert re.match(told, str(error)), str(error)


def test_all_that_is_wrong_with_the_inputs_is_told_at_once() -> None:
    second = Port("s_axis_b", "b", 1, 3, Fixed(True, 8, 0), 1)
    with accelerator(board(describe(X, second, outputs=(Y,)))) as chip:
        error = raised(lambda: chip.predict({"x": np.full((2, 5, 3), np.nan), "z": np.zeros(1)}))
    assert isinstance(error, Problems)
    lines = sorted(str(error).splitlines())
    assert [line.split(":")[0] for line in lines] == [
        "E602 no data for an input",
        "E602 no such input",
        "E620 NaN at index (0, 0, 0)",
    ]


def test_raw_values_beyond_their_type_are_refused() -> None:
    with accelerator(board()) as chip:
        assert raised(lambda: chip.run({"x": np.full((1, 5, 3), 32)})).code == "E602"
        told = str(raised(lambda: chip.run({"x": np.full((1, 5, 3), 0.5)})))
        assert told == "E602 float64, not raw integers: 'x'. Pass raw integers."
        two = {"x": np.zeros((2, 5, 3), np.int64)}
        np.testing.assert_array_equal(chip.run(two)["y"], np.ones((2, 5, 3)))


def test_wide_integers_are_whole() -> None:
    wide = Port("s_axis", "x", 1, 1, Fixed(True, 70, 0), 1)
    with accelerator(board(describe(wide, outputs=(replace(wide, name="m_axis", value="y"),)),
                           lambda frames: {"y": frames["x"]})) as chip:  # fmt: skip
        assert chip.run({"x": np.array([[1 << 68]], object)})["y"][0, 0] == 1 << 68
        told = str(raised(lambda: chip.run({"x": np.array([[0.5]], object)})))
    assert told == "E602 object, not raw integers: 'x'. Pass raw integers."


def test_a_closed_accelerator_says_so() -> None:
    chip = accelerator(board())
    chip.close()
    chip.close()
    assert raised(lambda: chip.predict(np.zeros((1, 5, 3)))).code == "E906"


@dataclass
class Faulty:
    """An engine that goes wrong once, then right."""

    good: NumpyEngine
    spoil: Callable[[Answer], Answer]
    left: int = 1

    def run(self, packets: Mapping[str, ByteArray]) -> Answer:
        answer = self.good.run(packets)
        self.left -= 1
        return self.spoil(answer) if self.left >= 0 else answer


def packet(change: Callable[[Packet], Packet]) -> Callable[[Answer], Answer]:
    return lambda answer: replace(answer, packets={"m_axis": change(answer.packets["m_axis"])})


def flipped(octets: ByteArray) -> ByteArray:
    changed = octets.copy()
    changed[7] ^= 0x80  # beyond the last element of the beat
    return changed


FAULTS: list[tuple[str, str, Callable[[Answer], Answer]]] = [
    ("E903", "board timed out", packet(lambda p: Packet(p.octets[:8], False))),
    ("E904", "frame dropped", lambda a: Answer({"m_axis": Packet(a.packets["m_axis"].octets[:0],
                                                                 False)}, True)),
    ("E905", "short transfer", packet(lambda p: Packet(p.octets[:-8], True))),
    ("E902", "DMA transfer failed", packet(lambda p: Packet(np.tile(p.octets, 2), True))),
    ("E902", "DMA transfer failed", packet(lambda p: Packet(p.octets, False))),
    ("E908", "bytes that are no frames", packet(lambda p: Packet(flipped(p.octets), True))),
]  # fmt: skip


@pytest.mark.parametrize(("code", "told", "spoil"), FAULTS)
def test_what_goes_wrong_is_told_and_the_next_call_works(
    code: str, told: str, spoil: Callable[[Answer], Answer]
) -> None:
    description = describe(X, outputs=(Y,))
    engine = Faulty(NumpyEngine(description, affine), spoil)
    chip = accelerator(SimulatedBoard(description, engine), timeout_s=0.02)
    frames = {"x": np.zeros((2, 5, 3), np.int64)}
    error = raised(lambda: chip.run(frames))
    assert isinstance(error, BoardError)
    assert (error.code, told in str(error)) == (code, True), str(error)
    assert error.cause and error.fix
    assert not chip.frame_error
    np.testing.assert_array_equal(chip.run(frames)["y"], np.ones((2, 5, 3)))


def test_a_torn_packet_sets_frame_error_and_keeps_whole_frames() -> None:
    made = board()
    size = made.description.inputs[0].layout.frame_bytes
    answer = made.engine.run({"s_axis": np.zeros(2 * size + 8, np.uint8)})
    assert answer.frame_error
    assert len(answer.packets["m_axis"].octets) == 2 * size
    assert not answer.packets["m_axis"].ended


def test_another_designs_bitstream_is_refused() -> None:
    made = board()
    made.status.identity ^= 1
    error = raised(lambda: accelerator(made))
    assert error.code == "E901"
    assert "0x2badcafe" in str(error) and "0x2badcaff" in str(error)


def test_a_dma_that_stays_in_reset_is_told() -> None:
    made = board()
    stuck = SimpleNamespace(read=lambda offset: 4, write=lambda offset, value: None)
    stand_in = SimpleNamespace(status=made.status, dma=lambda name: stuck)
    error = raised(lambda: Accelerator(stand_in, made.description))  # type: ignore[arg-type]
    assert (error.code, error.what) == ("E903", "DMA does not leave its reset")


def test_memory_is_given_back() -> None:
    made = board()
    with accelerator(made) as chip:
        chip.predict(np.zeros((1, 5, 3)))
        assert made.buffers and not any(buffer.freed for buffer in made.buffers)
    assert all(buffer.freed for buffer in made.buffers)


def test_an_interrupted_transfer_leaves_an_empty_board() -> None:
    description = describe(X, outputs=(Y,))

    def stop(answer: Answer) -> Answer:
        raise KeyboardInterrupt

    made = SimulatedBoard(description, Faulty(NumpyEngine(description, affine), stop))
    chip = accelerator(made)
    with pytest.raises(KeyboardInterrupt):
        chip.predict(np.zeros((1, 5, 3)))
    np.testing.assert_array_equal(chip.predict(np.zeros((1, 5, 3))), 1 / 8)


def test_a_channel_in_disorder_is_told_in_pynqs_words() -> None:
    made = board()
    chip = accelerator(made)
    made.dma("dma_0").recvchannel.halt()
    error = raised(lambda: chip.predict(np.zeros((1, 5, 3))))
    assert (error.code, error.cause) == ("E902", "DMA channel not started")
    np.testing.assert_array_equal(chip.predict(np.zeros((1, 5, 3))), 1 / 8)


def test_a_transfer_that_the_system_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    made = board()
    chip = accelerator(made)

    def transfer(*_: object) -> None:
        raise OSError(14, "Bad address")

    with monkeypatch.context() as patched:
        patched.setattr(type(made.dma("dma_0").recvchannel), "transfer", transfer)
        error = raised(lambda: chip.predict(np.zeros((1, 5, 3))))
    assert error.code == "E902" and "Bad address" in error.cause
    np.testing.assert_array_equal(chip.predict(np.zeros((1, 5, 3))), 1 / 8)


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [[1], [1, 2]],
        np.full((1, 5, 3), None),
        np.full((1, 5, 3), 10**400),
        np.full((1, 5, 3), "a", object),
    ],
    ids=["none", "ragged", "nones", "huge", "texts"],
)
def test_what_is_no_number_is_refused(bad: Any) -> None:
    with accelerator(board()) as chip:
        assert raised(lambda: chip.predict(bad)).code == "E602"


@pytest.mark.parametrize(
    "settings", [{"batch": "4"}, {"batch": 1.5}, {"timeout_s": "1"}, {"timeout_s": float("nan")}]
)
def test_settings_that_are_no_numbers(settings: dict[str, Any]) -> None:
    error = raised(lambda: accelerator(board(), **settings))
    assert error.code == "E602" and next(iter(settings)) in str(error)
