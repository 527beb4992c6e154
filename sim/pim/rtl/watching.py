"""The watch alone, with streams of commands that no sequencer would issue.

Owns ``watched``. Imports the Verilog, the watch's bench and the simulators.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gateformer.hw.pim.device import Device, Policy
from gateformer.hw.pim.verilog import Shape, emit
from gateformer.quant.errors import ToolError
from gateformer.sim.pim.rtl.jobs import FOLDER, Integers
from gateformer.sim.rtl.build import build, run_cocotb

BENCH = "gateformer.sim.pim.rtl.watch_bench"
TOP = "gf_pim_watch_device"


def watched(
    streams: Sequence[Integers],
    device: Device,
    *,
    policy: Policy = "none",
    strict: bool = False,
    work: Path,
    cache: Path,
) -> list[list[int]]:
    """Return the clocks of the commands that ``gf_pim_watch`` finds illegal, stream by stream.

    Parameters
    ----------
    streams : sequence of int64 array, (commands, 5)
        Clock, command (as ``isa.COMMANDS`` counts), bank within the channel, row and column, of one
        channel from reset; clocks rise.
    device, policy, strict
        As for `gateformer.hw.pim.verilog.emit`.
    work, cache : Path
        Folder of the run; folder of finished builds.

    Raises
    ------
    ToolError
        E501, E502 or E505 where a tool is missing or fails.
    """
    files = emit(device, policy=policy, strict=strict)
    own = {name: text for name, text in files.items() if name.startswith("gf_pim_watch")}
    built = build("icarus", {**own, f"{TOP}.v": _top(device)}, TOP, cache)
    work.mkdir(parents=True, exist_ok=True)
    told = work / "found.npy"
    told.unlink(missing_ok=True)
    arrays = {str(number): stream for number, stream in enumerate(streams)}
    np.savez(work / "streams.npz", **arrays)  # type: ignore[arg-type]
    run_cocotb(built, BENCH, work, {FOLDER: str(work.absolute())})
    if not told.exists():
        raise ToolError("E502", "the watch's bench failed", fix=f"See {work / 'simulation.log'}.")
    found: list[list[int]] = [[] for _ in streams]
    for stream, clock in np.load(told).tolist():
        found[stream].append(clock)
    return found


def _top(device: Device) -> str:
    sizes, slots = device.organization, Shape.of(device).slots
    return f"""\
`default_nettype none

module {TOP} (
  input  wire        clk,
  input  wire        rst,
  input  wire        valid,
  input  wire [4:0]  command,
  input  wire [7:0]  bank,
  input  wire [29:0] row,
  input  wire [15:0] column,
  output wire        violation
);

  gf_pim_watch #(
    .Groups({sizes.bank_groups}), .BanksPerGroup({sizes.banks_per_group}), .Rows({sizes.rows}),
    .Columns({sizes.columns}), .Slots({slots}), .Modes({int(sizes.modes)})
  ) watch (
    .clk(clk), .rst(rst), .valid(valid), .command(command), .bank(bank), .row(row),
    .column(column), .violation(violation)
  );

endmodule

`default_nettype wire
"""
