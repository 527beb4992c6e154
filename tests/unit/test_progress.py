from __future__ import annotations

from io import StringIO

from rich.console import Console

from gateformer.flow.progress import Lines, watching
from gateformer.flow.result import Row


def test_a_log_gets_a_line_a_step_and_one_a_minute() -> None:
    clock = iter([0.0, 0.0, 59.0, 60.0, 60.0, 61.0, 70.0])
    console = Console(file=StringIO(), force_terminal=False)
    lines = Lines(console, lambda: next(clock))
    lines.started("synth")
    lines.progress(1, 76)
    lines.progress(2, 1_076)
    lines.progress(3, 1_076)
    lines.ended(Row("synth", "done", 61.0, "[7] LUT"))
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().splitlines() == ["         synth: 2 of 1,076", "    done synth"]


def test_lines_stand_in_for_bars_where_there_is_no_terminal() -> None:
    with watching(Console(file=StringIO(), force_terminal=False)) as watcher:
        assert isinstance(watcher, Lines)
