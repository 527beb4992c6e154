"""The arithmetic's Verilog as text: its form, and that every tool that must read it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateformer.sim.pim.asic_rtl import sources
from gateformer.sim.rtl.tools import verilator_environment

TOPS = {
    "gf_pim_fp32_add": ({}, {"STAGES": 2}),
    "gf_pim_fp32_multiply": ({}, {"STAGES": 3}),
    "gf_pim_bf16_multiply": ({}, {"STAGES": 1}),
    "gf_pim_fp32_to_bf16": ({},),
    "gf_pim_fp32_from_int": ({},),
    "gf_pim_mac": ({}, {"STAGES": 9}, {"LANES": 4, "STAGES": 5}),
    "gf_pim_int_mac": ({}, {"STAGES": 1, "LANES": 64, "WEIGHT_BITS": 4}),
}
CHOICES = [(top, choice) for top, choices in TOPS.items() for choice in choices]
OWN = tuple(name for name in sources(*TOPS) if name.startswith("gf_pim_"))
READ_BY_YOSYS = """
import sys
from pyosys import libyosys
for top in sys.argv[1].split(","):
    design = libyosys.Design()
    libyosys.run_pass("read_verilog " + " ".join(sys.argv[2:]), design)
    libyosys.run_pass(f"hierarchy -check -top {top}", design)
    libyosys.run_pass("proc; check -assert; select -assert-none t:$dlatch", design)
"""
READ_BY_PYVERILOG = """
import sys
from pyverilog.vparser.parser import parse
tree, _ = parse(sys.argv[1:], outputdir=".", debug=False)
print(*(module.name for module in tree.description.definitions))
"""


def written(folder: Path) -> list[str]:
    files = sources(*TOPS)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return [*files]


def read(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-3000:]
    return told


def test_form() -> None:
    for name, text in sources(*TOPS).items():
        lines = text.splitlines()
        assert lines[0].startswith(f"// {name.removesuffix('.v')}: "), name
        assert "`default_nettype none" in lines and lines[-1] == "`default_nettype wire", name
        assert max(map(len, lines)) <= 100, name


@pytest.mark.icarus
def test_icarus_has_no_warning(tmp_path: Path) -> None:
    files = written(tmp_path)
    for top, choice in CHOICES:
        chosen = [f"-P{top}.{name}={value}" for name, value in choice.items()]
        command = ["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-s", top, *chosen]
        assert read([*command, "-o", "model", *files], tmp_path) == ""


@pytest.mark.verilator
def test_verilator_has_no_warning(tmp_path: Path) -> None:
    environment = dict(os.environ) | verilator_environment()
    files = written(tmp_path)
    for top, choice in CHOICES:
        chosen = [f"-G{name}={value}" for name, value in choice.items()]
        command = ["verilator", "--lint-only", "-Wall", "--top-module", top, *chosen, *files]
        assert "Warning" not in read(command, tmp_path, environment)


@pytest.mark.synth
def test_yosys_reads_it(tmp_path: Path) -> None:
    files = written(tmp_path)
    read([sys.executable, "-c", READ_BY_YOSYS, ",".join(TOPS), *files], tmp_path)


@pytest.mark.icarus
def test_pyverilog_reads_it(tmp_path: Path) -> None:
    pytest.importorskip("pyverilog", reason="pyverilog is not installed")
    written(tmp_path)
    told = read([sys.executable, "-c", READ_BY_PYVERILOG, *OWN], tmp_path)
    assert {name.removesuffix(".v") for name in OWN} <= set(told.split())
