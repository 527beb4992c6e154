"""The legality checker's rules about time: clocks that rise, and the device's constraints.

Owns ``clocks`` and ``timing``. Imports the instruction set, the device and the checker's log.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.device import Constraint
from gateformer.hw.pim.isa import COMMANDS, SCOPES
from gateformer.sim.dram.check_log import Columns, Violation


def clocks(log: Columns) -> Iterator[Violation]:
    """Yield the commands whose clock does not rise; the log is sorted by channel."""
    for at in np.flatnonzero(log.clock < 1).tolist():
        yield log.violation("clock", at, "comes before clock 1, the first")
    same = log.channel[1:] == log.channel[:-1]
    for at in (np.flatnonzero(same & (log.clock[1:] <= log.clock[:-1])) + 1).tolist():
        if log.clock[at] == log.clock[at - 1]:
            text = f"is the second command in its clock, after {log.name(at - 1)}"
        else:
            text = f"follows {log.name(at - 1)} at {log.clock[at - 1]}: clocks go backwards"
        yield log.violation("clock", at, text, at - 1)


def timing(log: Columns, rules: tuple[Constraint, ...]) -> Iterator[Violation]:
    """Yield each command that issues too early, once for each constraint that it breaks.

    A command is measured against the latest before it of those that hold it back (the fourth latest
    for a window of four). Each constraint costs a look-up of its commands in the log and a search
    for the ones among the others, so all of it grows as the log does.

    Parameters
    ----------
    log : Columns
        Sorted by channel.
    rules : tuple of Constraint
        What to ask.
    """
    present = np.zeros(len(COMMANDS), dtype=bool)
    present[log.command] = True
    levels = {
        "channel": _by_place(log, 0),
        "bankgroup": _by_place(log, 1),
        "bank": _by_place(log, 2),
    }
    told: set[tuple[int, int, str]] = set()  # one text may stand in several rows of the table
    for rule in rules:
        after, before = _among(rule.after), _among(rule.before)
        if rule.wait <= 0 or not (present & after).any() or not (present & before).any():
            continue
        order, place = levels[rule.level]
        code = log.command[order]
        first, second = np.flatnonzero(after[code]), np.flatnonzero(before[code])
        held = np.searchsorted(first, second) - rule.window
        first, second = first[held[held >= 0]], second[held >= 0]
        met = place[first] == place[second]
        first, second = order[first[met]], order[second[met]]
        gap = log.clock[second] - log.clock[first]
        for at in np.flatnonzero(gap < rule.wait).tolist():
            one, two = int(first[at]), int(second[at])
            if (one, two, rule.text) in told:
                continue
            told.add((one, two, rule.text))
            since = f"{log.name(one)} at {log.clock[one]}"
            if rule.window > 1:
                since += f", {rule.window} of them back"
            text = f"comes {gap[at]} clocks after {since}; {rule.text} asks for {rule.wait}"
            yield log.violation("timing", two, text, one, rule.text)


def _by_place(log: Columns, depth: int) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the positions of commands that count at a level, place by place; and the places."""
    levels = ("channel", "bankgroup", "bank")
    deep = np.array([levels.index(SCOPES.get(name, "channel")) for name in COMMANDS])[log.command]
    parts = (log.channel, log.group, log.bank)[: depth + 1]
    place = np.zeros(log.clock.size, dtype=np.int64)
    for part in parts:
        place = place * (int(part.max(initial=0)) + 2) + part + 1
    counts = np.flatnonzero(deep >= depth)
    order = counts[np.argsort(place[counts], kind="stable")]
    return order, place[order]


def _among(names: tuple[str, ...]) -> NDArray[np.bool_]:
    return np.array([name in names for name in COMMANDS])
