"""Small fixed-latency cores with their designs and meanings, to try the boundary on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gateformer.hw.dataflow.design import Design, Link, Port, Stage
from gateformer.hw.rtl.boundary import boundary, library
from gateformer.quant.types import Fixed, IntArray

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
            made[p.value] = random.integers(p.type.min, p.type.max, shape, endpoint=True)
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
    kind, wide = Fixed(signed, width, 0), Fixed(signed, width + 2, 0)
    design = Design(
        "affine",
        (port("s_axis", "x", tokens, features, kind, lanes),),
        (port("m_axis", "y", tokens, features, wide, lanes),),
        (Stage("scale", "stream", (Link("x", "stream"),), latency, -(-tokens // lanes), 1,
               "input", latency),),  # fmt: skip
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
        y = frames["x"] * 3 + 1
        low = y & ((1 << (width + 2)) - 1)
        return {"y": np.where(low > wide.max, low - (1 << (width + 2)), low)}

    return toy(design, body, run)
