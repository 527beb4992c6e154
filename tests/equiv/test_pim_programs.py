"""Compiled programs on every device: every command they become is legal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateformer.hw.pim import device
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.mapping import names
from gateformer.hw.pim.program import Segment
from gateformer.quant.decoder import Decoder
from gateformer.sim.dram import check, engine
from gateformer.sim.dram.refresh import Refresh

DECODER = Decoder("small", 2, 320, 5, 5, 64, 1280, 500, 1024)
SHARED = replace(DECODER, kv_heads=1, norm="rms", activation="silu", gated=True, positions="rotary")


@pytest.mark.parametrize("name", device.names())
@pytest.mark.parametrize("mapping", names())
def test_programs_are_legal(name: str, mapping: str) -> None:
    decoder = SHARED if mapping == "stream-k" or name == "hbm-pim" else DECODER
    memory = device.with_(device.load(name), channels=2)
    compiler = Compiler(decoder, memory, mapping, tokens=512, v_batch=4, parts=2)
    for position in (3, 300):
        steps = compiler.token(position).steps
        program = [one for step in steps if isinstance(step.work, Segment) for one in step.expand()]
        run = engine.run(program, memory, refresh=Refresh("all-bank"), log=True, strict=True)
        assert run.commands is not None
        report = check.check(run.commands, memory, strict=True, policy="all-bank")
        assert report.legal, report.lines(3)
        macs = run.counts.get("MAC16", 0) * memory.organization.banks + run.counts.get("MAC", 0)
        assert macs * memory.mac.lanes >= decoder.macs(position)  # type: ignore[union-attr] # has one
