from __future__ import annotations

import time
from io import StringIO

from rich.console import Console

from gateformer.flow.progress import WIDEST, Lines, watching
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


def test_a_log_gets_what_a_tool_says_once_a_minute_cut_to_a_line() -> None:
    clock = iter([0.0, 0.0, 30.0, 61.0, 61.0])
    console = Console(file=StringIO(), force_terminal=False, width=200)
    lines = Lines(console, lambda: next(clock))
    lines.started("build")
    lines.say("Vivado: too soon")
    lines.say(f"Vivado: [Synth 8-1] {'x' * 500}")
    assert isinstance(console.file, StringIO)
    (line,) = console.file.getvalue().splitlines()
    assert line.startswith("         build: Vivado: [Synth 8-1] xxx") and len(line) == WIDEST


def test_a_terminal_shows_a_tools_line_as_it_is() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=120)
    with watching(console) as watcher:
        watcher.started("build")
        watcher.say("Vivado: [bold]Phase 1[/bold] done [")
        time.sleep(0.3)  # some ten pictures a second
        watcher.ended(Row("build", "done", 1.0, ""))
        watcher.say("after the end")
    assert isinstance(console.file, StringIO)
    assert "build: Vivado: [bold]Phase 1[/bold] done [" in console.file.getvalue()
    assert "after the end" not in console.file.getvalue()
