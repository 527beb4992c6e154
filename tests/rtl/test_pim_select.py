"""The ASIC's choice of words in Verilog: the model's words, ties among them, and its clocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.asic_units import units
from gateformer.hw.pim.functions import Alu, largest_groups
from gateformer.sim.pim.asic_rtl import sources
from gateformer.sim.rtl.vectors import Ports, stream

LANES, COLUMNS = 16, 64
BENCH = """
module select_bench (
  input clk, rst, valid, first, last, input [7:0] count, input [15:0] lanes,
  input [255:0] numbers, output ready, output [63:0] kept
);
  gf_pim_select #(.LANES(16), .Columns(64)) select (
    .clk(clk), .rst(rst), .keep(count), .in_valid(valid), .in_first(first), .in_last(last),
    .in_keep(lanes), .in(numbers), .ready(ready), .kept(kept)
  );
endmodule
"""
LATENCY = 2 * 4 + 1 + 15 + 6
PORTS = Ports(
    {"rst": 1, "valid": 1, "first": 1, "last": 1, "count": 8, "lanes": 16, "numbers": 256},
    {"ready": 1, "kept": 64},
    latency=LATENCY,
)


def vectors() -> Iterator[np.ndarray]:
    """Numbers of every kind, in vectors of all lengths; last words of one number among them."""
    rng = np.random.default_rng(11)
    for length in (1, 16, 17, 640, 1009, 1023, 1024):
        place = np.arange(length)
        signs = np.where(place % 2, -1.0, 1.0)
        one_hot = np.zeros(length)
        one_hot[rng.integers(length)] = -7.0
        some = place // LANES % 5 * 2.0**-9  # behind 1 a fraction of its last place
        steps = np.choose(np.minimum(place % LANES, 2), [np.ones(length), some, 0.0 * some])
        strange = to_bf16(rng.normal(size=length))
        odd = rng.choice(length, min(length, 6), replace=False)
        strange.view(np.uint32)[odd] = [
            0xFFC0_0000, 0x7F81_0000, 0xFF80_0000, 0x7F80_0000, 0x8001_0000, 0x8000_0000
        ][: len(odd)]  # fmt: skip
        rows = [
            signs, 0.0 * signs, np.zeros(length), one_hot, steps, place, -place[::-1],
            2.0**-133 * signs, rng.integers(0, 3, length) * 2.0**-133, 3e38 * signs,
            np.where(place // LANES % 3, 3e38, 1.0), np.full(length, np.nan),
            np.full(length, -np.inf), rng.normal(size=length), rng.integers(-1, 2, length),
            np.where(place // LANES % 2, 0.0, rng.normal(size=length)),
        ]  # fmt: skip
        yield from to_bf16(np.array(rows))
        yield strange
        yield (rng.integers(0, 1 << 16, length).astype(np.uint32) << 16).view(np.float32)


@pytest.mark.verilator
def test_every_choice_is_the_models(tmp_path: Path, builds: Path) -> None:
    """Also with words that do not follow at once; what is kept holds with ready, and only then."""
    rng = np.random.default_rng(12)
    rows: list[list[int]] = [[1, 0, 0, 0, 0, 0, 0]] * 2
    expected: dict[int, int] = {}
    for number, x in enumerate(vectors()):
        columns = -(-len(x) // LANES)
        for keep in sorted({1, columns // 3 + 1, max(1, columns - 1), columns, 255}):
            words = np.zeros(columns * LANES, np.uint16)
            words[: len(x)] = x.view(np.uint32) >> 16
            words[len(x) :] = 0x7F80  # what stands behind a vector
            for column, own in enumerate(words.reshape(-1, LANES)):
                lanes = (1 << min(LANES, len(x) - column * LANES)) - 1
                marks = [int(column == 0), int(column == columns - 1), keep, lanes]
                packed = int.from_bytes(own.astype("<u2").tobytes(), "little")
                pauses = int(rng.integers(0, 3)) if number % 4 == 0 else 0
                rows += [[0, 0, *marks, packed]] * pauses + [[0, 1, *marks, packed]]
            chosen = largest_groups(Alu(), x, LANES, keep)
            assert len(chosen) == min(keep, columns)
            expected[len(rows) - 1] = sum(1 << int(one) for one in chosen)
            rows += [[0, 0, 1, 1, keep, 0xFFFF, packed]] * LATENCY
    files = sources("gf_pim_select") | {"select_bench.v": BENCH}
    found = stream("verilator", files, "select_bench", PORTS, rows, work=tmp_path, cache=builds)
    assert [clock for clock, (ready, _) in enumerate(found) if ready == 1] == [*expected]
    wrong = [clock for clock, kept in expected.items() if found[clock][1] != kept]
    assert not wrong, [(hex(found[at][1]), hex(expected[at])) for at in wrong[:3]]


def test_clocks_are_the_pipelines() -> None:
    """A start of the sequencer, and one of its clocks behind each vector."""
    own = units(LANES)["select"]
    assert (own.latency, own.passes, own.vector_latency) == (1, 1, LATENCY + 1)
