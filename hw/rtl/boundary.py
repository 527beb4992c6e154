"""The AXI4-Stream boundary: the Verilog top around the bare, never stalling core.

Owns ``gf_<name>_axis``: joint input slots, credits, frame errors and output FIFOs.
Imports the design records and the library's texts.
"""

from __future__ import annotations

from importlib import resources

from gateformer.hw.dataflow.design import Design, Port
from gateformer.hw.naming import identifier
from gateformer.hw.rtl.text import header, instance

LIBRARY = (
    "gf_admit.v",
    "gf_fifo.v",
    "gf_frame_gate.v",
    "gf_output_fifo.v",
    "gf_pack.v",
    "gf_unpack.v",
)
"""Library files that the boundary instantiates."""


def library(names: tuple[str, ...] = LIBRARY) -> dict[str, str]:
    """Return library files' texts by file name."""
    folder = resources.files("gateformer.hw.rtl") / "lib"
    return {name: (folder / name).read_text(encoding="utf-8") for name in names}


def boundary(design: Design) -> dict[str, str]:
    """Return the boundary's files: the top ``gf_<name>_axis.v`` and what it instantiates.

    Parameters
    ----------
    design : Design
        A scheduled design.

    Returns
    -------
    dict of str to str
        Verilog text by file name; the bare core ``gf_<name>`` is not among them.
    """
    return {f"gf_{design.name}_axis.v": axis_top(design), **library()}


def axis_top(design: Design) -> str:
    """Return the text of ``gf_<name>_axis``."""
    slot_bits = max(1, (design.slots - 1).bit_length())
    ports = [
        "  input  wire clk",
        "  input  wire rst",
        *(line for port in design.inputs for line in _input_ports(port)),
        *(line for port in design.outputs for line in _output_ports(port)),
        "  // a frame came with an early or a missing tlast and was dropped; stays until reset\n"
        "  output wire frame_error",
    ]
    parts = [
        _header(design),
        f"module gf_{design.name}_axis (\n{_separated(ports)}\n);\n",
        _slots(design, slot_bits),
        *(_input(design, port, slot_bits) for port in design.inputs),
        _core(design),
        *(_output(design, port) for port in design.outputs),
        "endmodule\n\n`default_nettype wire\n",
    ]
    return "\n".join(parts)


def _separated(ports: list[str]) -> str:
    return ",\n".join(ports)


def _header(design: Design) -> str:
    streams = [
        f"{port.name}: {port.value}, {port.beats} beats of {port.lanes} x {port.features} "
        f"{port.type}, {port.element_bits} bits each"
        for port in (*design.inputs, *design.outputs)
    ]
    lines = [
        f"AXI4-Stream boundary of gf_{design.name}: latency {design.latency_cycles} clocks from "
        "a frame's first",
        f"input handshake to its last output handshake, a frame every {design.interval_cycles}, "
        f"at most {design.capacity} inside",
        *streams,
    ]
    return header(design.name, lines) + "\n`default_nettype none\n"


def _input_ports(port: Port) -> list[str]:
    lines = [
        f"  input  wire [{port.axis_bits - 1}:0] {port.name}_tdata",
        f"  input  wire {port.name}_tvalid",
        f"  output wire {port.name}_tready",
        f"  input  wire {port.name}_tlast",
    ]
    if port.mask is not None:
        lines.append(f"  input  wire [{port.lanes - 1}:0] {port.name}_tuser")
    return lines


def _output_ports(port: Port) -> list[str]:
    return [
        f"  output wire [{port.axis_bits - 1}:0] {port.name}_tdata",
        f"  output wire {port.name}_tvalid",
        f"  input  wire {port.name}_tready",
        f"  output wire {port.name}_tlast",
    ]


def _slots(design: Design, slot_bits: int) -> str:
    def joined(operator: str, ports: tuple[Port, ...], suffix: str) -> str:
        return f" {operator} ".join(f"{port.name}_{suffix}" for port in ports)

    declared = [
        *(f"  wire {p.name}_{s};" for p in design.inputs for s in ("offered", "bad", "discarding")),
        *(f"  wire {p.name}_room;" for p in design.outputs),
    ]
    connections = {
        "clk": "clk",
        "rst": "rst",
        "offered": joined("&&", design.inputs, "offered"),
        "discarding": joined("||", design.inputs, "discarding"),
        "room": joined("&&", design.outputs, "room"),
        "bad": joined("||", design.inputs, "bad"),
        "open": "slot_open",
        "take": "slot_take",
        "slot": "slot",
        "frame_start": "frame_start",
        "frame_end": "frame_end",
        "status_good": "status_good",
        "frame_error": "frame_error",
        "core_valid": "in_valid",
    }
    parameters = {"Slots": design.slots, "SlotBits": slot_bits, "Interval": design.beat_interval}
    return "\n".join(
        [
            f"  // slots: {design.slots} a frame, at least {design.beat_interval} clocks apart",
            *declared,
            "  wire slot_open;",
            "  wire slot_take;",
            f"  wire [{slot_bits - 1}:0] slot;",
            "  wire frame_start;",
            "  wire frame_end;",
            "  wire status_good;",
            "  wire in_valid;",
            "",
            instance("gf_admit", "admit", parameters, connections),
        ]
    )


def _input(design: Design, port: Port, slot_bits: int) -> str:
    others = [f"{p.name}_offered" for p in design.inputs if p is not port]
    gate = instance(
        "gf_frame_gate",
        f"{port.name}_gate",
        {"Beats": port.beats, "SlotBits": slot_bits},
        {
            "clk": "clk",
            "rst": "rst",
            "slot": "slot",
            "grant": " && ".join(["slot_open", *others]),
            "take": "slot_take",
            "frame_end": "frame_end",
            "tvalid": f"{port.name}_tvalid",
            "tlast": f"{port.name}_tlast",
            "tready": f"{port.name}_tready",
            "offered": f"{port.name}_offered",
            "use_beat": f"{port.name}_use",
            "final_beat": f"{port.name}_final",
            "bad": f"{port.name}_bad",
            "discarding": f"{port.name}_discarding",
        },
    )
    lines = [
        f"  // {port.name}: {port.value}",
        f"  wire {port.name}_use;",
        f"  wire {port.name}_final;",
        "",
        gate.rstrip("\n"),
        *_register(port, "tdata", port.value, port.features, port.type.width, port.element_bits),
    ]
    if port.mask is not None:
        lines += _register(port, "tuser", port.mask, 1, 1, 1)
    return "\n".join(lines)


def _register(
    port: Port, source: str, value: str, elements: int, width: int, padded: int
) -> list[str]:
    """Unpack and register a beat, so that the core sees it in the clock after the handshake."""
    name = identifier(value)
    bits = port.lanes * elements * width
    parameters = {
        "Lanes": port.lanes,
        "LastLanes": last_lanes(port),
        "Elements": elements,
        "Width": width,
        "Padded": padded,
    }
    connections = {
        "use_beat": f"{port.name}_use",
        "final_beat": f"{port.name}_final",
        "tdata": f"{port.name}_{source}",
        "packed_beat": f"packed_{name}",
    }
    return [
        "",
        f"  wire [{bits - 1}:0] packed_{name};",
        f"  reg  [{bits - 1}:0] in_{name};",
        "",
        instance("gf_unpack", f"unpack_{name}", parameters, connections),
        "  always @(posedge clk) begin",
        "    if (slot_take) begin",
        f"      in_{name} <= packed_{name};",
        "    end",
        "  end",
        "",
    ]


def _core(design: Design) -> str:
    connections = {"clk": "clk", "rst": "rst", "in_valid": "in_valid"}
    for port in design.inputs:
        for value in (port.value, *([port.mask] if port.mask is not None else [])):
            connections[f"in_{identifier(value)}"] = f"in_{identifier(value)}"
    declared = []
    for index, port in enumerate(design.outputs):
        valid, data = output_valid(index, port), f"out_{identifier(port.value)}"
        connections[valid], connections[data] = valid, data
        declared += [f"  wire {valid};", f"  wire [{port.bits - 1}:0] {data};"]
    return "\n".join(
        ["  // the core", *declared, "", instance(f"gf_{design.name}", "core", {}, connections)]
    )


def _output(design: Design, port: Port) -> str:
    data = f"out_{identifier(port.value)}"
    fifo = instance(
        "gf_output_fifo",
        f"{port.name}_fifo",
        {
            "Lanes": port.lanes,
            "LaneBits": port.features * port.type.width,
            "LastLanes": last_lanes(port),
            "Beats": port.beats,
            "Capacity": design.capacity,
        },
        {
            "clk": "clk",
            "rst": "rst",
            "frame_start": "frame_start",
            "status_push": "frame_end",
            "status_good": "status_good",
            "room": f"{port.name}_room",
            "beat_valid": output_valid(design.outputs.index(port), port),
            "beat": data,
            "m_valid": f"{port.name}_tvalid",
            "m_beat": f"{port.name}_beat",
            "m_last": f"{port.name}_tlast",
            "m_ready": f"{port.name}_tready",
        },
    )
    pack = instance(
        "gf_pack",
        f"{port.name}_pack",
        {
            "Elements": port.lanes * port.features,
            "Width": port.type.width,
            "Padded": port.element_bits,
            "Signed": int(port.type.signed),
        },
        {"packed_beat": f"{port.name}_beat", "tdata": f"{port.name}_tdata"},
    )
    return "\n".join(
        [
            f"  // {port.name}: {port.value}",
            f"  wire [{port.bits - 1}:0] {port.name}_beat;",
            "",
            fifo,
            pack,
        ]
    )


def last_lanes(port: Port) -> int:
    """Lanes of a frame's last beat that hold tokens."""
    return port.tokens - (port.beats - 1) * port.lanes


def output_valid(index: int, port: Port) -> str:
    """Name of the core's valid of an output: ``out_valid`` for the first."""
    return "out_valid" if index == 0 else f"out_{identifier(port.value)}_valid"
