"""A bar on a terminal while something goes on; elsewhere a line a step, and one a minute.

Owns ``waiting`` and ``telling``. Imports the flow's lines, and rich where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING

from gateformer.flow.progress import EVERY_S, Lines
from gateformer.flow.result import Row

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def waiting(words: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
    """Give a function that moves the bar on by so much.

    Parameters
    ----------
    words : str
        What goes on.
    total : float or None
        How much there is to do; None where it is not known.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        with _lines(console, words, total) as advance:
            yield advance
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn()]
    if total is not None:
        columns.append(MofNCompleteColumn())
    with Progress(*columns, Elapsed(), console=console, transient=True) as progress:
        task = progress.add_task(words, total=total)
        yield lambda step: progress.update(task, advance=step)


@contextmanager
def telling(words: str) -> Iterator[Callable[[str], None]]:
    """Give a function that says what goes on now, beside a spinner.

    Parameters
    ----------
    words : str
        What goes on in all.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda line: console.print(f"{words}: {line}", highlight=False, markup=False)
        return
    with console.status(Text(words)) as status:
        yield lambda line: status.update(Text(f"{words}: {line}"))


@contextmanager
def _lines(console: Console, words: str, total: float | None) -> Iterator[Callable[[float], None]]:
    """Write a line when it ends, and one a minute from a thread: many simulations tell nothing."""
    lines, since, done, over = Lines(console), monotonic(), 0.0, Event()

    def advance(step: float) -> None:
        nonlocal done
        done += step

    def tell() -> None:
        while not over.wait(EVERY_S):
            minutes = f"{(monotonic() - since) / 60:.0f} min"
            lines.say(minutes if total is None else f"{done:,.0f} of {total:,.0f}, {minutes}")

    lines.started(words)
    clock = Thread(target=tell, daemon=True)
    clock.start()
    try:
        yield advance
    finally:
        over.set()
        clock.join()
    lines.ended(Row(words, "done", monotonic() - since, ""))
