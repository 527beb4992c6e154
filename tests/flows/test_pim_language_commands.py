"""``pim generate`` and ``pim perplexity``, on a small model that the test writes."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.gguf_models import WORDS, File

from gateformer.cli import main
from gateformer.pim import perplexity as measuring
from gateformer.quant.errors import MismatchError
from gateformer.sim.pim import simulate
from gateformer.sim.pim.bulk import Bulk

pytest.importorskip("gguf")
pytest.importorskip("tokenizers")
NAMES = [one.name for one in measuring.VARIANTS]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = File()
    file.fields["tokenizer.ggml.eos_token_id"] = len(WORDS) - 1
    return file.write(tmp_path / "small.gguf")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("ab c12\nc ab 21\n" * 6, "utf-8")
    return path


def told(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    assert main(["pim", *map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(
    "extra",
    [
        [],
        ["--overlap"],
        ["--weights", "int8"],
        ["--channels", "2"],
        ["--device", "pim-rtl"],
        ["--mapping", "interleaved"],
        ["--mapping", "stream-k"],
        ["--mapping", "stream-k", "--overlap", "--channels", "1"],
    ],
)
def test_generate(extra: list[str], model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["generate", model, "--prompt", "ab c", "--tokens", "6", "--check", *extra]
    found = told(capsys, *command)
    count = len(found["tokens"])
    assert found["prompt_tokens"] == [6, 7]
    assert 1 <= count <= 6 and count == len(found["token_clocks"]) == found["check"]["words"]
    assert found["check"]["equal"] and found["check"]["logits"] == count * len(WORDS)
    assert count == 6 or found["tokens"][-1] == len(WORDS) - 1


def test_the_clocks_are_the_simulation_s(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gateformer.quant.frontends import gguf_file

    command = ("generate", model, "--prompt", "ab c", "--tokens", "5")
    found = told(capsys, *command)
    assert told(capsys, *command, "--method", "command") == found
    count = len(found["tokens"])
    same = simulate(gguf_file.load(model).decoder, count, prompt=1)
    # which row a token's vector stands in, the simulation does not know
    apart = np.array(found["token_clocks"]) - same.token_clocks
    assert np.abs(apart).max() <= 0.01 * same.token_clocks.max()


def test_generate_prints_the_text(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pim", "generate", str(model), "--prompt", "ab", "--tokens", "3", "--check"]) == 0
    out = capsys.readouterr().out
    for words in ("clocks a token, mean", "latency of a token", "Checked", "float32"):
        assert words in out


def test_a_question_needs_chatml(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pim", "generate", str(model), "--prompt", "ab", "--chat"]) == 2
    assert "E005" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (
            ["--prompt", "ab c", "--tokens", "300"],
            "E022 setting out of range: 'tokens'. The prompt has 2 tokens, and 300 are to be "
            "generated: but for the last, that is 301; small's context has 256. Generate 255 at "
            "most, or shorten the prompt.",
        ),
        (
            ["--prompt", "ab", "--tokens", "257"],
            "E022 setting out of range: 'tokens'. The prompt has 1 token, and 257 are to be "
            "generated: but for the last, that is 257; small's context has 256. Generate 256 at "
            "most, or shorten the prompt.",
        ),
        (
            ["--prompt", "ab" * 2000],
            "E022 setting out of range: 'prompt'. The prompt has 334 or more tokens, and 64 are "
            "to be generated: but for the last, that is 397 or more; small's context has 256. "
            "Shorten the prompt.",
        ),
        (
            ["--prompt", "ab c12\n" * 52],
            "E022 setting out of range: 'prompt'. The prompt has 260 tokens, and 64 are to be "
            "generated: but for the last, that is 323; small's context has 256. Shorten the "
            "prompt.",
        ),
        (
            ["--prompt", "ab\nc: d"],
            "E602 malformed data: 'text'. The model's vocabulary has no token for ':' (line 2, "
            "column 2), 'd' (line 2, column 4). Leave these characters out, or take a model "
            "whose vocabulary has all bytes.",
        ),
    ],
)
def test_prompts_that_do_not_fit_say_what_they_have(
    extra: list[str], says: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pim", "generate", str(model), *extra]) > 1
    assert " ".join(capsys.readouterr().err.split()) == says


def test_the_whole_context_can_be_used(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("generate", model, "--prompt", "ab c12\n" * 51, "--tokens", "2")
    assert len(told(capsys, *command)["prompt_tokens"]) == 255


def test_a_prompt_that_cannot_fit_is_refused_at_once(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateformer.pim.generating import Words, generate
    from gateformer.quant.errors import ConfigError

    monkeypatch.setattr(Words, "encode", lambda self, text: pytest.fail("it was cut into tokens"))
    with pytest.raises(ConfigError, match="The prompt has 250,000 or more tokens"):
        generate(model, "ab " * 1_000_000)


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        (["--prompt", ""], "E022"),
        (["--prompt", "ab", "--tokens", "300"], "E022"),
        (["--prompt", "ab", "--device", "no-such"], "E807"),
    ],
)
def test_settings_that_cannot_be(
    extra: list[str], code: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pim", "generate", str(model), *extra]) > 1
    assert code in capsys.readouterr().err


def test_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00")
    for command in (["generate", str(path), "--prompt", "a"], ["perplexity", str(path)]):
        assert main(["pim", *command]) == 3
        assert "E101" in capsys.readouterr().err


def test_a_wrong_bit_is_noticed(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Bulk.logits

    def wrong(self: object, tokens: list[int]) -> np.ndarray:
        found = kept(self, tokens)  # type: ignore[arg-type]
        found[-1, -1] = np.nextafter(found[-1, -1], np.float32(9))
        return found

    monkeypatch.setattr(Bulk, "logits", wrong)
    command = ["pim", "generate", str(model), "--prompt", "ab", "--tokens", "3", "--check"]
    assert main(command) == MismatchError.exit_code
    assert "E401" in capsys.readouterr().err


def test_perplexity(model: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "perplexity", model, "--text", text, "--tokens", "40")
    rows = found["variants"]
    assert [one["name"] for one in rows] == NAMES
    first = rows[0]["perplexity"]
    assert 3 < first < 100
    assert rows[0]["largest"] == rows[0]["rms"] == 0 and rows[0]["same"] == 1
    for row, most in zip(rows[1:], (0.02, 0.02, 0.05, 0.6), strict=True):
        assert abs(row["perplexity"] / first - 1) <= most
    errors = [one["rms"] for one in rows]
    assert errors[1] < errors[3] < errors[4] and errors[2] < errors[3]


def test_what_was_measured_is_kept(
    model: Path,
    text: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ("perplexity", model, "--text", text, "--tokens", "12")
    measure, measured = measuring._measure, []

    def interrupted(*given: Any) -> measuring.Outcome:
        measured.append(given[2].name)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return measure(*given)

    monkeypatch.setattr(measuring, "_measure", interrupted)
    assert main(["pim", *map(str, command)]) != 0
    whole = told(capsys, *command)  # goes on with the third
    assert measured == [*NAMES[:3], *NAMES[2:]]
    assert told(capsys, *command) == whole
    assert len(measured) == 6
    # another text, and a result that was damaged, are measured
    told(capsys, *command[:4], "--tokens", "13")
    assert len(measured) == 11
    kept = sorted((model.parent / "cache").rglob("*.json"))
    assert len(kept) == 10
    kept[0].write_text("{")
    told(capsys, *command)
    told(capsys, *command[:4], "--tokens", "13")
    assert len(measured) == 12


def test_texts_that_cannot_be(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"caf\xe9")
    short = tmp_path / "short.txt"
    short.write_text("ab")
    other = tmp_path / "other.txt"
    other.write_text("ab c\n" * 2000 + "ab\x04")
    command = ["pim", "perplexity", str(model), "--text", str(other), "--tokens"]
    assert main([*command, "99"]) > 1
    assert "no token for '\\x04' (line 2001, column 3)" in capsys.readouterr().err
    assert main([*command, "257"]) > 1
    assert "257 are to be foretold; small's context has 256. Take --tokens 256" in (
        capsys.readouterr().err
    )
    assert main([*command[:4], "/dev/zero", "--tokens", "99"]) > 1
    assert "E602 malformed data: '/dev/zero'. It has more than 64 MiB" in capsys.readouterr().err
    for path, code in ((latin, "E602"), (short, "E604"), (tmp_path / "no.txt", "E605")):
        assert main([*command[:4], str(path), "--tokens", "99"]) > 1
        assert code in capsys.readouterr().err


def test_a_device_without_a_format_is_refused_before_anything_is_measured(
    model: Path,
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shipped = resources.files("gateformer.hw.pim") / "devices" / "pim-gpt.toml"
    own = tmp_path / "own.toml"
    own.write_text(shipped.read_text("utf-8").replace(", int4 = 64", ""), "utf-8")
    monkeypatch.setattr(measuring, "_measure", lambda *_: pytest.fail("something was measured"))
    command = ["pim", "perplexity", str(model), "--text", str(text), "--tokens", "40"]
    assert main([*command, "--device", str(own)]) == 10
    assert "E804 no multipliers for these weights: 'own'. It has no int4" in capsys.readouterr().err


@pytest.mark.parametrize("blocked", ["a file", "not ours"])
def test_a_cache_that_cannot_be_written_is_refused_before_anything_is_measured(
    blocked: str,
    model: Path,
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(measuring, "_measure", lambda *_: pytest.fail("something was measured"))
    if blocked == "a file":
        (tmp_path / "cache").write_text("")
    else:
        kept = os.access
        monkeypatch.setattr(
            os, "access", lambda place, mode: not str(place).endswith("ity") and kept(place, mode)
        )
    command = ["pim", "perplexity", str(model), "--text", str(text), "--tokens", "40"]
    assert main(command) == 9
    said = "E706 file system error" if blocked == "a file" else "Set XDG_CACHE_HOME to a folder"
    assert said in capsys.readouterr().err


def test_a_relative_cache_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateformer.quant.caching import user_cache

    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("relative", "", "../up"):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert user_cache("perplexity") == tmp_path / ".cache" / "gateformer" / "perplexity"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert user_cache("perplexity") == tmp_path / "own" / "gateformer" / "perplexity"
