"""Seeded random devices, programs and settings for the tests of the memory's simulators."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal

from gateformer.hw.pim.device import Device, load, with_
from gateformer.hw.pim.isa import OPS, Instruction

Policy = Literal["none", "all-bank", "per-bank"]
POLICIES: tuple[Policy, ...] = ("none", "all-bank", "per-bank")
ONE_CHANNEL = {"WR_ABK", "RD_MEM", "WR_MEM"}
BARRIERS = {"SYNC", "RD_MAC", "RD_AF"}


@dataclass(frozen=True, slots=True)
class Case:
    """One run of a simulator."""

    device: Device
    program: tuple[Instruction, ...]
    policy: Policy
    double: bool
    strict: bool
    queue: int
    postponed: int
    host_per_clock: int


def case(seed: int, length: int, channels: int | None = None) -> Case:
    """Return the case of a seed: about ``length`` instructions."""
    draw = random.Random(seed)
    policy = draw.choice(POLICIES)
    double = draw.random() < 0.3
    count = channels or draw.choice((1, 1, 1, 2, 3, 4, 7, 16, 32))
    made = device(draw, count, policy, double)
    return Case(
        made,
        program(draw, made, length),
        policy,
        double,
        strict=draw.random() < 0.5,
        queue=draw.choice((33, 33, 33, 1, 2, 5, 64)),
        postponed=draw.choice((0, 0, 1, 3, 8)),
        host_per_clock=draw.choice((1, 1, 1, 2, 4)),
    )


def device(draw: random.Random, channels: int, policy: Policy, double: bool) -> Device:
    """Return a device whose every parameter is drawn, and whose refresh leaves room for work."""
    base = load("gddr6-aim")
    style = draw.choice(("bits", "small", "wide", "near", "mixed", "mixed"))
    timing = {name: _time(draw, style, value) for name, value in base.timing.items()}
    timing["nBL"] = max(timing["nBL"], 1)  # a device without would be refused
    timing["nRC"] = max(timing["nRC"], timing["nRAS"])
    timing["nREFI"] = timing["nRFC"] + 1
    groups, in_group = draw.choice(((4, 4), (4, 4), (1, 1), (1, 4), (4, 1), (2, 3), (8, 4)))
    found = with_(
        base,
        channels=channels,
        bank_groups=groups,
        banks_per_group=in_group,
        **timing,
    )
    waits = [one.wait for one in (*found.constraints, *found.strict)]
    # A request passes two mode switches, a precharge, an activate and itself between two refreshes.
    room = 6 * max(*waits, 1) + 20
    interval = draw.randint(room, 3 * room) * (2 if double else 1)
    interval *= found.organization.banks if policy == "per-bank" else 1
    modes = replace(found.organization, modes=draw.random() < 0.9)
    return replace(with_(found, nREFI=interval), organization=modes)


def _time(draw: random.Random, style: str, usual: int) -> int:
    if style == "mixed":
        style = draw.choice(("bits", "small", "wide", "near"))
    if style == "bits":
        return draw.randint(0, 1)
    if style == "small":
        return draw.randint(0, 7)
    if style == "wide":
        return draw.randint(0, 150)
    return min(usual, 300) * draw.randint(70, 130) // 100


def program(draw: random.Random, device: Device, length: int) -> tuple[Instruction, ...]:
    """Return random instructions, EOC at the end; runs of one kind are as likely as changes."""
    sizes = device.organization
    kinds = [name for name in OPS if name != "EOC"]
    rare = draw.random() < 0.5
    found: list[Instruction] = []
    name, mask, row, bank = "WR_GB", 1, 0, 0
    while len(found) < length:
        if draw.random() < 0.6:
            name = draw.choice(kinds)
            if rare and name in BARRIERS:
                name = draw.choice(kinds)
        if draw.random() < 0.5:
            mask = draw.choice((draw.getrandbits(sizes.channels), (1 << sizes.channels) - 1))
        if draw.random() < 0.4:
            row = draw.choice((0, 1, 2, sizes.rows - 1))
        if draw.random() < 0.5:
            bank = draw.randrange(sizes.banks)
        found.append(_instruction(draw, name, mask, row, bank, sizes.channels))
    return (*found, Instruction("EOC"))


def _instruction(
    draw: random.Random, name: str, mask: int, row: int, bank: int, channels: int
) -> Instruction:
    if name == "W_CFR":
        return Instruction(name, address=draw.randrange(3), value=draw.randrange(4))
    rows = OPS[name].rows
    sized = name in ("WR_GB", "MAC_ABK", "EWMUL", "MAC_SBK", "COPY_BKGB", "COPY_GBBK", "EWADD")
    return Instruction(
        name,
        size=draw.choice((1, 1, 2, 3, 7, draw.randint(1, 64))) if sized else 1,
        channels=1 << draw.randrange(channels) if name in ONE_CHANNEL else mask,
        bank=bank if rows == "one" else -1,
        row=row if rows != "none" and name != "AF" else -1,
    )
