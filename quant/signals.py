"""Requests to end this process, heeded so that what it started ends with it.

Owns ``heeding_signals`` and ``Ended``. Imports the standard library alone.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Ended(SystemExit):
    """A request to end, as by ``kill``; its code is 128 and the signal's number."""


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Let a request to end this process end its children first: a tool has a group of its own.

    Elsewhere than in the main thread nothing changes. A request that this process ignores, as under
    ``nohup``, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: object) -> None:
        # Whoever waits for a pool's processes would wait for what they have begun. Only a process
        # that imported multiprocessing has any.
        if pools := sys.modules.get("multiprocessing"):
            for child in pools.active_children():
                child.terminate()
        raise Ended(128 + number)

    heeded = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, leave) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
