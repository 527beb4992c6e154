"""What is seen of a simulation that goes on: no log stays empty for minutes."""

from __future__ import annotations

import time

import pytest

from gateformer.pim.waiting import telling, waiting


def test_a_log_gets_a_line_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("replaying [a] trace"):
        pass
    with waiting("3 combinations", 3) as advance:
        advance(3)
    assert capsys.readouterr().err == "    done replaying [a] trace\n    done 3 combinations\n"


def test_a_log_gets_a_line_a_minute_of_what_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("flow.progress", "pim.waiting"):
        monkeypatch.setattr(f"gateformer.{place}.EVERY_S", 0.05)
    with waiting("running in Verilog"):
        time.sleep(0.3)
    *said, last = capsys.readouterr().err.splitlines()
    assert 1 <= len(said) <= 6
    assert set(said) == {"         running in Verilog: 0 min"}
    assert last == "    done running in Verilog"
    with waiting("1,200 combinations", 1200) as advance:
        advance(1100)
        time.sleep(0.2)
    assert "         1,200 combinations: 1,100 of 1,200, 0 min" in capsys.readouterr().err


def test_a_step_that_fails_is_not_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), waiting("replaying"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == ""


def test_a_log_gets_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with telling("measuring") as say:
        say("gpt2-small: [torch]")
    assert capsys.readouterr().err == "measuring: gpt2-small: [torch]\n"
