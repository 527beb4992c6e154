"""Points in processes of their own: each row comes when it is done; no process outlives the study.

Owns ``rows_of``. Imports points, rows and the standard library.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread, current_thread, main_thread
from time import monotonic

from gateformer.quant.errors import ToolError
from gateformer.study.points import Point
from gateformer.study.rows import Row
from gateformer.study.running import Place

Do = Callable[[Point, str, Place, Callable[[str], None]], Row]
"""What makes a row of a point, its key, the study's place and where lines go."""

GRACE_S = 5.0
"""Seconds in which processes that are told to stop clear up, before they are killed."""


def rows_of(
    groups: Sequence[Sequence[Point]], keys: Mapping[str, str], place: Place, jobs: int, do: Do
) -> Generator[tuple[Point, Row]]:
    """Yield points with their rows, in the order in which they are done.

    A group's points follow each other in one process. Where the iterator is closed, or anything is
    raised, the processes are stopped: an interruption concerns the study, so they do not hear it.

    Parameters
    ----------
    groups : sequence of sequences of Point
        What is done.
    keys : mapping of str to str
        A point's key by its slug.
    place : Place
        Where the study works.
    jobs : int
        Most processes at a time.
    do : callable
        Makes the rows; a function of a module.
    """
    # Spawned, not forked: torch has threads.
    context = get_context("spawn")
    waiting = deque(groups)
    busy: dict[Connection, tuple[BaseProcess, deque[Point]]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                group = waiting.popleft()
                mine, its = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(its, group, keys, place, do))
                with _deaf():
                    process.start()
                busy[mine] = process, deque(group)
                its.close()
            for pipe in wait([*busy]):
                assert isinstance(pipe, Connection)
                worker, left = busy[pipe]
                try:
                    found = pipe.recv()
                except (EOFError, OSError):  # the latter where it was killed in the midst of a row
                    worker.join()
                    del busy[pipe]
                    pipe.close()
                    for point in left:
                        yield point, _died(point, keys[point.slug], worker.exitcode)
                    continue
                if isinstance(found, BaseException):
                    raise found
                yield left.popleft(), found
    finally:
        _stop([process for process, _ in busy.values()])


def _work(
    pipe: Connection, group: Sequence[Point], keys: Mapping[str, str], place: Place, do: Do
) -> None:
    """Send a row a point, or what was raised."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Told to stop, it ends as if interrupted: what is unfinished is removed on the way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    Thread(target=_follow, daemon=True).start()
    try:
        for point in group:
            pipe.send(do(point, keys[point.slug], place, _nothing))
    except (KeyboardInterrupt, BrokenPipeError):
        return
    except Exception as error:
        error.add_note(traceback.format_exc())
        pipe.send(error)


def _follow() -> None:
    """Stop this process where the study's own is killed: another may begin in its folders."""
    study = parent_process()
    assert study is not None
    wait([study.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _nothing(line: str) -> None:
    """Say nothing: lines of several processes would mix."""


def _died(point: Point, key: str, code: int | None) -> Row:
    told = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
    error = ToolError(
        "E502",
        "process ended",
        layer=point.slug,
        cause=f"It ended {told}, without a row",
        fix="Give it more memory, or the study fewer --jobs",
    )
    return Row(point.variant, point.bits, point.seed, key, failed=str(error))


@contextmanager
def _deaf() -> Iterator[None]:
    """Ignore interruptions for the moment in which a process starts: it then does so throughout."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    end = monotonic() + GRACE_S
    for process in processes:
        process.join(max(0.0, end - monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
