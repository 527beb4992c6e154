"""``gateformer pim`` end to end, and on hostile input: clear errors with file and line."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from flows.tiny import Answer, Call

from gateformer.cli import main
from gateformer.hw.pim import mapping
from gateformer.sim.dram.commands import CommandLog

GIGABYTE = 1 << 30
ORACLE = Path(__file__).parents[3] / "shared" / "pim"
"""Traces of the public AiM simulator with what it issued; not part of the package."""
DEVICE = """clock_ns = 1.0
constraints = "aim"
[organization]
channels = 2
bank_groups = 4
banks_per_group = 4
rows = 1024
row_bytes = 2048
access_bits = 256
[timing]
nBL = 1
nCL = 25
nRCDRD = 12
nRCDRDMAC = 12
nRCDEWMUL = 12
nRCDRDAF = 12
nRCDRDCP = 12
nRCDWR = 12
nRCDWRCP = 12
nRP = 12
nRAS = 27
nRC = 39
nWR = 12
nRTP = 6
nCWL = 3
nCCDS = 1
nCCDL = 1
nRRDS = 3
nRRDL = 3
nWTRS = 5
nWTRL = 6
nFAW = 14
nRFC = 300
nREFI = 3900
nRREFD = 11
nRFCpb = 150
nCLREG = 1
nCLGB = 1
nCWLREG = 1
nCWLGB = 1
nWPRE = 1
nMODCH = 4
"""
"""A small timing file, complete and right."""

TRACE = """# two rows of MACs on both channels
AiM WR_GB 4 0 3
ISR_MAC_ABK 64 3 7
AiM ISR_MAC_ABK 64 3 8

AiM RD_MAC 0 3
AiM EOC
"""
CONFIG = {
    "model_type": "gpt2",
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 128,
    "vocab_size": 500,
}


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run the command line in an empty folder; gives exit code, JSON and what was said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ok.toml").write_text(DEVICE)
    (tmp_path / "ok.trace").write_text(TRACE)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))

    def do(*arguments: object) -> Answer:
        capsys.readouterr()
        code = main(["pim", *map(str, arguments), "--json"])
        out, said = capsys.readouterr()
        assert "Traceback" not in said
        assert code != 70, said
        return code, json.loads(out) if out else {}, said

    return do


def hostile_files(folder: Path) -> None:
    """Write what the hostile calls read."""
    lines = TRACE.splitlines()

    def trace(name: str, *bad: str) -> None:
        (folder / name).write_text("\n".join([*lines[:2], *bad, *lines[2:]]) + "\n")

    trace("unknown.trace", "AiM MAC_ABKK 2 3 0")
    trace("fields.trace", "AiM MAC_ABK 4")
    trace("word.trace", "AiM MAC_ABK four 3 0")
    trace("bank.trace", "AiM MAC_SBK 1 3 99 0")
    trace("row.trace", "AiM MAC_ABK 1 3 4096")
    trace("column.trace", "AiM MAC_ABK 65 3 0")
    trace("negative.trace", "AiM MAC_ABK -4 3 0")
    trace("mask.trace", "AiM WR_GB 4 0 15")
    trace("nomask.trace", "AiM WR_GB 4 0 0")
    trace("twomasks.trace", "AiM WR_ABK 0 3 5")
    trace("register.trace", "AiM W CFR 99 1")
    trace("several.trace", "AiM NOPE", "AiM MAC_ABK 1 3 4096", "AiM WR_GB")
    (folder / "cut.trace").write_text(TRACE[: TRACE.index("ISR_MAC_ABK 64 3 8") + 16])
    (folder / "binary.trace").write_bytes(bytes(range(256)) * 40)
    (folder / "empty.trace").touch()
    (folder / "cut.trace.gz").write_bytes(gzip.compress(TRACE.encode() * 99)[:-9])
    (folder / "folder.trace").mkdir()
    for name in ("endless.trace", "endless.cmds", "endless.toml", "endless.json"):
        with (folder / name).open("wb") as file:
            file.truncate(GIGABYTE)  # holes: it takes no room on the disk

    def device(name: str, old: str, new: str) -> None:
        assert old in DEVICE
        (folder / name).write_text(DEVICE.replace(old, new))

    device("negative.toml", "nRP = 12", "nRP = -12")
    device("refresh.toml", "nREFI = 3900", "nREFI = 200")
    device("nan.toml", "clock_ns = 1.0", "clock_ns = nan")
    device("nantime.toml", "nRP = 12", "nRP = nan")
    device("zero.toml", "clock_ns = 1.0", "clock_ns = 0.0")
    device("key.toml", "bank_groups", "bank_group")
    device("typed.toml", "nRP = 12", 'nRP = "12"')
    device("cut.toml", "[timing]", "[timing")
    device("missing.toml", "rows = 1024\n", "")
    device("parameter.toml", "nRP = 12\n", "")
    device("many.toml", "channels = 2", "channels = 65")
    device("none.toml", "channels = 2", "channels = 0")
    device("ragged.toml", "row_bytes = 2048", "row_bytes = 2000")
    device("rules.toml", 'constraints = "aim"', 'constraints = "aims"')
    (folder / "binary.toml").write_bytes(b"\xff\xfe" + bytes(range(256)))

    def config(name: str, **changes: object) -> None:
        (folder / name).write_text(json.dumps({**CONFIG, **changes}))

    config("type.json", model_type="mamba")
    config("layers.json", n_layer=-2)
    config("heads.json", n_head=7)
    config("text.json", n_embd="wide")
    config("huge.json", n_embd=1 << 40)
    (folder / "cut.json").write_text(json.dumps(CONFIG)[:-10])
    (folder / "list.json").write_text("[1, 2]")

    (folder / "fields.cmds").write_text("1 0 ACT16 -1 -1 7 -1\n2 0 MAC16\n")
    (folder / "name.cmds").write_text("1 0 ACTIVATE -1 -1 7 -1\n")
    (folder / "word.cmds").write_text("1 zero ACT16 -1 -1 7 -1\n")
    (folder / "under.cmds").write_text("1_0 0 ACT16 -1 -1 7 -1\n")
    (folder / "binary.cmds").write_bytes(bytes(range(256)) * 40)
    (folder / "empty.cmds").touch()
    (folder / "early.cmds").write_text("1 0 ACT16 -1 -1 7 -1\n5 0 MAC16 -1 -1 7 0\n")
    (folder / "closed.cmds").write_text("1 0 MAC16 -1 -1 7 0\n")
    (folder / "channel.cmds").write_text("1 9 ACT16 -1 -1 7 -1\n")
    (folder / "mine").mkdir()
    (folder / "mine/thesis.tex").write_text("mine")


def replaying(trace: str, timing: str = "ok.toml") -> list[str]:
    return ["replay", trace, "--timing", timing, "--commands", "out.cmds"]


def checking(log: str) -> list[str]:
    return ["check", log, "--timing", "ok.toml", "--refresh", "none"]


def simulating(model: str, *options: str) -> list[str]:
    return ["simulate", model, "--tokens", "2", *options]


HOSTILE = [
    (replaying("unknown.trace"), 10, "E801", r"unknown.trace:3'.*MAC_ABK\b"),
    (replaying("fields.trace"), 10, "E802", "fields.trace:3'"),
    (replaying("word.trace"), 10, "E802", "word.trace:3'"),
    (replaying("bank.trace"), 10, "E803", "bank.trace:3'"),
    (replaying("row.trace"), 10, "E803", "row.trace:3'"),
    (replaying("column.trace"), 10, "E803", "column.trace:3'"),
    (replaying("negative.trace"), 10, "E80", "negative.trace:3'"),
    (replaying("mask.trace"), 10, "E803", "mask.trace:3'"),
    (replaying("nomask.trace"), 10, "E80", "nomask.trace:3'"),
    (replaying("twomasks.trace"), 10, "E80", "twomasks.trace:3'"),
    (replaying("register.trace"), 10, "E80", "register.trace:3'"),
    (replaying("cut.trace"), 10, "E802", "cut.trace:4'"),
    (replaying("binary.trace"), 10, "E80", "binary.trace:1"),
    (replaying("empty.trace"), 10, "E802", "empty.trace"),
    (replaying("cut.trace.gz"), 10, "E802", "cut.trace.gz:"),
    (replaying("endless.trace"), 10, "E809", "endless.trace:1'"),
    (replaying("folder.trace"), 2, "E003", "folder.trace"),
    (replaying("absent.trace"), 2, "E003", "absent.trace"),
    (replaying("ok.trace", "negative.toml"), 10, "E805", "negative.toml:20"),
    (replaying("ok.trace", "refresh.toml"), 10, "E805", "nREFI = 200 is shorter than nRFC"),
    (replaying("ok.trace", "nan.toml"), 10, "E80", "nan.toml:1"),
    (replaying("ok.trace", "nantime.toml"), 10, "E804", "nantime.toml:20"),
    (replaying("ok.trace", "zero.toml"), 10, "E805", "zero.toml:1"),
    (replaying("ok.trace", "key.toml"), 10, "E804", "key.toml:5.*bank_groups"),
    (replaying("ok.trace", "typed.toml"), 10, "E804", "typed.toml:20"),
    (replaying("ok.trace", "cut.toml"), 10, "E804", "cut.toml:10"),
    (replaying("ok.trace", "missing.toml"), 10, "E804", "organization.rows"),
    (replaying("ok.trace", "parameter.toml"), 10, "E804", r"missing key: '\S+ timing.nRP'"),
    (replaying("ok.trace", "many.toml"), 10, "E805", "many.toml:4"),
    (replaying("ok.trace", "none.toml"), 10, "E805", "none.toml:4"),
    (replaying("ok.trace", "ragged.toml"), 10, "E805", "ragged.toml:9"),
    (replaying("ok.trace", "rules.toml"), 10, "E804", "Did you mean 'aim'"),
    (replaying("ok.trace", "binary.toml"), 10, "E804", "binary.toml"),
    (replaying("ok.trace", "endless.toml"), 10, "E804", "over 1 MiB"),
    (replaying("ok.trace", "absent.toml"), 2, "E003", "absent.toml"),
    (replaying("ok.trace", "mine"), 10, "E807", "mine"),
    (replaying("ok.trace", "gddr6-aimm"), 10, "E807", "Did you mean 'gddr6-aim'"),
    (["replay", "ok.trace"], 2, "E005", "timing"),
    (["replay", "ok.trace", "--timing", "ok.toml", "--commands", "no/x"], 2, "E003", "no"),
    (["replay", "ok.trace", "--timing", "ok.toml", "--commands", "mine"], 2, "E005", "mine"),
    (["replay", "ok.trace", "--timing", "ok.toml", "--refresh", "never"], 2, "E005", "never"),
    (checking("folder.trace"), 2, "E003", "a folder, no file: 'folder.trace'"),
    (["replay", "early.cmds", "--timing", "ok.toml"], 10, "E801", "pim check early.cmds"),
    (checking("ok.trace"), 10, "E810", "trace of instructions.*pim replay ok.trace"),
    (
        ["replay", "ok.trace", "--timing", "ok.toml", "--no-refresh", "--refresh", "all-bank"],
        2,
        "E006",
        "--no-refresh, --refresh",
    ),
    (checking("fields.cmds"), 10, "E810", "fields.cmds:2'.*3 fields"),
    (checking("name.cmds"), 10, "E810", "name.cmds:1'"),
    (checking("word.cmds"), 10, "E810", "word.cmds:1'"),
    (checking("under.cmds"), 10, "E810", "under.cmds:1'.*must be whole numbers"),
    (checking("binary.cmds"), 10, "E810", "binary.cmds:1'"),
    (checking("empty.cmds"), 10, "E810", "empty.cmds"),
    (checking("endless.cmds"), 10, "E809", "endless.cmds:1'"),
    (checking("absent.cmds"), 2, "E003", "absent.cmds"),
    (checking("mine"), 2, "E003", "mine"),
    (simulating("gpt4"), 10, "E807", "gpt4"),
    (simulating("gpt2-smal"), 10, "E807", "Did you mean 'gpt2-small'"),
    (simulating("type.json"), 10, "E811", "type.json.*mamba"),
    (simulating("layers.json"), 10, "E811", "n_layer"),
    (simulating("heads.json"), 10, "E811", "n_head"),
    (simulating("text.json"), 10, "E811", "n_embd"),
    (simulating("huge.json"), 10, "E811", "n_embd"),
    (simulating("cut.json"), 10, "E811", "cut.json:"),
    (simulating("list.json"), 10, "E811", "list.json"),
    (simulating("endless.json"), 10, "E811", "endless.json"),
    (simulating("absent.json"), 2, "E003", "absent.json"),
    (simulating("mine"), 10, "E807", "mine"),
    (simulating("config.json", "--mapping", "stream-j"), 10, "E807", "Did you mean 'stream-k'"),
    (simulating("config.json", "--device", "pim-gtp"), 10, "E807", "Did you mean 'pim-gpt'"),
    (simulating("config.json", "--device", "ok.toml"), 10, "E804", "a timing file"),
    (simulating("gpt2-xl", "--channels", "1"), 10, "E806", "gpt2-xl"),
    (simulating("config.json", "--prompt", "500"), 2, "E022", "'--prompt'. 500 in front"),
    (simulating("config.json", "--v-batch", "3"), 2, "E022", "'--v-batch'"),
    (simulating("config.json", "--ffn-keep", "2"), 2, "E022", "'--ffn-keep'"),
    (simulating("config.json", "--asic-clock", "0"), 2, "E022", "'--asic-clock'"),
    (simulating("config.json", "--batch", "100000000"), 2, "E022", "'--batch'"),
    (["sweep", "config.json", "--mapping", "pim-gpt", "mine"], 10, "E807", "no config.json"),
    (simulating("config.json", "--channels", "65"), 2, "E005", "channels.*64"),
    (simulating("config.json", "--batch", "0"), 2, "E005", "batch"),
    (simulating("config.json", "--weights", "fp8"), 2, "E005", "fp8"),
    (simulating("config.json", "--asic-clock", "nan"), 2, "E022", "nan"),
    (simulating("config.json", "--asic-clock", "-1"), 2, "E022", "-1"),
    (["simulate", "config.json", "--tokens", "0"], 2, "E005", "tokens"),
    (["simulate", "config.json", "--tokens", "many"], 2, "E005", "tokens.*integer"),
    (simulating("config.json", "--out", "mine"), 9, "E703", "thesis.tex"),
    (simulating("config.json", "--out", "ok.toml"), 9, "E703", "ok.toml"),
    (simulating("config.json", "--out", "/proc/none/x"), 9, "E70", "/proc"),
    (simulating("config.json", "--trace", "no/x.json"), 2, "E003", "no"),
    (simulating("config.json", "--trace", "mine"), 2, "E005", "mine"),
    (["sweep", "config.json", "--channels", "2,many"], 2, "E005", "many"),
    (["sweep", "config.json", "--overlap", "perhaps"], 2, "E005", "perhaps"),
    (["sweep", "config.json", "--mapping", "a,,b"], 2, "E005", "mapping"),
    (["sweep", "config.json", "--refresh", "foo"], 2, "E005", "all-bank, per-bank and none"),
    (["sweep", "config.json", "--device", "pim-gpt,foo"], 10, "E807", "foo"),
    (["sweep", "config.json", "--device", "ok.toml,nan.toml"], 10, "E804", "nan.toml"),
    (["sweep", "config.json", "heads.json"], 10, "E811", "n_head"),
    (["sweep", "config.json", "--out", "x.txt"], 2, "E005", "x.txt"),
    (["sweep", "config.json", "--out", "no/x.csv"], 2, "E003", "no"),
    (["sweep", "config.json", "--batch", ",".join(["1"] * 10_001)], 2, "E005", "10,001"),
    (["sweep"], 2, "E005", "MODEL"),
    (["compare", "--out", "no/page.md"], 2, "E003", "no"),
    (["predict"], 2, "E005", "predict"),
]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code", "words"), HOSTILE, ids=lambda one: str(one)[:60]
)
def test_hostile_input(
    call: Call, tmp_path: Path, arguments: list[str], exit_code: int, code: str, words: str
) -> None:
    hostile_files(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    start = time.process_time()
    found, answer, said = call(*arguments)
    assert found == exit_code, said
    assert code in said
    assert re.search(words, said), said
    assert answer["exit_code"] == exit_code
    assert time.process_time() - start < 30
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("pipe", "output is no plain file: 'pipe'. The new file would take the place of a link"),
        ("link", "output is no plain file: 'link'"),
        ("/dev/null", "output is no plain file: '/dev/null'"),
        ("/dev/stdout", "output is no plain file"),
        ("ok.trace", "output is an input: 'ok.trace'. It would be lost. Name another file"),
        ("./ok.toml", "output is an input"),
    ],
)
def test_what_stands_in_the_place_of_a_file_is_not_lost(
    call: Call, tmp_path: Path, place: str, words: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("config.json")
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    device = os.lstat(place).st_rdev if place.startswith("/") else 0
    for words_ in (
        ("replay", "ok.trace", "--timing", "ok.toml", "--commands", place),
        simulating("config.json", "--device", "ok.toml", "--trace", place),
    ):
        if words_[0] == "simulate" and place == "ok.trace":
            continue  # which it does not read
        code, _, said = call(*words_)
        assert code == 2 and "E005" in said
        assert words in said
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert not device or os.lstat(place).st_rdev == device


def test_a_folder_that_takes_no_file(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before anything runs; as the superuser nothing would refuse it."""
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)
    code, _, said = call("replay", "ok.trace", "--timing", "ok.toml", "--commands", "out.cmds")
    assert code == 9
    assert "E702 permission denied: '.'. Nothing can be written there." in said


def test_a_log_that_is_cut_short_leaves_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CommandLog, "_write", interrupted)
    code, _, _ = call("replay", "ok.trace", "--timing", "ok.toml", "--commands", "out.cmds")
    assert code == 130
    assert not [*tmp_path.glob("out*")]


def test_simulate_writes_page_json_and_trace(call: Call, tmp_path: Path) -> None:
    code, answer, _ = call(
        *simulating("config.json", "--prompt", "1", "--out", "run", "--trace", "t.json")
    )
    assert code == 0
    assert answer["page"] == "run/report.html"
    written = json.loads((tmp_path / "run/simulation.json").read_text())
    assert written == {key: answer[key] for key in written}
    page = (tmp_path / "run/report.html").read_text()
    assert "<script" not in page
    assert re.search(r"(src|href)=.https?:", page) is None
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    tracks = {one["tid"]: one["args"]["name"] for one in events if one["name"] == "thread_name"}
    sums = dict.fromkeys(tracks.values(), 0)
    for one in events:
        if one["ph"] == "X":
            sums[tracks[one["tid"]]] += one["args"]["clocks"]
    assert sums["token"] == sums["memory"] + sums["asic"] == answer["clocks"]
    assert sums == answer["trace"]["clocks"]
    assert call(*simulating("config.json", "--prompt", "1", "--out", "run"))[0] == 0
    assert (tmp_path / "run/report.html").read_text() == page


def test_same_clocks_by_closed_form_and_by_commands(call: Call) -> None:
    _, closed, _ = call(*simulating("config.json"))
    _, stepped, _ = call(*simulating("config.json", "--method", "command"))
    for key in ("clocks", "token_clocks", "counts", "breakdown", "energy"):
        assert closed[key] == stepped[key]


def test_overlap_saves_and_says_what_it_hides(call: Call) -> None:
    _, apart, _ = call(*simulating("config.json"))
    _, together, _ = call(*simulating("config.json", "--overlap", "--out", "page"))
    assert together["clocks"] < apart["clocks"]
    assert apart["overlapped_clocks"] == 0 < together["overlapped_clocks"]


def test_a_replayed_trace_is_legal(call: Call, tmp_path: Path) -> None:
    code, answer, _ = call(*replaying("ok.trace"))
    assert code == 0
    assert answer["commands"] == len((tmp_path / "out.cmds").read_text().splitlines())
    assert answer["counts"]["MAC16"] == 2 * 2 * 64
    code, answer, _ = call("check", "out.cmds", "--timing", "ok.toml")
    assert code == 0
    assert answer["legal"] is True


@pytest.mark.skipif(not ORACLE.is_dir(), reason="the public simulator's traces are not here")
def test_replay_writes_the_public_simulators_log(call: Call, tmp_path: Path) -> None:
    name = "gemv_4096x1024_1ch"
    code, answer, _ = call(
        *("replay", ORACLE / f"oracle/{name}.trace", "--timing", ORACLE / "gddr6_aim.toml"),
        *("--no-refresh", "--commands", "out.cmds"),
    )
    assert code == 0
    assert (answer["clocks"], answer["commands"]) == (105_984, 34_304)
    theirs = gzip.decompress((ORACLE / f"oracle/{name}.cmds.gz").read_bytes())
    assert (tmp_path / "out.cmds").read_bytes() == theirs


def test_sweep_keeps_what_is_refused_as_a_row(call: Call, tmp_path: Path) -> None:
    code, answer, _ = call(
        *("sweep", "config.json", "--tokens", "2", "--channels", "1,2", "--device"),
        *("pim-gpt,ok.toml", "--overlap", "off,on", "--processes", "1", "--out", "grid.csv"),
    )
    assert code == 0
    assert len(answer["rows"]) == 8
    failed = [one for one in answer["rows"] if one["error"] is not None]
    assert {one["device"] for one in failed} == {"ok.toml"}
    assert all("E804" in one["error"] for one in failed)
    assert "exit_code" not in answer
    rows = (tmp_path / "grid.csv").read_text().splitlines()
    assert len(rows) == 9
    assert rows[0].startswith("model,channels,mapping,")


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_sweep_in_which_nothing_runs_fails(call: Call, tmp_path: Path, processes: str) -> None:
    words = ("sweep", "config.json", "--tokens", "200", "--batch", "1,2", "--out", "grid.csv")
    code, answer, _ = call(*words, "--processes", processes)
    assert code == answer["exit_code"] == 2
    assert all(one["error"].startswith("E022") for one in answer["rows"])
    assert len((tmp_path / "grid.csv").read_text().splitlines()) == 3
    code, answer, _ = call("sweep", "gpt2-xl", "--tokens", "1", "--channels", "1")
    assert code == answer["exit_code"] == 10
    assert answer["rows"][0]["error"].startswith("E806")


def test_a_sweep_in_which_nothing_runs_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["pim", "sweep", "gpt2-small", "--tokens", "2000", "--channels", "8"]) == 2
    told = capsys.readouterr().out.splitlines()
    at = told.index("Nothing could be simulated.")
    assert told[at + 1].startswith("E022 setting out of range: ")


def test_a_sweep_refuses_names_before_anything_runs(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateformer.pim.sweep.run", lambda *_: pytest.fail("something ran"))
    code, answer, said = call(
        *("sweep", "gpt2-small", "gpt2-smal", "--refresh", "all-bank,foo", "--weights", "int9"),
        *("--device", "pim-gpt,foo", "--mapping", "stream-j", "--out", "grid.csv"),
    )
    assert code == 2
    for words in ("--refresh: 'foo'", "--weights: 'int9'", "model: 'gpt2-smal'",
                  "device: 'foo'", "mapping: 'stream-j'"):  # fmt: skip
        assert words in said
    assert len(answer["error"]["errors"]) == 5
    assert not (tmp_path / "grid.csv").exists()


def test_sweep_leaves_channels_to_the_device(call: Call) -> None:
    code, answer, _ = call(
        *("sweep", "gpt2-small", "--tokens", "1", "--device", "pim-gpt,hbm-pim,ok.toml"),
        *("--processes", "1"),
    )
    assert code == 0
    assert [one["channels"] for one in answer["rows"]] == [8, 16, None]
    _, alone, _ = call("simulate", "gpt2-small", "--tokens", "1", "--device", "hbm-pim")
    assert answer["rows"][1]["clocks"] == alone["clocks"]


def test_lists(call: Call) -> None:
    _, answer, _ = call("models")
    assert len(answer["models"]) == 8
    assert {one["name"] for one in answer["models"]} >= {"gpt2-small", "gpt3-xl"}
    _, answer, _ = call("devices")
    found = {one["name"]: one for one in answer["devices"]}
    assert found["pim-gpt"]["peak_macs_per_s"] == pytest.approx(2.048e12)
    assert found["gddr6-aim"]["channels"] == 32


def test_parquet_without_pyarrow_is_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, said = call("sweep", "config.json", "--out", "grid.parquet")
    assert code == 7
    assert "E505" in said
    assert "pyarrow" in said


@pytest.mark.parametrize("words", [[], ["simulate"], ["replay"], ["sweep"], ["compare"]])
def test_help_imports_no_simulator(words: list[str]) -> None:
    probe = (
        "import sys\nfrom gateformer.cli import main\nmain(sys.argv[1:])\n"
        "print(*(m for m in sys.modules if m.startswith(('numpy', 'jinja2', 'gateformer.sim'))))"
    )
    command = [sys.executable, "-c", probe, "pim", *words, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage: gateformer pim" in done.stdout
    assert done.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize("command", ["simulate", "generate", "sweep"])
def test_help_lists_what_an_option_takes(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["pim", command, "--help"]) == 0
    said = capsys.readouterr().out
    assert ", ".join(mapping.names()) in said
    if command == "sweep":
        assert "all-bank, per-bank, none" in said and "bf16, int8, int4" in said


def test_devices_of_one_paper_are_told_apart(call: Call) -> None:
    _, answer, _ = call("devices")
    sources = [one["source"] for one in answer["devices"]]
    assert len(set(sources)) == len(sources)


def test_people_get_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    for words in (["models"], ["devices"], simulating("config.json")):
        assert main(["pim", *words]) == 0
        assert "──" in capsys.readouterr().out


def test_a_mistaken_file_is_told_of_once(call: Call, tmp_path: Path) -> None:
    (tmp_path / "long.cmds").write_text("1 0 ACT16 -1 -1 7 -1\n" * 30)
    (tmp_path / "long.trace").write_text(TRACE.replace("AiM EOC\n", "") * 30 + "AiM EOC\n")
    _, answer, said = call("replay", "long.cmds", "--timing", "ok.toml")
    assert "errors" not in answer["error"] and said.count("\n") == 1
    _, answer, said = call("check", "long.trace", "--timing", "ok.toml")
    assert "errors" not in answer["error"] and said.count("\n") == 1


def test_a_folder_with_a_config_is_a_model(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mycfg").mkdir()
    (tmp_path / "mycfg/config.json").write_text(json.dumps(CONFIG))
    code, answer, said = call(*simulating("mycfg"))
    assert code == 0, said
    assert answer["clocks"] == call(*simulating("config.json"))[1]["clocks"]
    assert call("sweep", "mycfg", "--tokens", "2")[1]["rows"][0]["clocks"] == answer["clocks"]
    code, _, said = call(*simulating("mycfg", "--trace", "mycfg/config.json"))
    assert code == 2 and "output is an input" in said
    assert json.loads((tmp_path / "mycfg/config.json").read_text()) == CONFIG


def test_a_devices_file_is_printed_to_start_from(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pim", "devices", "pim-rtl"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "mine.toml").write_text(text)
    clocks = [
        call(*simulating("config.json", "--device", one))[1]["clocks"]
        for one in ("mine.toml", "pim-rtl")
    ]
    assert clocks[0] == clocks[1]
    code, answer, _ = call("devices", "pim-rtl")
    assert code == 0 and answer["toml"] == text
    assert [one["name"] for one in answer["devices"]] == ["pim-rtl"]
    code, _, said = call("devices", "pim-rlt")
    assert code == 10 and "E807" in said and "Did you mean 'pim-rtl'?" in said


def test_tokens_in_the_cache_are_not_simulated_but_attended_to(call: Call) -> None:
    _, alone, _ = call("simulate", "config.json", "--tokens", "2", "--past", "100", "--out", "page")
    _, whole, _ = call("simulate", "config.json", "--tokens", "102", "--refresh", "none")
    _, still, _ = call(
        *("simulate", "config.json", "--tokens", "2", "--past", "100", "--refresh", "none")
    )
    assert alone["clocks"] == sum(alone["token_clocks"]) and len(alone["token_clocks"]) == 2
    # The first one finds the memory idle.
    assert still["token_clocks"][1] == whole["token_clocks"][101]
    page = Path(alone["page"]).read_text(encoding="utf-8")
    assert "2 generated, behind 100 tokens in the cache" in page
    assert "gateformer pim simulate config.json --tokens 2 --past 100 --out page" in page
    _, few, _ = call("simulate", "config.json", "--tokens", "2", "--prompt", "100")
    ms = [[one["ms"] for one in answer["baselines"]] for answer in (alone, few)]
    assert ms[0] == ms[1]  # as many tokens in front
    code, _, said = call("simulate", "config.json", "--past", "128", "--tokens", "1")
    assert code == 2 and "'--past'. 128 in front leave no room" in said


def test_a_gguf_file_is_a_model(call: Call, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    from unit.gguf_models import File

    before = File().write(tmp_path / "own.gguf").read_bytes()
    like = {
        "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 11,
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
        "max_position_embeddings": 256, "tie_word_embeddings": True, "hidden_act": "silu",
    }  # fmt: skip
    (tmp_path / "like.json").write_text(json.dumps(like))
    code, answer, said = call(*simulating("own.gguf"))
    assert code == 0, said
    assert answer["clocks"] == call(*simulating("like.json"))[1]["clocks"]
    assert call("sweep", "own.gguf", "--tokens", "2")[1]["rows"][0]["clocks"] == answer["clocks"]
    assert call(*simulating("no.gguf"))[0] == 2
    code, _, said = call(*simulating("own.gguf", "--trace", "own.gguf"))
    assert code == 2 and "output is an input" in said
    assert (tmp_path / "own.gguf").read_bytes() == before


def test_no_refresh_twice_is_no_contradiction(call: Call) -> None:
    words = ("replay", "ok.trace", "--timing", "ok.toml", "--no-refresh", "--refresh", "none")
    assert call(*words)[0] == 0


def test_several_problems_come_at_once(call: Call, tmp_path: Path) -> None:
    hostile_files(tmp_path)
    code, answer, said = call(*replaying("several.trace"))
    assert code == 10
    places = [one["layer"] for one in answer["error"]["errors"]]
    assert [place.rpartition(":")[2] for place in places] == ["3", "4", "5"]
    assert len(said.splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "rule"), [("early", "timing"), ("closed", "closed row"), ("channel", "address")]
)
def test_illegal_commands_are_named_with_their_line(
    call: Call, tmp_path: Path, name: str, rule: str
) -> None:
    hostile_files(tmp_path)
    code, answer, _ = call(*checking(f"{name}.cmds"))
    assert code == answer["exit_code"] == 10
    assert answer["legal"] is False
    assert rule in answer["counts"]
