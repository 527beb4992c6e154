"""A board's top with two data pins: the AXI4-Stream top between a serial receiver and sender.

Owns ``gf_<name>_uart`` and ``gf_<name>_<board>``. A bare place-and-route of a design needs hundreds
of pins, which no package has; this top needs five, keeps all of the logic, and makes a bitstream
that a host can talk to. Imports the design records and text pieces.
"""

from __future__ import annotations

from gateformer.hw.dataflow.design import Design, Port
from gateformer.hw.rtl.boundary import library
from gateformer.hw.rtl.text import bus, counter_bits, header, instance, module

LIBRARY = ("gf_beat_to_bytes.v", "gf_bytes_to_beat.v", "gf_uart_rx.v", "gf_uart_tx.v")
"""Library files that the serial top instantiates."""
COMMAND = "build DESIGN --tool nextpnr"


def serial_top(design: Design, divisor: int) -> dict[str, str]:
    """Return the serial top's files: ``gf_<name>_uart.v`` and what it instantiates.

    The line carries 8 data bits, no parity, one stop bit. For each slot of a frame the host sends
    one beat of every input in the order of the ports, ``tuser`` behind ``tdata``, low byte first;
    an input with fewer beats than the frame has slots takes part with bytes that are not used.
    Back come the frames of the outputs, one output after the other, low byte first. There is no
    flow control: the host waits for an answer before it sends more frames than are inside at
    most. Holding the line low for a byte (a break) resets the design.

    Parameters
    ----------
    design : Design
        A scheduled design; ``gf_<name>_axis`` is not among the files.
    divisor : int
        Clocks a bit on the line, at least 4.
    """
    name = f"gf_{design.name}_uart"
    return {f"{name}.v": _top(design, name, divisor), **library(LIBRARY)}


def board_top(design: Design, board: str, divisor: int) -> dict[str, str]:
    """Return ``gf_<name>_<board>.v``: the serial top behind the board's PLL ``gf_pll``.

    Parameters
    ----------
    design : Design
        A scheduled design; the serial top is not among the files.
    board : str
        The board's name.
    divisor : int
        Clocks of the PLL's output a bit on the line.
    """
    name = f"gf_{design.name}_{board}"
    ports = [
        "input  wire clk",
        "input  wire rst_n",
        "input  wire rxd",
        "output wire txd",
        "output wire error",
    ]
    pll = {"clkin": "clk", "clkout0": "core_clk", "locked": "locked"}
    serial = {
        "clk": "core_clk",
        "rst_n": "rst_n && locked",
        "rxd": "rxd",
        "txd": "txd",
        "error": "error",
    }
    body = (
        "  wire core_clk;\n  wire locked;\n\n"
        + instance("gf_pll", "pll", {}, pll)
        + "\n"
        + instance(f"gf_{design.name}_uart", "serial", {"Divisor": divisor}, serial)
    )
    about = [f"gf_{design.name}_uart behind the PLL that makes its clock from the board's"]
    return {f"{name}.v": header(design.name, about, COMMAND) + module(name, ports, body)}


def slot_bytes(port: Port) -> int:
    """Bytes that an input takes of each slot: its beat, and its mask's bits."""
    return (port.axis_bits + (_mask_bits(port))) // 8


def _mask_bits(port: Port) -> int:
    return 0 if port.mask is None else -(-port.lanes // 8) * 8


def _top(design: Design, name: str, divisor: int) -> str:
    words = ", ".join(f"{slot_bytes(port)} of {port.value}" for port in design.inputs)
    lines = [
        f"gf_{design.name}_axis between a serial receiver and a serial sender",
        f"in:  {design.slots} times {words} bytes a frame",
        *(
            f"out: {port.beats} times {port.axis_bits // 8} bytes of {port.value} a frame"
            for port in design.outputs
        ),
        f"at most {design.capacity} frames may be inside; a break on rxd resets",
    ]
    ports = [
        "input  wire clk",
        "input  wire rst_n",
        "input  wire rxd",
        "output wire txd",
        "output reg  error",
    ]
    body = "\n".join([_receiver(design), _inputs(design), _dut(design), _outputs(design)])
    return header(design.name, lines, COMMAND) + module(name, ports, body, {"Divisor": divisor})


def _receiver(design: Design) -> str:
    total = sum(slot_bytes(port) for port in design.inputs)
    receiver = {
        "clk": "clk",
        "rst": "rst",
        "rxd": "rxd",
        "data": "rx_data",
        "valid": "rx_valid",
        "broken": "rx_broken",
    }
    gather = {
        "clk": "clk",
        "rst": "rst",
        "data": "rx_data",
        "valid": "rx_valid",
        "beat": "slot_bytes",
        "complete": "complete",
    }
    return (
        "  // the button and a break both reset\n"
        "  wire [7:0] rx_data;\n  wire rx_valid;\n  wire rx_broken;\n"
        '  (* async_reg = "true" *) reg [1:0] button;\n  reg rst;\n'
        "  always @(posedge clk) begin\n"
        "    button <= {button[0], rst_n};\n    rst <= !button[1] || rx_broken;\n  end\n\n"
        + instance("gf_uart_rx", "receiver", {"Divisor": "Divisor"}, receiver)
        + f"\n  wire {bus(8 * total)} slot_bytes;\n  wire complete;\n"
        + instance("gf_bytes_to_beat", "gather", {"Bytes": total}, gather)
    )


def _inputs(design: Design) -> str:
    """Registers of each input's beat, and whether it still waits to be taken."""
    size = counter_bits(design.slots)
    parts = [
        "  // slots of a frame; a beat waits until its stream takes it\n"
        f"  reg {bus(size)} slot;\n  wire slot_last = slot == {size}'d{design.slots - 1};\n"
        "  always @(posedge clk) begin\n"
        f"    if (rst) begin\n      slot <= {size}'d0;\n    end else if (complete) begin\n"
        f"      slot <= slot_last ? {size}'d0 : slot + 1'b1;\n    end\n  end\n"
    ]
    low = 0
    for port in design.inputs:
        wide = 8 * slot_bytes(port)
        here = "complete"
        if port.beats < design.slots:
            here += f" && slot < {size}'d{port.beats}"
        parts.append(
            f"  reg {bus(wide)} {port.name}_beat;\n"
            f"  reg {port.name}_tvalid;\n  reg {port.name}_tlast;\n"
            f"  wire {port.name}_tready;\n"
            f"  wire {port.name}_here = {here};\n"
            "  always @(posedge clk) begin\n"
            f"    if ({port.name}_here) begin\n"
            f"      {port.name}_beat <= slot_bytes[{low + wide - 1}:{low}];\n"
            f"      {port.name}_tlast <= slot == {size}'d{port.beats - 1};\n    end\n"
            f"    {port.name}_tvalid <= !rst && "
            f"({port.name}_here || ({port.name}_tvalid && !{port.name}_tready));\n  end\n"
        )
        low += wide
    overrun = " ||\n      ".join(f"({p.name}_here && {p.name}_tvalid)" for p in design.inputs)
    parts.append(
        "  // a frame was not whole, or a beat came before the last one was taken\n"
        "  wire frame_error;\n"
        "  always @(posedge clk) begin\n"
        f"    error <= !rst && (error || frame_error ||\n      {overrun});\n  end\n"
    )
    return "\n".join(parts)


def _dut(design: Design) -> str:
    wires = {"clk": "clk", "rst": "rst"}
    declared = []
    for port in design.inputs:
        wires[f"{port.name}_tdata"] = f"{port.name}_beat[{port.axis_bits - 1}:0]"
        wires |= {f"{port.name}_{s}": f"{port.name}_{s}" for s in ("tvalid", "tready", "tlast")}
        if port.mask is not None:
            top = port.axis_bits + port.lanes - 1
            wires[f"{port.name}_tuser"] = f"{port.name}_beat[{top}:{port.axis_bits}]"
    for port in design.outputs:
        declared.append(
            f"  wire {bus(port.axis_bits)} {port.name}_tdata;\n  wire {port.name}_tvalid;\n"
            f"  wire {port.name}_tready;\n  wire {port.name}_tlast;\n"
        )
        wires |= {
            f"{port.name}_{s}": f"{port.name}_{s}" for s in ("tdata", "tvalid", "tready", "tlast")
        }
    wires["frame_error"] = "frame_error"
    return "".join(declared) + "\n" + instance(f"gf_{design.name}_axis", "dut", {}, wires)


def _outputs(design: Design) -> str:
    """Send one output's frame after the other's."""
    count = len(design.outputs)
    size = counter_bits(count)
    parts = ["  // one beat is sent at a time\n  wire tx_ready;\n  wire tx_idle;\n"]
    if count > 1:
        ends = " || ".join(f"({p.name}_tvalid && {p.name}_tready && {p.name}_tlast)"
                           for p in design.outputs)  # fmt: skip
        parts.append(
            "  // whose frame is sent\n"
            f"  reg {bus(size)} turn;\n"
            "  always @(posedge clk) begin\n"
            f"    if (rst) begin\n      turn <= {size}'d0;\n    end else if ({ends}) begin\n"
            f"      turn <= turn == {size}'d{count - 1} ? {size}'d0 : turn + 1'b1;\n"
            "    end\n  end\n"
        )
    data, valid = [], []
    for index, port in enumerate(design.outputs):
        label = f"{port.name}_byte"
        mine = f"tx_idle && turn == {size}'d{index}" if count > 1 else "tx_idle"
        parts.append(
            f"  wire [7:0] {label};\n  wire {label}_valid;\n"
            f"  assign {port.name}_tready = {mine};\n"
            + instance(
                "gf_beat_to_bytes",
                f"{port.name}_spread",
                {"Bytes": port.axis_bits // 8},
                {
                    "clk": "clk",
                    "rst": "rst",
                    "beat": f"{port.name}_tdata",
                    "beat_valid": f"{port.name}_tvalid && {port.name}_tready",
                    "data": label,
                    "valid": f"{label}_valid",
                    "ready": "tx_ready",
                },
            )
        )
        data.append(f"{label}_valid ? {label}")
        valid.append(f"{label}_valid")
    chosen = " :\n    ".join([*data[:-1], data[-1].split(" ? ")[1]])
    sender = {
        "clk": "clk",
        "rst": "rst",
        "data": "tx_data",
        "valid": "tx_valid",
        "ready": "tx_ready",
        "txd": "txd",
    }
    parts.append(
        f"  wire tx_valid = {' || '.join(valid)};\n"
        f"  wire [7:0] tx_data = {chosen};\n"
        "  assign tx_idle = !tx_valid;\n\n"
        + instance("gf_uart_tx", "sender", {"Divisor": "Divisor"}, sender)
    )
    return "\n".join(parts)
