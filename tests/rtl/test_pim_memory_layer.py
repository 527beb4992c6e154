"""One attention layer of gpt2-small's shape at context 128, all of PIM-GPT's memory in Verilog.

Eight channels of sixteen banks of 16,384 rows. The ASIC's work between the segments is the model's;
the memory's segments run in Verilog and start when the ASIC's clocks before them have passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gateformer.hw.pim import asic
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.device import load
from gateformer.hw.pim.program import AsicWork
from gateformer.quant.decoder import Decoder
from gateformer.sim.dram.commands import CommandLog
from gateformer.sim.dram.engine import Machine
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim import data, words
from gateformer.sim.pim.rtl.recorder import Recorded, Recorder, work_of
from gateformer.sim.pim.rtl.run import Work, run
from gateformer.sim.pim.weights import random_weights

DEVICE = load("pim-gpt")
LAYER = Decoder("gpt2-small's layer", 1, 768, 12, 12, 64, 3072, 512, 1024)
POSITION = 127
NAMES = (
    "qkv", "attention/append_keys", "attention/score", "attention/append_values",
    "attention/values", "projection",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """What the model did: the work for the Verilog, what was read, and what stands in the rows."""

    work: Work
    end: int
    commands: CommandLog
    segments: tuple[Recorded, ...]
    cells: words.Words


def layer() -> Layer:
    """Run the last of 128 tokens on the model and the engine."""
    compiler = Compiler(LAYER, DEVICE, tokens=POSITION + 1)
    executor = data.Executor(compiler, random_weights(LAYER), compiled=False)
    assert isinstance(executor.banks, Recorder)
    _fill_cache(compiler, executor.banks)
    before = executor.banks.cells.copy()
    executor.token(POSITION, 3)
    recorded = iter(executor.banks.recorded)
    machine = Machine(DEVICE, Refresh.of(DEVICE), log=True)
    segments: list[Recorded] = []
    starts: list[int] = []
    names: list[str] = []
    end = wait = 0
    assert DEVICE.asic is not None
    for step in compiler.token(POSITION, word=3).steps:
        if isinstance(step.work, AsicWork):
            wait += asic.memory_clocks(asic.clocks(step.work, DEVICE.asic), DEVICE)
            continue
        own = next(recorded)
        assert tuple(step.expand()) == own.program
        if step.block == 0 and step.work.name in NAMES:
            starts.append(end + 1 + (wait if segments else 0))
            end = machine.run(own.program, starts[-1])
            segments.append(own)
            names.append(step.work.name)
        wait = 0
    assert tuple(names) == NAMES
    work = work_of(segments, starts, before)
    return Layer(work, end, machine.commands(), tuple(segments), executor.banks.cells)


def _fill_cache(compiler: Compiler, banks: Recorder) -> None:
    """Put random keys and values of the tokens before into their places."""
    rng = np.random.default_rng(7)
    shape = (POSITION, LAYER.kv_heads, LAYER.d_head)
    places = [one.ravel() for one in np.indices(shape)]
    cache = compiler.layout.caches[0]
    for where in (cache.where_key(*places), cache.where_value(*places)):
        numbers = rng.standard_normal(places[0].size).astype(np.float32)
        address = (where.channel, where.bank, where.row, where.column, where.lane)
        banks.cells[address] = words.bits(numbers)


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.timeout(3600)
def test_every_command_and_every_bit_of_a_layer(
    tmp_path: Path, builds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "Banks", Recorder)
    one = layer()
    (found,) = run(
        [one.work],
        DEVICE,
        outside=True,
        simulator="verilator",
        work=tmp_path,
        cache=builds,
    )
    # Behind the last SYNC, which ends at `end`, an EOC is decoded and takes a clock.
    assert found.clocks == one.end + 2
    expected = [line for line in one.commands.lines() if int(line.split()[0]) <= one.end]
    assert [line for line in found.commands.lines() if int(line.split()[0]) <= one.end] == expected
    assert len(expected) > 13_000
    sums = np.concatenate([np.stack(each.results) for each in one.segments if each.results])
    for channel in range(DEVICE.organization.channels):
        own = found.results[found.result_clocks[:, 1] == channel].view(np.uint16)
        assert np.array_equal(own, words.bits(sums[:, channel]))
    assert len(found.rows) > 100
    for (channel, bank, row), held in found.rows.items():
        cells = one.cells[channel, bank, row]
        assert np.array_equal(held.view(np.uint16).reshape(cells.shape), cells)
