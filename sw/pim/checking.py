"""``pim check``: a log of commands against a device's rules.

Owns ``check``. Imports the checker, which shares nothing with the engine.
"""

from __future__ import annotations

from pathlib import Path

from gateformer.hw.pim import device as memory
from gateformer.hw.pim.device import Policy
from gateformer.hw.pim.lines import lines_of
from gateformer.hw.pim.trace_file import is_instruction
from gateformer.pim.screen import Answer, Block
from gateformer.pim.waiting import waiting
from gateformer.quant.errors import PimError
from gateformer.quant.words import counted
from gateformer.sim.dram.check import check as checked

SHOWN = 20
"""Breaches that are printed; JSON has the first thousand."""


def check(
    commands: Path,
    timing: str,
    *,
    policy: Policy | None = None,
    postponed: int | None = None,
    hot: bool = False,
    strict: bool = False,
) -> Answer:
    """Check a log.

    Parameters
    ----------
    commands : Path
        The log.
    timing : str
        A device's name, or a timing file.
    policy : {"none", "all-bank", "per-bank"} or None
        Refresh that is asked for; None for what the log has, else for the device's own.
    postponed : int or None
        Refreshes that a channel may owe; the device's own where None.
    hot, strict : bool
        Refresh twice as often; the edges that the public simulator lacks too.

    Raises
    ------
    PimError or Problems
        E804 and E805 for the timing file, E810 where the log is none, and
        once where it is a trace.
    """
    device = memory.load(timing)
    refuse_trace(commands)
    with waiting(f"checking {commands}"):
        report = checked(
            commands, device, strict=strict, policy=policy, postponed=postponed, double=hot
        )
    data = report.as_dict()
    if report.legal:
        return Answer(data, (), (f"{commands}: {counted(report.commands, 'command')}, all legal.",))
    rows = tuple(report.counts.items())
    notes = [
        str(PimError("E808", "illegal command", layer=place, cause=f"{text[:1].upper()}{text[1:]}"))
        for place, text in (_parted(line) for line in report.lines(SHOWN))
    ]
    total = len(report.violations)
    if total > SHOWN:
        notes.append(f"{total - SHOWN:,} more; --json lists the first thousand.")
    breaches = "1 breach" if total == 1 else f"{total:,} breaches"
    title = f"{commands}: {breaches} in {counted(report.commands, 'command')}"
    block = Block(title, ("rule", "breaches"), rows)
    code = PimError.exit_code
    return Answer({**data, "exit_code": code}, (block,), tuple(notes), code)


def refuse_trace(commands: Path) -> None:
    """Raise where the file's first line is an instruction: E810, once and not for every line."""
    for number, raw in enumerate(lines_of(commands, "E810"), 1):
        words = raw.split(b"#", 1)[0].decode("utf-8", "replace").split()
        if not words or words == ["AiM"]:
            continue
        if is_instruction(words):
            raise PimError(
                "E810",
                "a trace of instructions, no log of commands",
                layer=f"{commands}:{number}",
                fix=f"`gateformer pim replay {commands} --commands LOG` writes its log",
            )
        return


def _parted(line: str) -> tuple[str, str]:
    place, _, text = line.partition(": ")
    return place, text
