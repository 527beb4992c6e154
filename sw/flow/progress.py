"""What the user sees of a run: a progress bar while it goes on, a table when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

    from gateformer.flow.result import Row

STYLES = {
    "done": "green",
    "reused": "cyan",
    "skipped": "yellow",
    "off": "bright_black",
    "failed": "bold red",
}

EVERY_S = 60.0
"""Seconds between two lines of a step that goes on, where no bar can be drawn."""
WIDEST = 100
"""Letters of a tool's line that are shown."""
NARROWEST, BESIDE = 24, 56
"""The fewest of them on a narrow terminal; columns that spinner, bar, count and time take."""


class Watcher(Protocol):
    """Is told what a run does."""

    def started(self, step: str) -> None:
        """Take note that a step begins."""

    def progress(self, done: int, total: int) -> None:
        """Take note how far the current step is."""

    def say(self, line: str) -> None:
        """Take note of what an outside tool says in the current step."""

    def ended(self, row: Row) -> None:
        """Take note that a step ended, or was left out."""


class Quiet:
    """Says nothing."""

    def started(self, step: str) -> None:
        """Say nothing."""

    def progress(self, done: int, total: int) -> None:
        """Say nothing."""

    def say(self, line: str) -> None:
        """Say nothing."""

    def ended(self, row: Row) -> None:
        """Say nothing."""


class Bars:
    """Draws a bar for the current step, and leaves a line for each that ended."""

    def __init__(self, progress: Progress) -> None:
        self._bars = progress
        self._task: TaskID | None = None
        self._step = ""

    def started(self, step: str) -> None:
        """Begin a bar."""
        self._step = step
        self._task = self._bars.add_task(step, total=None)

    def progress(self, done: int, total: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total)

    def say(self, line: str) -> None:
        """Show a tool's last line beside the bar."""
        from rich.markup import escape

        if self._task is not None:
            room = max(NARROWEST, min(WIDEST, self._bars.console.width - BESIDE))
            text = f"{self._step}: {line}"
            text = text if len(text) <= room else f"{text[: room - 1]}…"
            self._bars.update(self._task, description=escape(text))

    def ended(self, row: Row) -> None:
        """Replace the bar by a line."""
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
        style = STYLES[row.status]
        self._bars.console.print(f"[{style}]{row.status:>8}[/] {row.step}", highlight=False)


class Lines:
    """Writes a line for each step that ended, and one a minute for a step that goes on.

    Parameters
    ----------
    console : Console
        Where to; a log file or a pipe.
    now : callable
        Seconds of a clock that never goes back.
    """

    def __init__(self, console: Console, now: Callable[[], float] = monotonic) -> None:
        self._console, self._now = console, now
        self._step, self._said = "", now()

    def started(self, step: str) -> None:
        """Take note that a step begins."""
        self._step, self._said = step, self._now()

    def progress(self, done: int, total: int) -> None:
        """Write how far the step is, where the last line is a minute old."""
        self.say(f"{done:,} of {total:,}")

    def say(self, line: str) -> None:
        """Write what a tool says, where the last line is a minute old."""
        if self._now() - self._said >= EVERY_S:
            self._said = self._now()
            self._write(f"{'':>8} {self._step}: {line}"[:WIDEST])

    def ended(self, row: Row) -> None:
        """Write how it ended."""
        self._said = self._now()
        self._write(f"{row.status:>8} {row.step}")

    def _write(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False)
        self._console.file.flush()


@contextmanager
def watching(console: Console) -> Iterator[Watcher]:
    """Give a watcher that draws on a terminal, and writes lines elsewhere."""
    if not console.is_terminal:
        yield Lines(console)
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bars(progress)


def table(rows: Sequence[Row]) -> Table:
    """Return the table of a run's steps; what was left out is never green."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    result = Table(box=SIMPLE_HEAD)
    result.add_column("step")
    result.add_column("status")
    result.add_column("seconds", justify="right")
    result.add_column("result", overflow="fold")
    for row in rows:
        seconds = f"{row.seconds:.1f}" if row.status in ("done", "reused", "failed") else ""
        result.add_row(row.step, Text(row.status, STYLES[row.status]), seconds, Text(row.note))
    return result
