"""What a tool says while it runs: the lines that tell of an error or of a licence, and progress.

Owns ``Heard``. Lines go by; only the first error and the first about a licence are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from gateformer.quant.errors import BuildError, LicenceError, ToolError

ERROR = re.compile(
    r"^\s*(?:@E |(?:fatal )?error\b|FATAL\b)|^[^\s:]+:\d+:(?:\d+:)? (?:fatal )?error:", re.I
)
"""How the line of an error begins: ``ERROR: [Synth 8-439] ...`` (Vivado, Vitis HLS),
``@E [HLS-...]`` (old Vivado HLS), ``Error (10161): ...`` (Quartus), ``ERROR: ...`` (yosys,
nextpnr), ``file.cpp:3:5: error: ...`` (compilers)."""
LICENCE = re.compile(r"(?<![\w/])licen[sc]es?\b(?!/)|FLEX(?:lm|net)", re.I)
"""What such a line says where the licence is what is missing."""
LONGEST_CAUSE = 300
"""Letters of a tool's line that a message repeats."""
SAY_EVERY_S = 0.1
"""Seconds between two lines that are passed on."""

Say = Callable[[str], None]


class Heard:
    """Hears a tool's lines: passes some of them on, and keeps its first errors alone."""

    def __init__(self) -> None:
        self.error = self.licence = ""
        self._stage = ""
        self._say: Say = nothing
        self._said = 0.0

    def begin(self, stage: str, say: Say) -> None:
        """Take note that another call begins."""
        self._stage, self._say, self._said = stage, say, monotonic()
        say(stage)

    def __call__(self, line: str) -> None:
        """Take a line."""
        if ERROR.match(line):
            self.error = self.error or plain(line)
            if LICENCE.search(line):
                self.licence = self.licence or plain(line)
        if monotonic() - self._said >= SAY_EVERY_S:
            self._said = monotonic()
            self._say(f"{self._stage}: {plain(line)}")

    def failure(self, program: str, ended: str, log: Path) -> ToolError:
        """Return what failed, in the tool's own words where it said any."""
        if self.licence:
            return LicenceError(
                "E506",
                "no licence",
                layer=program,
                cause=self.licence,
                fix=f"Check the licence server and what the licence covers; see {log}",
            )
        cause = self.error or ended
        return BuildError("E502", "tool failed", layer=program, cause=cause, fix=f"See {log}")


def nothing(line: str) -> None:
    """Say nothing."""


def plain(line: str) -> str:
    """Return the beginning of a line without what would move a terminal's cursor."""
    return "".join(c for c in line[:LONGEST_CAUSE] if c.isprintable()).strip()
