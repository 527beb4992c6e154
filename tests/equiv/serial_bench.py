"""A testbench in plain Verilog that talks to a serial top as a host does: bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Mapping

from gateformer.hw.dataflow.design import Design, Port
from gateformer.hw.rtl.serial import slot_bytes
from gateformer.quant.types import IntArray

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


def bench(
    design: Design, frames: Mapping[str, IntArray], results: Mapping[str, IntArray], divisor: int
) -> tuple[dict[str, str], str]:
    """Return the files of a bench, top ``bench``, and the last line that it must print."""
    count = len(next(iter(frames.values())))
    sent, wanted = _to_send(design, frames, count), _to_come(design, results, count)
    pause = 12 * len(wanted) // count + 100
    values = {
        "name": design.name,
        "sent": len(sent),
        "wanted": len(wanted),
        "frame": len(sent) // count,
        "pause": pause,
        "divisor": divisor,
        "limit": 10 * divisor * (12 * (len(sent) + len(wanted)) + count * pause + 1000),
    }
    text = BENCH
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", str(value))
    files = {"bench.v": text}
    for file, data in (("sent.hex", sent), ("wanted.hex", wanted)):
        files[file] = "".join(f"{byte:02x}\n" for byte in data)
    return files, f"{len(wanted)} bytes, 0 wrong, error 0"


def _beat(values: IntArray, port: Port, slot: int) -> bytes:
    rows = values.reshape(port.tokens, -1)[slot * port.lanes : (slot + 1) * port.lanes]
    wide = port.element_bits // 8
    every = (int(v) & ((1 << port.element_bits) - 1) for v in rows.reshape(-1))
    return b"".join(v.to_bytes(wide, "little") for v in every).ljust(port.axis_bits // 8, b"\0")


def _to_send(design: Design, frames: Mapping[str, IntArray], count: int) -> bytes:
    parts = []
    for i in range(count):
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


def _to_come(design: Design, results: Mapping[str, IntArray], count: int) -> bytes:
    return b"".join(
        _beat(results[port.value][i], port, slot)
        for i in range(count)
        for port in design.outputs
        for slot in range(port.beats)
    )
