"""The ASIC's Verilog as text: its form, and that every tool that must read it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateformer.sim.pim.asic_rtl import sources
from gateformer.sim.rtl.tools import verilator_environment

FILES = sources("gf_pim_asic")
ARITHMETIC = sources("gf_pim_fp32_tree", "gf_pim_fp32_multiply", "gf_pim_bf16_multiply",
                     "gf_pim_fp32_to_bf16", "gf_pim_fp32_from_int", "gf_valid_delay")  # fmt: skip
"""What the banks' multipliers are made of too."""
OWN = tuple(name for name in FILES if name not in ARITHMETIC)
READ_BY_YOSYS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
libyosys.run_pass("read_verilog " + " ".join(sys.argv[1:]), design)
libyosys.run_pass("hierarchy -check -top gf_pim_asic -chparam LANES 4 -chparam WORDS 64", design)
libyosys.run_pass("proc; check -assert; select -assert-none t:$dlatch", design)
"""
READ_BY_PYVERILOG = """
import sys
from pyverilog.vparser.parser import parse
for name in sys.argv[1:]:
    tree, _ = parse([name], outputdir=".", debug=False)
    assert tree.description.definitions, name
"""


@pytest.fixture
def written(tmp_path: Path) -> list[str]:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    return [*FILES]


def read(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-3000:]
    return told


def test_form() -> None:
    assert {"gf_pim_exp.v", "gf_pim_softmax.v", "gf_pim_norm.v", "gf_pim_rotary.v"} < {*OWN}
    for name in OWN:
        text = FILES[name]
        lines = text.splitlines()
        assert lines[0].startswith(f"// {name.removesuffix('.v')}: "), name
        assert "`default_nettype none" in lines and lines[-1] == "`default_nettype wire", name
        assert max(map(len, lines)) <= 100, name


@pytest.mark.icarus
def test_icarus_has_no_warning(tmp_path: Path, written: list[str]) -> None:
    command = ["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-s", "gf_pim_asic"]
    for lanes in (4, 16):
        parameters = [f"-Pgf_pim_asic.LANES={lanes}", "-Pgf_pim_asic.WORDS=64"]
        assert not read([*command, *parameters, "-o", "model", *written], tmp_path)


@pytest.mark.verilator
def test_verilator_has_no_warning(tmp_path: Path, written: list[str]) -> None:
    """Bits that are not used are named where a number is cut."""
    command = [
        "verilator", "--lint-only", "-Wall", "-Wno-DECLFILENAME", "-Wno-UNUSEDSIGNAL",
        "--top-module", "gf_pim_asic", "-GLANES=4", "-GWORDS=64",
    ]  # fmt: skip
    environment = dict(os.environ) | verilator_environment()
    assert "Warning" not in read([*command, *written], tmp_path, environment)


@pytest.mark.synth
def test_yosys_reads_it(tmp_path: Path, written: list[str]) -> None:
    read([sys.executable, "-c", READ_BY_YOSYS, *written], tmp_path)


@pytest.mark.slow
@pytest.mark.icarus
def test_pyverilog_reads_it(tmp_path: Path, written: list[str]) -> None:
    pytest.importorskip("pyverilog")
    read([sys.executable, "-c", READ_BY_PYVERILOG, *OWN], tmp_path)
