"""One outside process: its output to a log and line by line to a listener, its end at any price.

Owns ``stream``. Whatever ends it (a time limit, Ctrl-C, a full disk), the process and all that it
started end with it.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from gateformer.quant.signals import heeding_signals

BLOCK = 1 << 16
LONGEST_LINE = 4096
"""Bytes of a line that the listener gets; the log has all of it."""
POLL_S = 0.2
GRACE_S = 5.0
"""Seconds between asking a process to end and ending it."""


class TimeUp(Exception):  # noqa: N818 - names the event
    """The process took longer than it may."""


def stream(
    command: Sequence[str | Path],
    folder: Path,
    log: Path,
    listen: Callable[[str], None],
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a program to its end and return its exit status, negative for a signal.

    Parameters
    ----------
    command : sequence of str or Path
        The program and its arguments; no shell reads them.
    folder : Path
        Where it runs.
    log : Path
        Both of its outputs are appended to this file, byte by byte as they come.
    listen : callable
        Gets each line, decoded as far as it is text, no longer than `LONGEST_LINE`.
    timeout_s : float
        Seconds that it may take.
    environment : mapping of str to str, optional
        In place of this process' own.

    Raises
    ------
    TimeUp
        It took longer; it has been ended.
    OSError
        It cannot be started, or the log cannot be written.
    """
    limit = monotonic() + timeout_s
    with log.open("ab") as file, heeding_signals():
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        lines = _Lines(listen)
        try:
            assert process.stdout is not None
            for block in _blocks(process, process.stdout.fileno(), limit):
                file.write(block)
                file.flush()
                lines.feed(block)
            lines.close()
            return process.wait(max(0.0, limit - monotonic()))
        except subprocess.TimeoutExpired:
            raise TimeUp from None
        finally:
            end(process)
            if process.stdout is not None:
                process.stdout.close()


def _blocks(process: subprocess.Popen[bytes], pipe: int, limit: float) -> Iterator[bytes]:
    """Yield output as it comes, until it ends or only leftovers of the process hold the pipe."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            left = limit - monotonic()
            if left <= 0:
                raise TimeUp
            if selector.select(min(POLL_S, left)):
                block = os.read(pipe, BLOCK)
                if not block:
                    return
                yield block
            elif process.poll() is not None:
                return


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group: first asked, then, or at a second Ctrl-C, made to."""
    try:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
    finally:
        # The group may outlive its leader: what is deaf to the first signal, or began after it.
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class _Lines:
    """Cuts blocks of bytes into lines; of a line without an end only its beginning is held."""

    def __init__(self, listen: Callable[[str], None]) -> None:
        self._listen = listen
        self._held = b""

    def feed(self, block: bytes) -> None:
        """Take the next bytes."""
        *whole, rest = block.replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            self._say(self._held + line)
            self._held = b""
        self._held = (self._held + rest)[:LONGEST_LINE]

    def close(self) -> None:
        """Give the last line, where it has no end."""
        self._say(self._held)
        self._held = b""

    def _say(self, line: bytes) -> None:
        text = line[:LONGEST_LINE].decode("utf-8", errors="replace").rstrip()
        if text:
            self._listen(text)
