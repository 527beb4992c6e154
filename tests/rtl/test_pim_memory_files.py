"""The memory's Verilog as text: its tables are the instruction set's, and every tool reads it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateformer.hw.pim import device
from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import COMMANDS, OPS, SCOPES
from gateformer.hw.pim.verilog import MEMORY, TOP, Shape, emit
from gateformer.quant.errors import PimError, Problems
from gateformer.sim.rtl.tools import verilator_environment

KINDS = {
    "Register": ("register", "none", False),
    "RegisterBlocks": ("register", "none", True),
    "AllRows": ("array", "all", False),
    "OneRow": ("array", "one", False),
    "Barrier": ("none", "none", True),
    "Any": ("none", "none", False),
    "HostOnly": ("none", "none", False),
}
NAMES = {name.lower(): number for number, name in enumerate(COMMANDS)}


def files(name: str = "gddr6-aim", **changes: int) -> dict[str, str]:
    found = device.with_(device.load(name), channels=2, rows=4, **changes)
    return emit(found, policy="all-bank", interval=3800, strict=True)


def test_the_decoder_is_the_instruction_set() -> None:
    text = emit(device.load("pim-gpt"))["gf_pim_decode.v"]
    rows = re.findall(r"5'd(\d+): +\{command, kind\} = \{5'd(\d+), (\w+)\}; +// (\w+)", text)
    assert len(rows) == len(OPS)
    for (number, command, kind, told), (name, op) in zip(rows, OPS.items(), strict=True):
        assert int(number) == list(OPS).index(name) and told == name
        assert (op.mode, op.rows, op.blocks) == KINDS[kind]
        assert int(command) == (31 if op.command is None else COMMANDS.index(op.command))


def test_commands_have_the_numbers_of_the_instruction_set() -> None:
    single = sum(1 << COMMANDS.index(name) for name, scope in SCOPES.items() if scope == "bank")
    for name, text in files().items():
        for constant, number in re.findall(r"localparam \[4:0\] (\w+) = 5'd(\d+);", text):
            if constant.lower() in NAMES and name != "gf_pim_host.v":
                assert int(number) == NAMES[constant.lower()], (name, constant)
        for mask in re.findall(r"Single = 32'h([0-9A-F_]+);", text):
            assert int(mask, 16) == single


def test_operations_have_the_numbers_of_the_instruction_set() -> None:
    host = files()["gf_pim_host.v"]
    means = {
        "WriteBuffer": "WR_GB", "MacAll": "MAC_ABK", "Af": "AF", "WriteAll": "WR_ABK",
        "MacOne": "MAC_SBK", "FromBank": "COPY_BKGB", "ToBank": "COPY_GBBK",
        "ReadMemory": "RD_MEM", "WriteMemory": "WR_MEM", "Sync": "SYNC", "Eoc": "EOC",
        "SetRegister": "W_CFR",
    }  # fmt: skip
    found = dict(re.findall(r"localparam \[4:0\] (\w+) = 5'd(\d+);", host))
    assert {name: int(number) for name, number in found.items()} == {
        name: list(OPS).index(op) for name, op in means.items()
    }


def test_headers_and_guards() -> None:
    for name, text in files().items():
        if name.removesuffix(".v") not in MEMORY:
            continue
        lines = text.splitlines()
        assert lines[0].startswith(f"// {name.removesuffix('.v')}: "), name
        assert "`default_nettype none" in lines and lines[-1] == "`default_nettype wire", name
        assert max(map(len, lines)) <= 100, name


def test_the_same_device_gives_the_same_bytes() -> None:
    assert files() == files()


@pytest.mark.parametrize("name", device.names())
def test_every_device_has_a_memory(name: str) -> None:
    found = device.load(name)
    assert f"gf_pim_rules_{name}.v" in emit(found, strict=True)


def test_what_has_no_multipliers_is_refused() -> None:
    found = device.load("pim-gpt")
    assert found.mac is not None
    bare = replace(found, mac=None)
    odd = replace(found, mac=replace(found.mac, lanes=8))
    for wrong in (bare, odd):
        with pytest.raises(PimError) as caught:
            Shape.of(wrong)
        assert caught.value.code == "E805"
    for changes in ({"weights": "fp8"}, {"mac_stages": 9}):
        with pytest.raises(PimError):
            emit(found, **changes)  # type: ignore[arg-type]


def test_what_the_ports_cannot_count_is_refused_all_at_once() -> None:
    found = device.load("pim-gpt")
    assert found.mac is not None
    sizes = replace(found.organization, bank_groups=64, row_bytes=65535 * 32, rows=1 << 29)
    buffer = replace(found.mac, buffer_bytes=65535 * 32)
    most = replace(device.with_(found, nCL=65534), organization=sizes, mac=buffer)
    assert emit(most, postponed=65534)
    sizes = replace(sizes, banks_per_group=5, row_bytes=1 << 21, rows=1 << 30)
    buffer = replace(buffer, buffer_bytes=1 << 21)
    beyond = replace(device.with_(found, nCL=65535), organization=sizes, mac=buffer)
    with pytest.raises(Problems) as caught:
        emit(beyond, postponed=65535)
    told = [(one.code, str(one)) for one in caught.value.errors]
    assert {code for code, _ in told} == {"E805"}
    for words, (_, said) in zip(
        (
            "320 banks of a channel; the Verilog counts 256",
            "1,073,741,824 rows of a bank; the Verilog counts 536,870,912",
            "65,536 accesses of a row; the Verilog counts 65,535",
            "65,536 accesses of the buffer; the Verilog counts 65,535",
            "65,536 clocks until a command completes; the Verilog counts 65,535",
            "65,535 refreshes that may be owed; the Verilog counts 65,534",
        ),
        told,
        strict=True,
    ):
        assert words in said
    with pytest.raises(PimError, match="Its buffer holds no access"):
        emit(replace(found, mac=replace(found.mac, buffer_bytes=31)))


def test_a_time_that_is_not_given_counts_nothing() -> None:
    """As in the engine."""
    found = device.load("pim-gpt")
    timing = {key: value for key, value in found.timing.items() if key != "nCLREG"}
    text = emit(replace(found, timing=timing))[f"gf_pim_rules_{found.name}.v"]
    assert "Rdmac16: clocks = 16'd1;" in text


def _small(name: str, row_bytes: int = 2048) -> dict[str, str]:
    found: Device = device.with_(device.load(name), channels=2, rows=4, row_bytes=row_bytes)
    found = device.with_(found, bank_groups=2, banks_per_group=3)
    return emit(found, policy="per-bank", interval=237, strict=True)


def _written(texts: dict[str, str], folder: Path) -> list[str]:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [str(folder / name) for name in texts]


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-3000:]
    return told


@pytest.mark.icarus
def test_icarus_has_no_warning(tmp_path: Path) -> None:
    sources = _written(_small("gddr6-aim"), tmp_path)
    command = ["iverilog", "-g2001", "-Wall", "-s", TOP, "-o", "out", *sources]
    assert _run(command, tmp_path) == ""


@pytest.mark.verilator
def test_verilator_has_no_warning_but_style(tmp_path: Path) -> None:
    sources = _written(_small("gddr6-aim"), tmp_path)
    command = ["verilator", "--lint-only", "-Wall", "-Wno-style", "--top-module", TOP, *sources]
    assert "Warning" not in _run(command, tmp_path, dict(os.environ) | verilator_environment())


@pytest.mark.synth
def test_yosys_reads_the_memory(tmp_path: Path) -> None:
    sources = _written(_small("pim-gpt", 64), tmp_path)
    script = (
        "import sys\nfrom pyosys import libyosys\ndesign = libyosys.Design()\n"
        "libyosys.run_pass('read_verilog -DSYNTHESIS ' + ' '.join(sys.argv[1:]), design)\n"
        f"libyosys.run_pass('hierarchy -check -top {TOP}; proc; check -assert', design)\n"
    )
    _run([sys.executable, "-c", script, *sources], tmp_path)


@pytest.mark.icarus
def test_pyverilog_reads_every_file(tmp_path: Path) -> None:
    pytest.importorskip("pyverilog", reason="pyverilog is not installed")
    texts = _small("gddr6-aim")
    sources = _written(texts, tmp_path)
    script = (
        "import sys\nfrom pyverilog.vparser.parser import parse\n"
        "ast, _ = parse(sys.argv[1:])\n"
        "print(*(m.name for m in ast.description.definitions))"
    )
    told = _run([sys.executable, "-c", script, *sources], tmp_path)
    assert {f"gf_pim_rules_{part}" for part in ("channel", "group", "bank")} <= set(told.split())
    own = {name.removesuffix(".v") for name in texts if "gddr6-aim" not in name}
    assert own <= set(told.split())
