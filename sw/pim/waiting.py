"""A bar on a terminal while something goes on, and nothing elsewhere.

Owns ``waiting`` and ``telling``. Imports rich where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
        yield lambda _: None
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
        yield lambda _: None
        return
    with console.status(Text(words)) as status:
        yield lambda line: status.update(Text(f"{words}: {line}"))
