"""gf_<name>_dma around toy cores: the driver's bytes through the real words, beats and packets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gateformer.host.description import Description
from gateformer.host.driver import Accelerator
from gateformer.host.engine import Answer, NumpyEngine
from gateformer.host.packing import to_memory
from gateformer.host.rtl_engine import RtlEngine
from gateformer.host.simulated_board import SimulatedBoard
from gateformer.hw.rtl.boundary import library
from gateformer.hw.rtl.dma_top import DMA_LIBRARY, dma_files, dma_shell, dma_top, identity_of
from gateformer.quant.errors import BoardError
from gateformer.quant.types import IntArray
from gateformer.sim.rtl.build import build
from gateformer.sim.rtl.jobs import Job
from gateformer.sim.rtl.simulate import run_jobs
from gateformer.sim.rtl.streams import Beats
from gateformer.sim.rtl.tools import verilator_environment
from gateformer.sim.stalls import StallPattern

CORES: list[tuple[str, dict[str, Any]]] = [
    ("affine", {"tokens": 1, "features": 1, "lanes": 1, "width": 1, "signed": False}),
    ("affine", {"tokens": 16, "features": 4, "lanes": 1, "width": 8}),
    ("affine", {"tokens": 9, "features": 3, "lanes": 2, "width": 24, "interval": 3}),
    ("affine", {"tokens": 5, "features": 2, "lanes": 5, "width": 70, "capacity": 1}),
    ("mixer", {"tokens": 17, "lanes": 5, "other": 2, "interval": 2, "masked": True}),
]


def described(toy: Any) -> tuple[Description, dict[str, str]]:
    identity = identity_of(toy.files)
    description = Description.of(toy.design, identity, 10.0)
    return description, {**toy.files, **dma_files(toy.design, identity)}


def outputs(toy: Any) -> Any:
    wanted = [port.value for port in toy.design.outputs]

    def execute(frames: Mapping[str, IntArray]) -> dict[str, IntArray]:
        made = toy.run(frames)
        return {value: made[value] for value in wanted}

    return execute


@pytest.mark.icarus
@pytest.mark.parametrize(("core", "settings"), CORES)
def test_the_driver_reads_what_the_rtl_computes(
    toys: ModuleType,
    core: str,
    settings: dict[str, Any],
    builds: Path,
    tmp_path: Path,
) -> None:
    toy = getattr(toys, core)(**settings)
    description, files = described(toy)
    stalls = None if core == "mixer" else StallPattern("random", seed=3, probability=0.5)
    engine = RtlEngine(description, files, tmp_path, cache=builds, stalls=stalls)
    frames = {value: data if data.shape[2:] != (1,) or toy.design.inputs[0].mask != value
              else data[..., 0] for value, data in toy.frames(11).items()}  # fmt: skip
    with Accelerator(SimulatedBoard(description, engine), description) as chip:
        got = chip.run(frames)
        assert not chip.frame_error
    for value, wanted in outputs(toy)(toy.frames(11)).items():
        np.testing.assert_array_equal(got[value].reshape(wanted.shape), wanted)


def same(first: Answer, second: Answer) -> None:
    assert first.frame_error == second.frame_error
    for name, packet in first.packets.items():
        np.testing.assert_array_equal(packet.octets, second.packets[name].octets)
        assert packet.ended == second.packets[name].ended


@pytest.mark.icarus
@pytest.mark.parametrize("settings", [CORES[1][1], CORES[2][1], CORES[3][1]])
def test_torn_packets_are_dropped_as_the_simulated_board_says(
    toys: ModuleType, settings: dict[str, Any], builds: Path, tmp_path: Path
) -> None:
    toy = toys.affine(**settings)
    description, files = described(toy)
    layout = description.inputs[0].layout
    octets = to_memory(layout, toy.frames(3))
    rtl = RtlEngine(description, files, tmp_path, cache=builds)
    model = NumpyEngine(description, outputs(toy))
    word, frame = layout.word_bytes, layout.frame_bytes
    cuts = sorted({word, frame - word, frame + word, 2 * frame - word, 2 * frame})
    series = [{"s_axis": octets[:cut]} for cut in cuts]
    for cut, packets, answer in zip(cuts, series, rtl.runs(series), strict=True):
        assert answer.frame_error == bool(cut % frame)
        same(answer, model.run(packets))


@pytest.mark.icarus
def test_packets_of_different_lengths_do_as_the_simulated_board_says(
    toys: ModuleType, builds: Path, tmp_path: Path
) -> None:
    toy = toys.mixer(tokens=4, lanes=2, other=2)
    description, files = described(toy)
    frames = toy.frames(4)
    octets, sizes = {}, {}
    for stream in description.inputs:
        name = stream.port.name
        octets[name] = to_memory(stream.layout, frames)
        sizes[name] = stream.layout.frame_bytes, stream.layout.word_bytes
    (a, word_a), (b, word_b) = sizes["s_axis"], sizes["s_axis_b"]
    cuts = [
        (2 * a, 3 * b),  # the first input ends earlier: its end counts
        (3 * a, 2 * b),  # and later: no end comes
        (2 * a + word_a, 3 * b),  # torn, with the other's frame there: dropped
        (2 * a + word_a, 2 * b),  # and without: it waits
        (3 * a, 2 * b + word_b),
        (2 * a + word_a, 2 * b + word_b),
    ]
    series = [{"s_axis": octets["s_axis"][:m], "s_axis_b": octets["s_axis_b"][:n]} for m, n in cuts]
    rtl = RtlEngine(description, files, tmp_path, cache=builds)
    model = NumpyEngine(description, outputs(toy))
    answers = rtl.runs(series)
    assert [answer.frame_error for answer in answers] == [False, False, True, False, True, True]
    for packets, answer in zip(series, answers, strict=True):
        same(answer, model.run(packets))


@pytest.mark.icarus
def test_a_dropped_frame_reaches_the_driver(toys: ModuleType, builds: Path, tmp_path: Path) -> None:
    toy = toys.affine()
    description, files = described(toy)
    longer = replace(toy.design.inputs[0], tokens=7)
    wrong = replace(description, inputs=(replace(description.inputs[0], port=longer),))
    board = SimulatedBoard(wrong, RtlEngine(description, files, tmp_path, cache=builds))
    chip = Accelerator(board, wrong, timeout_s=30)
    with pytest.raises(BoardError) as caught:
        chip.run({"x": np.zeros((1, 7, 2), np.int64)})
    assert caught.value.code == "E904"


@pytest.mark.icarus
def test_a_last_word_that_is_not_full_tears_its_frame(
    toys: ModuleType, builds: Path, tmp_path: Path
) -> None:
    toy = toys.affine(tokens=1, features=4, lanes=1)
    description, files = described(toy)
    octets = to_memory(description.inputs[0].layout, toy.frames(1))
    beats = Beats(octets.reshape(1, 4), np.ones(1, np.bool_))
    built = build("icarus", files, "gf_affine_dma", builds)
    jobs = [
        Job({"s_axis": beats}, {"m_axis": words}, ties={"soft_reset": reset, "s_axis_tkeep": keep},
            patience=100)
        for keep, reset, words in ((0xF, 0, 1), (0x7, 0, 0), (0xF, 1, 0))
    ]  # fmt: skip
    good, torn, held = run_jobs(built, jobs, tmp_path)
    assert (good.frame_error, len(good.data["m_axis"]), good.problems) == (None, 1, ())
    assert torn.frame_error is not None
    assert (len(torn.data["m_axis"]), torn.problems) == (0, ())
    assert held.frame_error is None  # words are taken and lost under the host's reset
    assert (len(held.data["m_axis"]), held.problems) == (0, ())


@pytest.mark.icarus
def test_the_hosts_reset_empties_the_design(toys: ModuleType, tmp_path: Path) -> None:
    toy = toys.affine(tokens=1, features=4, lanes=1, latency=12)
    _, files = described(toy)
    identity = identity_of(toy.files)
    files["tb.v"] = RESET_BENCH
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = ["iverilog", "-g2001", "-s", "tb", "-o", "tb.vvp", *files]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(
        ["vvp", "-n", "tb.vvp"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    torn, clean = f"{identity << 1 | 1:08x}", f"{identity << 1:08x}"
    assert done.stdout.split() == [
        *("status", clean),
        *("status", torn),
        *("status", clean),  # the frame that was inside has not come, nor its packet's end
        *("word", "000d000a00070004", "last", "1"),  # 3x + 1 of 1, 2, 3, 4
        *("status", clean),
    ]


RESET_BENCH = """
module tb;
  reg clk = 1'b0;
  reg rst = 1'b1;
  reg soft_reset = 1'b0;
  reg [31:0] word = 32'h04030201;
  reg [3:0] keep = 4'hf;
  reg valid = 1'b0;
  wire ready, out_valid, out_last, frame_error;
  wire [63:0] out;
  wire [7:0] out_keep;
  wire [31:0] status;
  always #5 clk = ~clk;
  gf_affine_dma dut (
    .clk(clk), .rst(rst), .soft_reset(soft_reset),
    .s_axis_tdata(word), .s_axis_tkeep(keep), .s_axis_tvalid(valid), .s_axis_tready(ready),
    .s_axis_tlast(1'b1), .m_axis_tdata(out), .m_axis_tkeep(out_keep), .m_axis_tvalid(out_valid),
    .m_axis_tready(1'b1), .m_axis_tlast(out_last), .frame_error(frame_error), .status(status)
  );
  always @(posedge clk) begin
    if (!rst && out_valid) $display("word %h last %b", out, out_last);
  end
  task send(input [3:0] with_keep);
    begin
      @(negedge clk) begin keep = with_keep; valid = 1'b1; end
      while (!ready) @(negedge clk);
      @(negedge clk) valid = 1'b0;
    end
  endtask
  initial begin
    repeat (4) @(negedge clk);
    rst = 1'b0;
    @(negedge clk) $display("status %h", status);
    send(4'hf);
    send(4'h3);
    repeat (4) @(negedge clk);
    $display("status %h", status);
    soft_reset = 1'b1;
    repeat (2) @(negedge clk);
    soft_reset = 1'b0;
    repeat (40) @(negedge clk);
    $display("status %h", status);
    send(4'hf);
    repeat (40) @(negedge clk);
    $display("status %h", status);
    $finish;
  end
endmodule
"""


@pytest.mark.icarus
def test_pyverilog_reads_the_top(toys: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("pyverilog", reason="pyverilog is not installed")
    (tmp_path / "top.v").write_text(dma_top(toys.mixer(masked=True).design, 5))
    script = (
        "import sys\nfrom pyverilog.vparser.parser import parse\n"
        "ast, _ = parse(sys.argv[1:])\nprint(*(m.name for m in ast.description.definitions))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "top.v"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split()[-1] == "gf_mixer_dma"


@pytest.mark.icarus
@pytest.mark.verilator
@pytest.mark.parametrize(("core", "settings"), CORES)
def test_tops_have_no_warning(
    toys: ModuleType, core: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    toy = getattr(toys, core)(**settings)
    _, files = described(toy)
    name = toy.design.name
    files[f"gf_{name}_shell.v"] = dma_shell(toy.design)
    files[f"gf_{name}.v"] = f"/* verilator lint_off WIDTH */\n{files[f'gf_{name}.v']}"
    sources = []
    for file, text in files.items():
        (tmp_path / file).write_text(text)
        sources.append(str(tmp_path / file))
    for command, environment in (
        (["iverilog", "-g2001", "-Wall", "-s", f"gf_{name}_shell", "-o", "out"], None),
        (
            ["verilator", "--lint-only", "-Wall", "-Wno-UNUSEDSIGNAL", "--top-module",
             f"gf_{name}_shell"],
            dict(os.environ) | verilator_environment(),
        ),
    ):  # fmt: skip
        done = subprocess.run(
            [*command, *sources], cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        told = done.stdout + done.stderr
        assert done.returncode == 0 and "arning" not in told, told[-3000:]


def test_the_identity_follows_every_source(toys: ModuleType) -> None:
    files = dict(toys.affine().files)
    made = identity_of(files)
    assert 0 <= made < 1 << 31
    assert identity_of(dict(reversed(files.items()))) == made
    assert identity_of(files | {"gf_pack.v": files["gf_pack.v"] + "\n"}) != made


def test_the_shell_has_the_tops_ports(toys: ModuleType) -> None:
    design = toys.mixer(masked=True).design
    top, shell = dma_top(design, 5), dma_shell(design)

    def ports(text: str) -> list[str]:
        listed = text.split(" (\n", 1)[1].split(");\n", 1)[0].splitlines()
        return [line.strip(" ,") for line in listed if line.strip().startswith(("input", "output"))]

    assert ports(top) == ports(shell)
    assert "(* X_INTERFACE_INFO" in shell and "(*" not in top
    assert "ASSOCIATED_BUSIF s_axis:s_axis_b:m_axis:m_axis_z, ASSOCIATED_RESET rst" in shell
    assert set(library(DMA_LIBRARY)) == set(DMA_LIBRARY)


@pytest.mark.synth
def test_adapters_are_registers_and_logic_alone(tmp_path: Path) -> None:
    (tmp_path / "top.v").write_text(TOP)
    sources = [str(tmp_path / "top.v")]
    for name, text in library(DMA_LIBRARY).items():
        (tmp_path / name).write_text(text)
        sources.append(str(tmp_path / name))
    done = subprocess.run(
        [sys.executable, "-c", SYNTHESIZE, *sources],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    cells = done.stdout.rsplit("Printing statistics", 1)[1]
    registers = sum(int(n) for n in re.findall(r"\b(\d+)\b[^\n]*FD[RS]E", cells))
    assert 2 * 192 <= registers <= 2 * 192 + 20
    assert not re.search(r"LD[CP]E|DSP|RAMB", cells), cells


SYNTHESIZE = """
import sys
from pyosys import libyosys
design = libyosys.Design()
libyosys.run_pass("read_verilog " + " ".join(sys.argv[1:]), design)
libyosys.run_pass("synth_xilinx -family xc7 -flatten -noiopad -top top", design)
libyosys.run_pass("check -assert; stat", design)
"""
TOP = """
module top (
  input wire clk, input wire rst, input wire [63:0] tdata, input wire [7:0] tkeep,
  input wire tvalid, input wire tlast, output wire tready,
  output wire [63:0] mdata, output wire [7:0] mkeep, output wire mvalid, output wire mlast,
  input wire mready
);
  wire [191:0] beat;
  wire valid, last, ready, done, ends;
  gf_words_to_beats #(.WordBits(64), .KeepBits(8), .Words(3), .Beats(5)) from (
    .clk(clk), .rst(rst), .tdata(tdata), .tkeep(tkeep), .tvalid(tvalid), .tlast(tlast),
    .tready(tready), .beat(beat), .beat_valid(valid), .beat_last(last), .beat_ready(ready),
    .frame_done(done), .packet_end(ends)
  );
  gf_beats_to_words #(.WordBits(64), .KeepBits(8), .Words(3)) to (
    .clk(clk), .rst(rst), .beat(beat), .beat_valid(valid), .beat_last(last),
    .packet_end(ends && done), .beat_ready(ready),
    .tdata(mdata), .tkeep(mkeep), .tvalid(mvalid), .tlast(mlast), .tready(mready)
  );
endmodule
"""
