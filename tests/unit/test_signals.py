"""Requests to end a process: heeded, unless it was told to ignore them."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from gateformer.quant.signals import heeding_signals

REQUESTS = (signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", REQUESTS)
def test_a_request_ends_the_process_with_its_number(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # tests may run under nohup
    try:
        with pytest.raises(SystemExit) as end, heeding_signals():
            os.kill(os.getpid(), number)
            signal.sigtimedwait((), 1)
        assert end.value.code == 128 + number
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", REQUESTS)
def test_an_ignored_request_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with heeding_signals():
            os.kill(os.getpid(), number)
            assert signal.getsignal(number) == signal.SIG_IGN
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_other_threads_change_nothing() -> None:
    before = [signal.getsignal(number) for number in REQUESTS]
    seen: list[object] = []

    def work() -> None:
        with heeding_signals():
            seen.extend(signal.getsignal(number) for number in REQUESTS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before
