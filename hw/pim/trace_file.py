"""Traces of the public AiM simulator: one instruction a line, ``AiM MAC_ABK 64 0x1 12``.

Owns ``read`` and the fields of each instruction. Imports the device, the instruction set and the
errors. ``AiM`` and ``ISR_`` may be left out, ``#`` starts a comment, and a channel mask counts from
the top: its bit 0 is the last channel. The general registers (gpr) hold no data here.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import COMMANDS, Instruction
from gateformer.hw.pim.lines import MOST_PROBLEMS, lines_of
from gateformer.quant.errors import PimError, Problems

FIELDS: dict[str, tuple[str, ...]] = {
    "WR_GB": ("size", "gpr", "mask"),
    "WR_BIAS": ("gpr", "mask"),
    "RD_MAC": ("gpr", "mask"),
    "RD_AF": ("gpr", "mask"),
    "MAC_ABK": ("size", "mask", "row"),
    "EWMUL": ("size", "mask", "row"),
    "AF": ("mask",),
    "WR_ABK": ("gpr", "mask", "row"),
    "MAC_SBK": ("size", "mask", "bank", "row"),
    "COPY_BKGB": ("size", "mask", "bank", "row"),
    "COPY_GBBK": ("size", "mask", "bank", "row"),
    "WR_SBK": ("gpr", "mask", "bank", "row"),
    "RD_SBK": ("gpr", "mask", "bank", "row"),
    "R MEM": ("channel", "bank", "row"),
    "W MEM": ("channel", "bank", "row"),
    "R GPR": ("gpr",),
    "W GPR": ("gpr",),
    "W CFR": ("address", "value"),
    "EWADD": ("size", "gpr", "gpr"),
    "SYNC": (),
    "EOC": (),
}
"""Each instruction's fields, in a line's order."""
RENAMED = {"R MEM": "RD_MEM", "W MEM": "WR_MEM", "R GPR": "R_GPR", "W GPR": "W_GPR"}
RENAMED["W CFR"] = "W_CFR"
ONE_CHANNEL = "WR_ABK"
"""The instruction whose mask must have exactly one bit."""
MOST = 1 << 31
"""Bound of the fields that address nothing."""


class Bounds(NamedTuple):
    """The first value that a field may not have, by the field's name."""

    size: int
    mask: int
    bank: int
    row: int
    channel: int
    gpr: int = MOST
    address: int = 3
    value: int = MOST


def read(path: str | Path, device: Device) -> list[Instruction]:
    """Read a trace.

    Parameters
    ----------
    path : str or Path
        The file, plain or ``.gz``.
    device : Device
        What its addresses must fit.

    Returns
    -------
    list of Instruction
        The last one is EOC.

    Raises
    ------
    PimError or Problems
        E801, E802, E803 as ``file:line``, the first twenty at once and how many more; E801 once for
        a log of commands; E809 for an endless line.
    """
    path = Path(path)
    sizes = device.organization
    bounds = Bounds(sizes.columns, 1 << sizes.channels, sizes.banks, sizes.rows, sizes.channels)
    found: list[Instruction] = []
    problems: list[PimError] = []
    masks: dict[int, int] = {}
    ended, number, more = False, 0, 0
    for number, raw in enumerate(lines_of(path, "E802"), 1):
        words = raw.split(b"#", 1)[0].decode("utf-8", "replace").split()
        if not words or words == ["AiM"]:
            continue
        if not found and not problems and is_command(words):
            raise PimError(
                "E801",
                "a log of commands, no trace of instructions",
                layer=f"{path}:{number}",
                fix=f"`gateformer pim check {path}` reads it",
            )
        if len(problems) == MOST_PROBLEMS and _split(words)[0] not in FIELDS:
            more += 1  # to look for names like it takes as long as hundreds of lines
            continue
        try:
            if ended:
                raise PimError("E802", "instruction after EOC", fix="End the trace at its EOC")
            one = parse(words, bounds, number, masks, sizes.channels)
        except PimError as error:
            if len(problems) < MOST_PROBLEMS:
                problems.append(error.at(f"{path}:{number}"))
            else:
                more += 1
            continue
        found.append(one)
        ended = one.op == "EOC"
    if not ended and not problems:
        cause = "It ends without EOC" if found else "It holds no instruction"
        problems.append(PimError("E802", "truncated trace", layer=f"{path}:{number}", cause=cause))
    Problems.raise_if_any(problems, more)
    return found


def is_command(words: list[str]) -> bool:
    """Tell whether a line's words are a command of a log: clock, channel, name and four places."""
    return len(words) == 7 and words[2] in COMMANDS and words[0].isdecimal()


def is_instruction(words: list[str]) -> bool:
    """Tell whether a line's words, at least one, begin as an instruction does."""
    return _split(words)[0] in FIELDS


def parse(
    words: list[str], bounds: Bounds, line: int, masks: dict[int, int], channels: int
) -> Instruction:
    """Return a line's instruction.

    Parameters
    ----------
    words : list of str
        The line without its comment, at least one word.
    bounds : Bounds
        What the fields must stay below.
    line : int
        Its number.
    masks : dict
        Masks met so far, turned round; grows.
    channels : int
        Channels of the device.

    Raises
    ------
    PimError
        E801, E802 or E803, without a place.
    """
    name, values = _split(words)
    fields = FIELDS.get(name)
    if fields is None:
        raise _unknown(name)
    if len(values) != len(fields):
        raise _malformed(name, f"It has {len(values)} of {len(fields)} fields")
    given = {"size": 1, "bank": -1, "row": -1, "value": 0, "address": 0, "mask": 1}
    for field, text in zip(fields, values, strict=True):
        try:
            if "_" in text or not text.isascii():  # which Python reads, and other readers cut off
                raise ValueError
            value = int(text, 16) if text[:2] in ("0x", "0X") else int(text)
        except ValueError:
            raise _malformed(name, f"{text[:40]!a} is no whole number") from None
        low = 1 if field in ("size", "mask") else 0
        most = getattr(bounds, field)
        if not low <= value < most + (field == "size"):
            raise _outside(name, field, text, low, most - (field != "size"))
        given[field] = value
    mask = given["mask"]
    if "mask" in fields:
        turned = masks.get(mask)
        if turned is None:
            turned = masks[mask] = int(f"{mask:0{channels}b}"[::-1], 2)
        if name == ONE_CHANNEL and mask & (mask - 1):
            raise _malformed(name, f"Its mask {mask:#x} must have exactly one bit")
        mask = turned
    elif "channel" in fields:
        mask = 1 << given["channel"]
    return Instruction(
        RENAMED.get(name, name),
        given["size"],
        mask,
        given["bank"],
        given["row"],
        given["value"],
        given["address"],
        line,
    )


def _split(words: list[str]) -> tuple[str, list[str]]:
    """Return a line's name and its fields."""
    first = 1 if words[0] == "AiM" else 0
    name = words[first].removeprefix("ISR_") if len(words) > first else ""
    if name in ("R", "W") and len(words) > first + 1:
        first += 1
        name = f"{name} {words[first]}"
    return name, words[first + 1 :]


def _unknown(name: str) -> PimError:
    near = get_close_matches(name, FIELDS, 1, 0.5)
    fix = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(FIELDS)}"
    shown = "".join(one if one.isprintable() else "?" for one in name[:40])
    return PimError("E801", f"unknown instruction '{shown}'", fix=fix)


def _malformed(name: str, cause: str) -> PimError:
    form = " ".join(("AiM", name, *FIELDS[name]))
    return PimError("E802", "malformed instruction", kind=name, cause=cause, fix=f"Write {form}")


def _outside(name: str, field: str, text: str, low: int, most: int) -> PimError:
    limit = f"{most:#x}" if field == "mask" else f"{most}"
    return PimError(
        "E803",
        "address out of range",
        kind=name,
        cause=f"{field} is {text[:40]}; the device takes {low} to {limit}",
    )
