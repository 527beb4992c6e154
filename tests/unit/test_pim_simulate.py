"""Whole generations: a token by hand, both methods alike, and what must be conserved."""

from __future__ import annotations

import importlib
import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gateformer.hw.pim import device as devices
from gateformer.hw.pim import energy
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.program import Segment
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import GateformerError
from gateformer.sim.dram.engine import Machine
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim import simulate
from gateformer.sim.pim.bounds import row_stream
from gateformer.sim.pim.crossover import crossover
from gateformer.sim.pim.host import host_traffic
from gateformer.sim.pim.results import Generation
from gateformer.sim.pim.timeline import Works
from gateformer.sim.pim.tornado import assumed, moved, sensitivity

TINY = Decoder("tiny", 1, 16, 1, 1, 16, 16, 16, 32)
SMALL = Decoder("small", 2, 96, 4, 4, 24, 200, 300, 400)
SHARED = Decoder(
    "shared", 2, 64, 4, 2, 16, 96, 130, 300, "rms", "silu", True, "rotary", False, False, False
)


def one_channel() -> Device:
    found = devices.with_(devices.load("pim-gpt"), channels=1)
    assert found.link is not None
    return replace(found, link=replace(found.link, latency_ns=0.0))


def test_a_token_by_hand() -> None:
    """All of a one-block decoder of width 16 on one channel of pim-gpt's timing, no refresh.

    W: WR_GB, B: WR_BIAS (WRMAC16), M: MAC16, R: RDMAC16, S: SYNC; clocks from a step's start.
    """
    by_hand = {
        # clock 1: ACT 1, RD 13 (nRCDRD), done 39 (nCL + nBL), S 40
        "embedding": 39,
        # PRE 0 (nRAS long over), ACT 12, RD 24, done 50, S 51
        "embedding/position": 51,
        "embedding/sum": 3,  # ceil(16 / 256 adders) + 2 of the addition
        # 160 numbers, 10 columns: PRE 0, ACT 12, RD 24 to 33, done 59, S 60
        "parameters": 60,
        # serial 11 x 3 + 21 x 2, three phases of one clock, one clock of the vector's
        "norm1": 79,
        # 48 outputs, three to a bank. W 0, B 1, PREA 2, ACT16 14, M 26, R 27, done 29; decode 30:
        # B 32 (R + 5), M 33, R 40 (B + 8), done 42; decode 43: B 45, M 46, R 53, done 55; S 56, 57
        "qkv": 57,
        "qkv/sum": 3,
        # PRE 0, ACT 12, WR 24, done 28, S 29
        "attention/append_keys": 29,
        # W 0, B 1, PREA 11 (WR at -5, + nCWL + nBL + nWR), ACT16 23, M 35, R 36, done 38, S 39, 40
        "attention/score": 40,
        # serial 11 multiplications x 3 + 27 additions x 2, three phases, one clock of the vector's
        "attention/softmax": 91,
        # PREA 0, ACT16 12, M 24, WR 25 to 40 in bank after bank, done 44, S 45
        "attention/append_values": 45,
        # the row is open: W 0, B 1, M 2, R 9 (B + 8), done 11, S 12 to 13
        "attention/values": 13,
        # W 1 (R at -4, + 5), B 2, PREA 3, ACT16 15, M 27, R 28, done 30, S 31 to 32
        "projection": 32,
        "projection/sum": 3,
        "residual1": 3,
        "norm2": 79,
        # W 0, B 1, PREA 2, ACT16 14, M 26, R 27, done 29, S 30 to 31
        "ffn/up": 31,
        "ffn/up/sum": 3,
        "ffn/gelu": 68,  # serial 14 x 3 + 12 x 2, ceil(16 x 14 / 128 multipliers)
        "ffn/down": 31,
        "ffn/down/sum": 3,
        "residual2": 3,
        # PRE 4 (ACT16 at -23, + nRAS), ACT 16, RD 28 and 29, done 55, S 56
        "norm/parameters": 56,
        "norm": 79,
        "head": 31,
        "token": 19,  # serial 9 additions x 2, one clock
    }
    found = simulate(TINY, 1, device=one_channel(), refresh="none")
    assert {part.name: part.clocks for part in found.parts} == by_hand
    assert found.clocks == sum(by_hand.values()) == 951


def figures(found: Generation) -> dict[str, Any]:
    whole = found.as_dict()
    del whole["settings"]["method"], whole["distinct_commands"]
    return whole


@pytest.mark.parametrize(
    ("decoder", "settings"),
    [
        (SMALL, {"tokens": 20}),
        (SMALL, {"tokens": 3, "prompt": 4, "hot": True}),
        (SMALL, {"tokens": 4, "past": 253, "overlap": True}),
        (SMALL, {"tokens": 4, "past": 120, "refresh": "per-bank"}),
        (SMALL, {"tokens": 3, "batch": 3, "overlap": True, "channels": 3}),
        (SMALL, {"tokens": 5, "mapping": "stream-k", "past": 60}),
        (SMALL, {"tokens": 5, "mapping": "interleaved", "past": 60}),
        (SMALL, {"tokens": 18, "v_batch": 4}),
        (SMALL, {"tokens": 4, "ffn_keep": 0.3}),
        (SHARED, {"tokens": 3, "ffn_keep": 0.5, "overlap": True, "weights": "int8"}),
        (SHARED, {"tokens": 12, "device": "gddr6-aim", "channels": 4, "weights": "int8"}),
        (SHARED, {"tokens": 6, "weights": "int4", "asic_clock_ns": 10.0}),
        (SHARED, {"tokens": 4, "device": "hbm-pim"}),
        (SHARED, {"tokens": 4, "device": "lpddr5-pim"}),
    ],
)
def test_closed_form_and_commands_agree_on_everything(
    decoder: Decoder, settings: dict[str, Any]
) -> None:
    closed = simulate(decoder, **settings)
    assert figures(closed) == figures(simulate(decoder, **settings, method="command"))


@pytest.fixture(scope="module")
def generation() -> Generation:
    return simulate(SMALL, 40, prompt=5)


def test_clocks_are_conserved(generation: Generation) -> None:
    assert sum(generation.breakdown.values()) == generation.clocks
    assert generation.memory_clocks + generation.asic_clocks == generation.clocks
    tracks: dict[str, list[tuple[int, int]]] = {}
    for one in generation.slices():
        tracks.setdefault(one.track, []).append((one.start, one.clocks))
    assert set(tracks) == {"token", "memory", "asic"}
    lengths = {track: sum(clocks for _, clocks in slices) for track, slices in tracks.items()}
    assert lengths["token"] == generation.clocks
    assert lengths["memory"] == generation.memory_clocks
    assert lengths["asic"] == generation.asic_clocks
    both = sorted(tracks["memory"] + tracks["asic"])
    assert all(start + clocks == then for (start, clocks), (then, _) in pairwise(both))


def test_work_and_bytes_are_conserved(generation: Generation) -> None:
    expected = sum(SMALL.macs(position, logits=position >= 5) for position in range(45))
    assert generation.macs == expected
    lanes = 16
    assert int(generation.bank_macs.sum()) * lanes >= expected
    channels, banks = generation.bank_macs.shape
    assert generation.counts["MAC16"] == generation.bank_macs.sum() / banks
    assert generation.channel_requests.shape == (channels,)
    sent = {part.name: part.sent for part in generation.parts}
    received = {part.name: part.received for part in generation.parts}
    columns = -(-SMALL.d_model // lanes)
    outputs = -(-(SMALL.queries + 2 * SMALL.kv_width) // (channels * banks)) * banks
    one = (columns + outputs // banks) * 32 * channels  # inputs, and a bias a block, per channel
    assert sent["qkv"] == 45 * SMALL.layers * one
    assert received["qkv"] == 45 * SMALL.layers * outputs * 2 * channels
    assert generation.link_bytes == sum(sent.values()) + sum(received.values())


def test_energy_adds_up(generation: Generation) -> None:
    for name in ("pim-gpt", "cent"):
        items = generation.energy(name)
        assert generation.joules(name) == pytest.approx(sum(items.values()), rel=1e-9)
        assert generation.average_power(name) <= generation.peak[name][1] * 1.2
    assert generation.joules() == generation.joules("pim-gpt")
    assert generation.joules("cent") > generation.joules("pim-gpt")
    assert tuple(generation.energy()) == energy.ITEMS


def test_as_dict_is_plain_json(generation: Generation) -> None:
    import json

    whole = json.loads(json.dumps(generation.as_dict(), allow_nan=False))
    assert whole["clocks"] == generation.clocks
    assert whole["binding_constraint"] in generation.device.constraints[0].text or any(
        whole["binding_constraint"] == one.text for one in generation.device.constraints
    )
    assert whole["row_hit_bound"] == 63 / 64


def test_rows_that_refreshes_close_unused_are_no_hits_below_none(generation: Generation) -> None:
    assert 0 < generation.row_hit_rate < generation.row_hit_bound
    assert replace(generation, counts={"ACT": 5, "RD": 2}).row_hit_rate == 0


@pytest.mark.parametrize("refresh", ["all-bank", "per-bank"])
def test_one_refresh_a_boundary_before_the_last_command(refresh: Any) -> None:
    device = devices.load("pim-gpt")
    found = simulate(SMALL, 12, device=device, refresh=refresh)
    rule = Refresh(refresh)
    machine = Machine(device, rule, log=True)
    compiler = Compiler(SMALL, device, tokens=12)
    end = 1
    for row, token in zip(found.timelines[0].starts, range(12), strict=True):
        for start, step in zip(row.tolist(), compiler.token(token).steps, strict=True):
            if isinstance(step.work, Segment):
                end = machine.run(step.expand(), start + 1)
    log = machine.commands()
    name = {"all-bank": "REFab", "per-bank": "REFpb"}[refresh]
    assert machine.result(end).counts == found.counts
    for channel in range(8):
        mine = log.channel == channel
        issued = np.array([name == one for one in names(log.command[mine])])
        last = int(log.clock[mine][~issued].max())
        due = last // rule.interval(device)
        before = int((issued & (log.clock[mine] < last)).sum())
        assert before == due
    assert found.counts[name] // 8 - (end // rule.interval(device)) in (0, -1)


def names(commands: Any) -> list[str]:
    from gateformer.hw.pim.isa import COMMANDS

    return [COMMANDS[one] for one in commands]


def test_overlap_keeps_order_and_waits_for_what_it_needs() -> None:
    found = simulate(SMALL, 6, past=100, overlap=True, batch=2)
    compiler = Compiler(SMALL, found.device, tokens=106, batch=2, parts=2)
    timeline = found.timelines[0]
    for row in range(6):
        steps = compiler.token(100 + row).steps
        starts = timeline.starts[row]
        ends = starts + timeline.clocks[row]
        free = {"memory": 0, "asic": 0}
        for at, step in enumerate(steps):
            assert all(ends[one] <= starts[at] for one in step.after)
            track = timeline.steps[at][0]
            assert starts[at] >= free[track]
            free[track] = int(ends[at])
    alone = simulate(SMALL, 6, past=100, batch=2)
    assert found.clocks < alone.clocks
    assert found.overlapped_clocks > 0
    assert alone.overlapped_clocks == 0


def test_more_channels_are_not_slower() -> None:
    clocks = [simulate(SMALL, 2, past=200, channels=count).clocks for count in (1, 2, 4, 8, 16)]
    assert all(more <= fewer for fewer, more in pairwise(clocks))


def test_a_slower_asic_costs_what_it_takes_alone() -> None:
    fast = simulate(SMALL, 3, refresh="none")
    slow = simulate(SMALL, 3, refresh="none", asic_clock_ns=10.0)
    assert slow.asic_clocks == 10 * fast.asic_clocks
    assert slow.clocks >= fast.clocks
    # Waits that the ASIC's time hides are the only difference in the memory's.
    assert fast.memory_clocks * 0.97 <= slow.memory_clocks <= fast.memory_clocks


def test_refresh_costs_time_and_heat_doubles_it() -> None:
    none, cool, hot = (
        simulate(SMALL, 30, past=50, **settings)  # type: ignore[arg-type] # one of each kind
        for settings in ({"refresh": "none"}, {}, {"hot": True})
    )
    assert none.clocks < cool.clocks < hot.clocks
    assert none.breakdown["refresh"] == 0
    assert hot.counts["REFab"] == pytest.approx(2 * cool.counts["REFab"], rel=0.15)
    # The rest is what a refresh in idle time leaves to the segment behind it.
    lost = sum(part.refresh for part in cool.parts)
    assert 0.6 < lost / (cool.memory_clocks - none.memory_clocks) <= 1


def test_streamed_rows_take_what_the_bound_says() -> None:
    """128 of 226 clocks: 56 to the first MAC, 63 x 2 between, 12 to the precharge, 32 of it."""
    device = devices.load("gddr6-aim")
    bound = row_stream(device)
    assert (bound.period, bound.useful, bound.pace) == (226, 128, 2)
    assert bound.binding.text == "nRCDRDMAC"
    assert sum(edge.clocks for edge in bound.edges) == bound.period
    rows = [Instruction("MAC_ABK", 64, 1, row=row) for row in range(40)]
    ends = [Machine(device, Refresh("none")).run(rows[:count]) for count in (20, 40)]
    assert ends[1] - ends[0] == 20 * bound.period
    slow = row_stream(devices.with_(device, nRC=300))
    assert (slow.period, slow.binding.text) == (300, "nRC")
    paced = row_stream(devices.with_(device, nCCDS=4))
    assert (paced.useful, paced.pace) == (256, 4)


WIDE = Decoder("wide", 1, 128, 2, 2, 64, 2048, 128, 64)


def test_skipped_columns_save_their_commands_and_no_more() -> None:
    whole, half = (simulate(WIDE, 3, ffn_keep=keep, refresh="none") for keep in (1.0, 0.5))
    units = whole.device.organization.channels * whole.device.organization.banks
    macs = 2048 // 16 // 2 * -(-128 // units) * whole.device.organization.channels
    assert whole.counts["MAC16"] - half.counts["MAC16"] == 3 * macs
    assert whole.macs - half.macs == 3 * 1024 * 128
    assert whole.counts["ACT16"] == half.counts["ACT16"]
    slots = 2048 // 16 // 2 * whole.device.organization.channels
    assert whole.counts["WRGB"] - half.counts["WRGB"] == 3 * slots


def test_which_columns_are_kept_changes_no_clock() -> None:
    """Each output's tile is a row of its own here, and a column of an open row is any other."""
    memory = devices.load("pim-gpt")
    compiler = Compiler(WIDE, memory, tokens=8, ffn_keep=0.25)
    program = compiler.token(1)
    work = next(s.work for s in program.steps if s.work.name == "ffn/down")
    assert isinstance(work, Segment)
    down = compiler.layout.matrices["down"]
    chosen = random.Random(3)

    def ends(segment: Segment) -> int:
        return Machine(memory, Refresh("none")).run(segment.expand(0), 1)

    for _ in range(20):
        loops = compiler.lowering.product(
            down, range(128), range(2), lambda tile: sorted(chosen.sample(range(tile.columns), 16))
        )
        assert ends(replace(work, loops=tuple(loops))) == ends(work)


def test_capacity_and_settings_out_of_range() -> None:
    found = simulate(SMALL, 1)
    assert 0 < found.capacity.share < 1
    for settings, code in (
        ({"tokens": 0}, "E022"),
        ({"tokens": 1, "prompt": -1}, "E022"),
        ({"tokens": 1, "ffn_keep": 0.0}, "E022"),
        ({"tokens": 1, "ffn_keep": 1.01}, "E022"),
        ({"tokens": 1, "ffn_keep": float("nan")}, "E022"),
        ({"tokens": 401}, "E022"),
        ({"tokens": 1, "method": "guess"}, "E022"),
        ({"tokens": 1, "refresh": "never"}, "E022"),
        ({"tokens": 1, "asic_clock_ns": 0.0}, "E022"),
        ({"tokens": 1, "asic_clock_ns": float("nan")}, "E022"),
        ({"tokens": 1, "device": "ddr9"}, "E807"),
        ({"tokens": 1, "mapping": "random"}, "E807"),
        ({"tokens": 1, "channels": 65}, "E805"),
    ):
        with pytest.raises(GateformerError, match=code):
            simulate(SMALL, **settings)  # type: ignore[arg-type] # deliberately wrong
    with pytest.raises(GateformerError, match="E807"):
        simulate("gpt5", 1)
    huge = replace(SMALL, d_model=8192, d_ff=32768, heads=64, kv_heads=64, d_head=128, layers=96)
    with pytest.raises(GateformerError, match="E806"):
        simulate(huge, 1)


def test_what_a_device_assumes_is_moved() -> None:
    device = devices.load("pim-gpt")
    constants = {(one.table, one.name) for one in assumed(device)}
    assert {("timing", "nRP"), ("power", "idd4r"), ("link", "latency_ns")} <= constants
    assert not any(one.table == "timing" for one in assumed(devices.load("gddr6-aim")))
    assert {one.name for one in assumed(devices.load("gddr6-aim")) if one.table == "power"} == {
        "idd5b",
        "asic_mw",
    }
    short = next(one for one in assumed(device) if one.name == "nBL")
    assert moved(device, short, 1.2).timing["nBL"] == short.value + 1
    found = {one.constant.name: one for one in sensitivity(TINY, tokens=1, past=3)}
    assert found["nRP"].time[0] < 0 < found["nRP"].time[1]
    assert found["idd4r"].time == (0.0, 0.0)
    assert found["idd4r"].energy[0] < 0 < found["idd4r"].energy[1]
    assert found["nREFI"].high == pytest.approx(1.2 * 6800)


def test_host_traffic_costs_more_than_its_data() -> None:
    device = devices.load("gddr6-aim")
    light = host_traffic(device, 8.0, rows=64)
    heavy = host_traffic(device, 64.0, rows=64)
    assert 1 < light.slowdown < heavy.slowdown
    assert light.switch_clocks > 2 * device.timing["nMODCH"]
    # What has arrived when the last row ends is not all served.
    assert heavy.host_gb_per_s == pytest.approx(64.0, rel=0.1)
    assert host_traffic(device, 8.0, rows=64, writes=True).slowdown > 1
    for wrong in (0.0, -1.0, 1e6):
        with pytest.raises(GateformerError, match="E022"):
            host_traffic(device, wrong)


def test_a_gpu_overtakes_where_its_step_is_shorter() -> None:
    one = simulate(TINY, 1, past=7).ms_per_token
    found = crossover(TINY, lambda _: 3.5 * one, past=7, most=16)
    assert found.batch == 4
    tried = {batch: (memory, gpu) for batch, memory, gpu in found.points}
    assert tried[4][0] > tried[4][1] > tried[3][0]
    never = crossover(TINY, lambda batch: 100 * batch, past=7, most=4)
    assert never.batch is None
    assert "4 sequences" in never.stopped


def test_the_package_offers_its_functions_lazily() -> None:
    package = importlib.import_module("gateformer.sim.pim")
    assert package.simulate is simulate
    assert package.simulate("gpt2-small", tokens=1).settings.tokens == 1
    assert package.simulate is simulate  # no module of that name has taken its place
    assert set(package.__dir__()) >= {"simulate", "sensitivity", "Generation"}


@pytest.mark.slow
def test_a_whole_token_of_gpt2_small_both_ways() -> None:
    closed = simulate("gpt2-small", 2, past=600)
    assert figures(closed) == figures(simulate("gpt2-small", 2, past=600, method="command"))


@pytest.mark.parametrize("decoder", [replace(SMALL, layers=5), replace(SHARED, layers=4)])
def test_two_blocks_tell_what_all_do(decoder: Decoder) -> None:
    device = devices.load("pim-gpt")
    whole, two = (Compiler(one, device) for one in (decoder, replace(decoder, layers=2)))
    every, folded = Works(device), Works(device, decoder.layers - 2)
    for position in (0, 1, 127, 128, 299):
        programs = whole.token(position), two.token(position)
        plans = every.plan(programs[0]), folded.plan(programs[1])
        assert every.names(programs[0]) == folded.names(programs[1])
        assert [step.name for step in programs[0].steps] == every.names(programs[0])
        instructions = [
            [
                work.clocks if work.segment is None else list(work.segment.expand(offset))
                for work, offset in zip(plan.works, plan.offsets, strict=True)
            ]
            for plan in plans
        ]
        assert instructions[0] == instructions[1]
        macs = [sum(sum(one) * times for _, one, times in plan.groups) for plan in plans]
        assert macs == [decoder.macs(position)] * 2


def drawn(seed: int) -> tuple[Decoder, dict[str, Any]]:
    """Return a decoder and settings that no one would think of."""
    pick = random.Random(seed)
    heads = pick.choice([1, 2, 3, 5, 6])
    shared = pick.choice([count for count in range(1, heads + 1) if heads % count == 0])
    decoder = Decoder(
        "drawn", pick.randint(1, 4), pick.choice([16, 40, 96, 160, 272]), heads, shared,
        pick.choice([8, 16, 20, 32, 64]), pick.choice([32, 100, 300]), pick.choice([50, 300]), 500,
    )  # fmt: skip
    device = devices.load(pick.choice(["pim-gpt", "gddr6-aim", "hbm-pim", "lpddr5-pim"]))
    if pick.random() < 0.7:
        device = devices.with_(device, nREFI=device.timing["nRFC"] + pick.randint(150, 900))
    return decoder, {
        "device": device,
        "refresh": pick.choice(["all-bank", "all-bank", "per-bank", "none"]),
        "overlap": pick.random() < 0.3,
        "batch": pick.choice([1, 1, 1, 2, 3]),
        "channels": pick.choice([1, 2, 3, 5, 8]),
        "mapping": pick.choice(["pim-gpt", "stream-k", "interleaved"]),
        "v_batch": pick.choice([1, 1, 2, 4]),
        "past": pick.choice([0, 3, 100, 255]),
        "tokens": pick.randint(1, 6),
        "prompt": pick.choice([0, 2]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_both_ways_agree_on_what_is_drawn(block: int) -> None:
    agreed = 0
    for seed in range(50 * block, 50 * block + 50):
        decoder, settings = drawn(seed)
        try:
            closed = simulate(decoder, **settings)
        except GateformerError as error:
            assert error.code in ("E804", "E805", "E806"), (seed, error)
            continue
        assert figures(closed) == figures(simulate(decoder, **settings, method="command")), seed
        agreed += 1
    assert agreed > 30


def test_prompt_tokens_would_not_move_the_head() -> None:
    shape = Decoder("tiny", 2, 64, 4, 4, 16, 128, 1024, 32)
    found = simulate(shape, tokens=2, prompt=3)
    cache = 2 * shape.kv_elements * (1 + 2 + 3 + 4 + 5)
    moved = 2 * (5 * shape.block_weights + 2 * shape.head.weights) + cache
    assert found.traffic_cut == moved / found.link_bytes


def test_a_sequence_beyond_the_context_says_what_it_is_made_of() -> None:
    with pytest.raises(
        GateformerError, match=r"'tokens'. 20 behind 15 make 35; tiny's context"
    ) as e:
        simulate(TINY, 20, prompt=10, past=5, device=one_channel())
    assert "has 32" in str(e.value)
    for before in ({"prompt": 32}, {"past": 32}):
        cause = f"'{next(iter(before))}'. 32 in front leave no room in tiny's context of 32"
        with pytest.raises(GateformerError, match=cause):
            simulate(TINY, 1, device=one_channel(), **before)  # type: ignore[arg-type]
    with pytest.raises(GateformerError, match="It is 33; it must be from 1 to tiny's context, 32"):
        simulate(TINY, 33, device=one_channel())
