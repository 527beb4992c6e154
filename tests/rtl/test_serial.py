"""gf_<name>_uart on Icarus: frames by bytes in, frames by bytes out, breaks in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from equiv.networks import NETWORKS, icarus, network, vectors

from gateformer.hw.dataflow.design import Design, Port
from gateformer.hw.dataflow.plan import plan
from gateformer.hw.rtl.emit import emit
from gateformer.hw.rtl.serial import serial_top, slot_bytes
from gateformer.hw.settings import Settings
from gateformer.quant.execute import run
from gateformer.quant.types import IntArray

pytestmark = pytest.mark.icarus

FRAMES = 3
DIVISOR = 5
BENCH = """
module bench;
  reg clk = 0;
  reg rst_n = 0;
  reg rxd = 1;
  wire txd;
  wire error;
  always #5 clk = !clk;

  gf_{name}_uart dut (.clk(clk), .rst_n(rst_n), .rxd(rxd), .txd(txd), .error(error));

  reg [7:0] sent [0:{sent}-1];
  reg [7:0] wanted [0:{wanted}-1];
  reg [7:0] got;
  integer i, bit_in, j, bit_out, bad;

  task level(input value, input integer bits);
    begin
      rxd = value;
      repeat (bits * {divisor}) @(posedge clk);
    end
  endtask

  task send(input [7:0] value);
    begin
      level(0, 1);
      for (bit_in = 0; bit_in < 8; bit_in = bit_in + 1) level(value[bit_in], 1);
      level(1, 1);
    end
  endtask

  initial begin
    $readmemh("sent.hex", sent);
    repeat (8) @(posedge clk);
    rst_n = 1;
    repeat (8) @(posedge clk);
    // a glitch shorter than half a bit is no start bit; a lone byte leaves a slot half full
    rxd = 0; @(posedge clk); level(1, 20);
    send(8'h5a);
    // a break, 25 bits long, forgets it
    level(0, 25);
    level(1, 5);
    for (i = 0; i < {sent}; i = i + 1) begin
      send(sent[i]);
      if (i % {frame} == {frame} - 1) level(1, {pause});
    end
  end

  initial begin
    $readmemh("wanted.hex", wanted);
    bad = 0;
    @(posedge rst_n);
    for (j = 0; j < {wanted}; j = j + 1) begin
      @(negedge txd);
      repeat ({divisor} + {divisor} / 2) @(posedge clk);
      for (bit_out = 0; bit_out < 8; bit_out = bit_out + 1) begin
        got[bit_out] = txd;
        repeat ({divisor}) @(posedge clk);
      end
      if (!txd) $display("no stop bit");
      if (got !== wanted[j]) begin
        bad = bad + 1;
        if (bad < 4) $display("byte %0d is %h, not %h", j, got, wanted[j]);
      end
    end
    $display("%0d bytes, %0d wrong, error %b", j, bad, error);
    $finish;
  end

  initial begin
    #{limit} $display("only %0d bytes came, error %b", j, error);
    $finish;
  end
endmodule
"""


def _beat(values: IntArray, port: Port, slot: int) -> bytes:
    rows = values.reshape(port.tokens, -1)[slot * port.lanes : (slot + 1) * port.lanes]
    wide = port.element_bits // 8
    every = (int(v) & ((1 << port.element_bits) - 1) for v in rows.reshape(-1))
    return b"".join(v.to_bytes(wide, "little") for v in every).ljust(port.axis_bits // 8, b"\0")


def _to_send(design: Design, frames: dict[str, IntArray]) -> bytes:
    parts = []
    for i in range(FRAMES):
        for slot in range(design.slots):
            for port in design.inputs:
                beat = _beat(frames[port.value][i], port, slot)
                if port.mask is not None:
                    lanes = slice(slot * port.lanes, (slot + 1) * port.lanes)
                    bits = frames[port.mask][i].reshape(-1)[lanes]
                    mask = sum(int(bit) << place for place, bit in enumerate(bits))
                    beat += mask.to_bytes(-(-port.lanes // 8), "little")
                assert len(beat) == slot_bytes(port)
                parts.append(beat)
    return b"".join(parts)


def _to_come(design: Design, results: dict[str, IntArray]) -> bytes:
    return b"".join(
        _beat(results[port.value][i], port, slot)
        for i in range(FRAMES)
        for port in design.outputs
        for slot in range(port.beats)
    )


@pytest.mark.parametrize(
    ("name", "lanes"), [("dense", 1), ("dense", 4), ("masked", 1), ("two_outputs", 2), ("cross", 1)]
)
def test_bytes_in_and_out(name: str, lanes: int, tmp_path: Path) -> None:
    graph = network(NETWORKS[name], kind="fixed<9,4>" if lanes == 4 else "fixed<8,3>")
    planned = plan(graph, Settings(token_parallelism=lanes))
    design = planned.design
    frames = vectors(graph, FRAMES)
    sent, wanted = _to_send(design, frames), _to_come(design, run(graph, frames))
    pause = 12 * len(wanted) // FRAMES + 100
    bench = BENCH
    values = {
        "name": design.name,
        "sent": len(sent),
        "wanted": len(wanted),
        "frame": len(sent) // FRAMES,
        "pause": pause,
        "divisor": DIVISOR,
        "limit": 10 * DIVISOR * (12 * (len(sent) + len(wanted)) + FRAMES * pause + 1000),
    }
    for key, value in values.items():
        bench = bench.replace(f"{{{key}}}", str(value))
    files = {**emit(planned).files, **serial_top(design, DIVISOR), "bench.v": bench}
    for file, text in files.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    for file, data in (("sent.hex", sent), ("wanted.hex", wanted)):
        (tmp_path / file).write_text("".join(f"{byte:02x}\n" for byte in data))
    told = icarus(tmp_path, "bench", [file for file in files if file.endswith(".v")])
    assert told[-1] == f"{len(wanted)} bytes, 0 wrong, error 0", told


def test_the_top_says_what_travels() -> None:
    design = plan(network(NETWORKS["cross"], kind="fixed<8,3>"), Settings()).design
    text = serial_top(design, 434)["gf_cross_uart.v"]
    assert "// in:  6 times 4 of x, 5 of y bytes a frame" in text
    assert "parameter Divisor = 434" in text
    assert max(map(len, text.splitlines())) <= 100
    assert np.all([ord(letter) < 127 for letter in text])
