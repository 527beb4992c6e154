"""Small fixed-latency cores with their designs and meanings, to try the boundary on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gateformer.hw.dataflow.design import Design, Link, Port, Stage
from gateformer.hw.rtl.boundary import boundary, library
from gateformer.quant.types import Fixed, IntArray, wrap

CORE_LIBRARY = ("gf_delay.v", "gf_hold.v", "gf_skip_fifo.v", "gf_valid_delay.v")


@dataclass(frozen=True, slots=True, eq=False)
class Toy:
    """A design, its Verilog, its meaning on all values, and where internal values show."""

    design: Design
    files: Mapping[str, str]
    run: Callable[[Mapping[str, IntArray]], dict[str, IntArray]]

    def frames(self, count: int, seed: int = 0) -> dict[str, IntArray]:
        random = np.random.default_rng(seed)
        made: dict[str, IntArray] = {}
        for p in self.design.inputs:
            shape = (count, p.tokens, p.features)
            bits = random.integers(0, 2, (*shape, p.type.width)).astype(object)
            raw = (bits << np.arange(p.type.width).astype(object)).sum(-1)
            made[p.value] = wrap(raw, p.type).astype(np.int64 if p.type.width < 63 else object)
            if p.mask is not None:
                made[p.mask] = random.integers(0, 2, (count, p.tokens, 1))
        return made


def port(name: str, value: str, tokens: int, features: int, kind: Fixed, lanes: int,
         mask: str | None = None) -> Port:  # fmt: skip
    return Port(name, value, tokens, features, kind, lanes, mask)


def toy(design: Design, body: str, run: Callable[[Mapping[str, IntArray]], dict[str, IntArray]],
        helpers: Mapping[str, str] | None = None) -> Toy:  # fmt: skip
    """Wrap a core's body into its module and add the boundary and the library."""
    ports = ["input wire clk", "input wire rst", "input wire in_valid"]
    for p in design.inputs:
        ports.append(f"input wire [{p.bits - 1}:0] in_{p.value}")
        if p.mask is not None:
            ports.append(f"input wire [{p.lanes - 1}:0] in_{p.mask}")
    for i, p in enumerate(design.outputs):
        ports.append(f"output wire {'out_valid' if i == 0 else f'out_{p.value}_valid'}")
        ports.append(f"output wire [{p.bits - 1}:0] out_{p.value}")
    core = (
        "`default_nettype none\n"
        f"module gf_{design.name} (\n  " + ",\n  ".join(ports) + "\n);\n" + body
        + "endmodule\n`default_nettype wire\n"
    )  # fmt: skip
    files = {f"gf_{design.name}.v": core, **boundary(design), **library(CORE_LIBRARY)}
    return Toy(design, files | dict(helpers or {}), run)


def affine(tokens: int = 5, features: int = 2, lanes: int = 2, *, width: int = 7,
           signed: bool = True, latency: int = 3, interval: int = 1, capacity: int = 4,
           ) -> Toy:  # fmt: skip
    """Each element becomes 3x + 1, two bits wider; input-paced."""
    kind, wide, beats = Fixed(signed, width, 0), Fixed(signed, width + 2, 0), -(-tokens // lanes)
    design = Design(
        "affine",
        (port("s_axis", "x", tokens, features, kind, lanes),),
        (port("m_axis", "y", tokens, features, wide, lanes),),
        (Stage("scale", "stream", (Link("x", "stream"),), latency, beats, 1, "input", latency),),
        interval,
        ("scale",),
        capacity,
    )
    count, w = lanes * features, width
    sign = f"in_x[i*{w}+{w - 1}]" if signed else "1'b0"
    body = f"""
  wire [{count * (w + 2) - 1}:0] y;
  genvar i;
  generate
    for (i = 0; i < {count}; i = i + 1) begin : gen_y
      wire [{w + 1}:0] x = {{ {{2{{{sign}}}}}, in_x[i*{w} +: {w}] }};
      assign y[i*{w + 2} +: {w + 2}] = (x << 1) + x + 1'b1;
    end
  endgenerate
  gf_delay #(.Width({count * (w + 2)}), .Depth({latency})) data (.clk(clk), .in(y), .out(out_y));
  gf_valid_delay #(.Depth({latency})) beat (
    .clk(clk), .rst(rst), .in(in_valid), .out(out_valid)
  );
"""

    def run(frames: Mapping[str, IntArray]) -> dict[str, IntArray]:
        return {"y": wrap(frames["x"].astype(object) * 3 + 1, wide)}

    return toy(design, body, run)


def mixer(tokens: int = 7, lanes: int = 2, other: int | None = 3, *, interval: int = 1,
          capacity: int = 4, masked: bool = False, reverse: int = 2, fault: str = "",
          ) -> Toy:  # fmt: skip
    """Two inputs, two outputs: y = rows of 2a + 1 in reverse plus 2a + 1; z = sum a + sum b.

    ``fault`` makes the RTL differ from its meaning at one of its stages.
    """
    F, W = 2, 8
    kind, sum_kind = Fixed(True, W, 0), Fixed(True, 20, 0)
    inputs = [port("s_axis", "a", tokens, F, kind, lanes, "keep" if masked else None)]
    if other is not None:
        inputs.append(port("s_axis_b", "b", other, F, kind, 1))
    wide = Fixed(True, W + 3, 0)
    beats = inputs[0].beats
    reducing = tuple(Link(p.value, "stream") for p in inputs)
    design = Design(
        "mixer",
        tuple(inputs),
        (port("m_axis", "y", tokens, F, wide, lanes), port("m_axis_z", "z", 1, 1, sum_kind, 1)),
        (
            Stage("scale", "stream", (Link("a", "stream"),), 2, beats, 1, "input", 2),
            Stage("reverse", "gather", (Link("scale", "frame"),), reverse, beats, interval,
                  "frame", 2 + reverse),
            Stage("mix", "stream",
                  (Link("reverse", "stream"), Link("scale", "stream", depth=beats + 1)),
                  1, beats, 1, "frame", 3 + reverse),
            Stage("total", "reduce", reducing, 1, 1, 1, "frame", 1),
        ),
        interval,
        ("mix", "total"),
        capacity,
    )  # fmt: skip
    assert design.slots == beats, "the first input is the longest"
    P, SW, YW = lanes, W + 2, W + 3
    bits = P * F * SW
    wrong = {name: int(name == fault) for name in ("scale", "reverse", "mix", "total")}
    body = f"""
  reg [15:0] slot;
  wire slot_last = slot == 16'd{beats - 1};
  always @(posedge clk) begin
    if (rst) slot <= 16'd0;
    else if (in_valid) slot <= slot_last ? 16'd0 : slot + 1'b1;
  end

  // scale: 2a + 1
  wire [{bits - 1}:0] scaled;
  wire [{bits - 1}:0] scale;
  wire scale_valid;
  wire scale_last;
  genvar i;
  generate
    for (i = 0; i < {P * F}; i = i + 1) begin : gen_scale
      wire [{SW - 1}:0] x = {{ {{2{{in_a[i*{W}+{W - 1}]}}}}, in_a[i*{W} +: {W}] }};
      assign scaled[i*{SW} +: {SW}] = (x << 1) + 1'b1 + ((x == 5) ? {wrong["scale"]} : 0);
    end
  endgenerate
  gf_delay #(.Width({bits}), .Depth(2)) scale_data (.clk(clk), .in(scaled), .out(scale));
  gf_valid_delay #(.Depth(2)) scale_beat (
    .clk(clk), .rst(rst), .in(in_valid), .out(scale_valid)
  );
  gf_valid_delay #(.Depth(2)) scale_end (
    .clk(clk), .rst(rst), .in(in_valid && slot_last), .out(scale_last)
  );

  // reverse: the frame's rows, last first
  reg  [{beats * bits - 1}:0] collect;
  wire [{(beats + 1) * bits - 1}:0] collected = {{scale, collect}};
  reg  [{beats * bits - 1}:0] whole;
  reg  [15:0] beat;
  reg  [15:0] pause;
  reg  sending;
  wire send = sending && pause == 16'd0;
  reg  sent;
  reg  [{bits - 1}:0] sent_row;
  wire [{beats * bits - 1}:0] turned;
  generate
    for (i = 0; i < {beats * P}; i = i + 1) begin : gen_turn
      if (i < {tokens}) begin : gen_token
        assign turned[i*{F * SW} +: {F * SW}] =
          whole[({tokens}-1-i)*{F * SW} +: {F * SW}] ^ {wrong["reverse"]};
      end else begin : gen_none
        assign turned[i*{F * SW} +: {F * SW}] = 0;
      end
    end
  endgenerate
  always @(posedge clk) begin
    if (scale_valid) collect <= collected[{(beats + 1) * bits - 1}:{bits}];
    if (scale_last) whole <= collected[{(beats + 1) * bits - 1}:{bits}];
    sent_row <= turned[beat*{bits} +: {bits}];
    if (rst) begin
      sending <= 1'b0;
      sent <= 1'b0;
      beat <= 16'd0;
      pause <= 16'd0;
    end else begin
      sent <= send;
      if (scale_last) begin
        sending <= 1'b1;
        beat <= 16'd0;
        pause <= 16'd0;
      end else if (send) begin
        sending <= beat != 16'd{beats - 1};
        beat <= beat + 1'b1;
        pause <= 16'd{interval - 1};
      end else if (pause != 16'd0) begin
        pause <= pause - 1'b1;
      end
    end
  end
  wire reverse_valid;
  wire read;
  wire [{bits - 1}:0] reverse;
  gf_valid_delay #(.Depth({reverse - 2})) reverse_beat (
    .clk(clk), .rst(rst), .in(sent), .out(reverse_valid)
  );
  gf_valid_delay #(.Depth({reverse - 2})) reverse_read (
    .clk(clk), .rst(rst), .in(send), .out(read)
  );
  gf_delay #(.Width({bits}), .Depth({reverse - 2})) reverse_data (
    .clk(clk), .in(sent_row), .out(reverse)
  );

  // mix: reverse + scale
  wire [{bits - 1}:0] skip;
  gf_skip_fifo #(.Width({bits}), .Depth({beats + 1})) skip_fifo (
    .clk(clk), .rst(rst), .in_valid(scale_valid), .in(scale), .read(read), .out(skip)
  );
  wire [{P * F * YW - 1}:0] mixed;
  generate
    for (i = 0; i < {P * F}; i = i + 1) begin : gen_mix
      assign mixed[i*{YW} +: {YW}] =
        {{reverse[i*{SW}+{SW - 1}], reverse[i*{SW} +: {SW}]}}
        + {{skip[i*{SW}+{SW - 1}], skip[i*{SW} +: {SW}]}} + {wrong["mix"]};
    end
  endgenerate
  gf_hold #(.Width({P * F * YW})) mix_data (
    .clk(clk), .load(reverse_valid), .in(mixed), .out(out_y)
  );
  gf_valid_delay #(.Depth(1)) mix_beat (
    .clk(clk), .rst(rst), .in(reverse_valid), .out(out_valid)
  );

  // total: sum of all
  reg signed [19:0] sum;
  reg signed [19:0] beat_sum;
  reg signed [{W - 1}:0] part;
  reg total_valid;
  integer k;
  always @* begin
    beat_sum = {wrong["total"]};
    part = 0;
    for (k = 0; k < {P * F}; k = k + 1) begin
      part = in_a[k*{W} +: {W}];
      {"if (in_keep[k/" + str(F) + "]) " if masked else ""}beat_sum = beat_sum + part;
    end
"""
    if other is not None:
        body += f"""    for (k = 0; k < {F}; k = k + 1) begin
      part = in_b[k*{W} +: {W}];
      beat_sum = beat_sum + part;
    end
"""
    body += """  end
  always @(posedge clk) begin
    if (in_valid) sum <= (slot == 16'd0 ? 20'sd0 : sum) + beat_sum;
    if (rst) total_valid <= 1'b0;
    else total_valid <= in_valid && slot_last;
  end
  assign out_z = sum;
  assign out_z_valid = total_valid;
"""

    def run(frames: Mapping[str, IntArray]) -> dict[str, IntArray]:
        a = frames["a"]
        scale = 2 * a + 1
        turned = scale[:, ::-1]
        kept = a * (frames["keep"] != 0) if masked else a
        total = kept.sum(axis=(1, 2))
        if other is not None:
            total = total + frames["b"].sum(axis=(1, 2))
        return {"scale": scale, "reverse": turned, "y": turned + scale, "z": total.reshape(-1, 1)}

    return toy(design, body, run)
