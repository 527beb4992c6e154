"""Seeded random memories, programs and numbers for the tests of the memory's Verilog."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
from equiv.pim_fuzz import POLICIES, Policy
from equiv.pim_fuzz import device as random_device
from equiv.pim_fuzz import program as random_program

from gateformer.hw.pim.device import Device, with_
from gateformer.hw.pim.isa import OPS, Instruction
from gateformer.hw.pim.verilog import Shape
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim.rtl.run import Work, Write

SIZED = {"WR_GB", "MAC_ABK", "EWMUL", "MAC_SBK", "COPY_BKGB", "COPY_GBBK"}
TAKES = {"WR_GB", "WR_BIAS", "WR_SBK", "WR_MEM", "WR_ABK"}


@dataclass(frozen=True, slots=True)
class Memory:
    """A random memory and its settings."""

    device: Device
    refresh: Refresh
    strict: bool
    queue: int
    weights: str


def memory(seed: int, channels: int | None = None) -> Memory:
    """Return the memory of a seed: every parameter drawn, and small."""
    draw = random.Random(seed)
    policy: Policy = draw.choice(POLICIES)
    double = draw.random() < 0.3
    device = random_device(draw, channels or draw.choice((1, 2, 2, 3)), policy, double)
    groups, in_group = draw.choice(((1, 1), (1, 4), (2, 3), (4, 1), (2, 4)))
    lanes, columns = draw.choice(((2, 8), (4, 4), (2, 16), (4, 8)))
    modes = device.organization.modes
    device = with_(
        device,
        bank_groups=groups,
        banks_per_group=in_group,
        rows=draw.choice((3, 4, 6)),
        row_bytes=lanes * columns * 2,
        access_bits=lanes * 16,
    )
    # The interval was drawn for as many banks as the device had; per bank it must not shrink.
    interval = max(device.timing["nREFI"], 64 * groups * in_group)
    device = with_(device, nREFI=interval)
    organization = replace(device.organization, modes=modes)
    assert device.mac is not None
    slots = columns * draw.choice((1, 2))
    mac = replace(device.mac, lanes=lanes, buffer_bytes=slots * lanes * 2)
    return Memory(
        replace(device, organization=organization, mac=mac),
        Refresh(policy, double, draw.choice((0, 0, 1, 3))),
        strict=draw.random() < 0.5,
        queue=draw.choice((33, 33, 1, 2, 5)),
        weights=draw.choice(("bf16", "bf16", "bf16", "int8", "int4")),
    )


def work(seed: int, one: Memory, length: int) -> Work:
    """Return a program with its numbers; it begins by loading all buffers and sums."""
    draw = random.Random(seed)
    sizes, shape = one.device.organization, Shape.of(one.device)
    everyone = (1 << sizes.channels) - 1
    step = 2 if one.weights == "int4" else 1
    found = [Instruction("WR_GB", shape.slots, everyone), Instruction("WR_BIAS", 1, everyone)]
    for each in random_program(draw, one.device, length)[:-1]:
        changed = _fitting(draw, each, sizes.columns, shape.slots, step)
        found.append(changed)
    found += [Instruction("RD_MAC", 1, everyone), Instruction("EOC")]
    rng = np.random.default_rng(seed)
    writes = [
        [
            _write(rng, shape, each.op, one.weights)
            for each in found
            if each.op in TAKES and each.channels >> channel & 1
            for _ in range(each.size)
        ]
        for channel in range(sizes.channels)
    ]
    rows = {
        (c, b, r): numbers(rng, sizes.row_bytes // 2, one.weights)
        for c in range(sizes.channels)
        for b in range(sizes.banks)
        for r in range(sizes.rows)
    }
    return Work(tuple(found), writes, rows)


def _fitting(
    draw: random.Random, one: Instruction, columns: int, slots: int, step: int
) -> Instruction:
    """Return an instruction that stays inside rows and buffer, from any column and slot on."""
    if one.op == "WR_GB":
        size = draw.randint(1, slots)
        return replace(one, size=size, column=draw.randint(0, slots - size))
    if OPS[one.op].rows == "none" or one.op == "AF":
        return one
    steps = step if one.op in ("MAC_ABK", "MAC_SBK") else 1
    most = min(columns, slots // steps)
    size = draw.choice((1, 2, draw.randint(1, most), most)) if one.op in SIZED else 1
    size = min(size, most)
    slot = draw.randint(0, slots // steps - size) * steps
    return replace(one, size=size, column=draw.randint(0, columns - size), slot=slot)


def numbers(rng: np.random.Generator, count: int, weights: str) -> np.ndarray:
    """Return BF16 numbers, few of them infinite, NaN, subnormal or huge; or any bytes."""
    if weights != "bf16":
        return rng.integers(0, 256, 2 * count, np.uint8)
    exponents = rng.integers(110, 140, count)
    rare = rng.random(count) < 0.01
    exponents[rare] = rng.choice((0, 1, 254, 255), rare.sum())
    bits = rng.integers(0, 2, count) << 15 | exponents << 7 | rng.integers(0, 128, count)
    return bits.astype(np.uint16).view(np.uint8)


def _write(rng: np.random.Generator, shape: Shape, op: str, weights: str) -> Write:
    whole = shape.data if op == "WR_BIAS" else shape.access
    mask = None
    if op in ("WR_SBK", "WR_MEM", "WR_ABK") and rng.random() < 0.5:
        mask = rng.integers(0, 2, shape.access // 8, np.uint8)
    return Write(numbers(rng, whole // 16, weights), mask)
