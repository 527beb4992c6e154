"""The top for a DMA: ``gf_<name>_dma`` around the AXI4-Stream top, for a host's memory.

Owns the adapters between words and beats, the ends of packets and the word that a host reads.
Imports the design's records, the boundary and the text pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from gateformer.hw.dataflow.design import Design, Port
from gateformer.hw.dataflow.words import Words
from gateformer.hw.rtl.boundary import library
from gateformer.hw.rtl.text import bus, comment, header, instance, module

DMA_LIBRARY = ("gf_beats_to_words.v", "gf_words_to_beats.v")
"""Library files that this top instantiates beside the boundary's."""

IDENTITY_BITS = 31
"""Bits of the identity: with ``frame_error`` they fill one 32-bit register."""


def identity_of(files: Mapping[str, str]) -> int:
    """Return a number that tells sources from others: the host asks the bitstream for it.

    Parameters
    ----------
    files : mapping of str to str
        Text by file name.
    """
    digest = sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{files[name]}\0".encode())
    return int.from_bytes(digest.digest()[:4], "big") >> (32 - IDENTITY_BITS)


def dma_files(design: Design, identity: int) -> dict[str, str]:
    """Return ``gf_<name>_dma.v`` and the library files that it needs beside the boundary's.

    Parameters
    ----------
    design : Design
        A scheduled design.
    identity : int
        Of the sources, as `identity_of` gives it.
    """
    return {f"gf_{design.name}_dma.v": dma_top(design, identity), **library(DMA_LIBRARY)}


def dma_top(design: Design, identity: int) -> str:
    """Return the text of ``gf_<name>_dma``."""
    streams = (*design.inputs, *design.outputs)
    about = [
        f"{port.name}: {port.value}, beats of {layout.words} x {layout.word_bytes} bytes, "
        f"{layout.frame_bytes} bytes a frame"
        for port in streams
        for layout in (Words(port),)
    ]
    what = f"gf_{design.name}_axis for a DMA: packets of whole frames, tlast at a packet's end"
    body = "\n".join(
        [
            _reset(),
            *(_input(port) for port in design.inputs),
            *(_output(design, port) for port in design.outputs),
            _stream_top(design),
            comment("what the host reads: which design this is, and whether a frame was dropped")
            + f"  assign status = {{{IDENTITY_BITS}'h{identity:08x}, frame_error}};\n",
        ]
    )
    text = module(f"gf_{design.name}_dma", _ports(design), body)
    return header(design.name, [what, *about]) + text


def dma_shell(design: Design) -> str:
    """Return the text of ``gf_<name>_shell``: the same ports, explained to a block design.

    Vivado takes a module into a block design as it is if attributes say which clock and reset
    its streams have (AMD UG994); they stand here alone, as not every reader of Verilog knows
    attributes of ports.
    """
    streams = ":".join(port.name for port in (*design.inputs, *design.outputs))
    clock, reset, *rest = _ports(design)
    ports = [
        _explained("clock:1.0 clk CLK", f"ASSOCIATED_BUSIF {streams}, ASSOCIATED_RESET rst", clock),
        _explained("reset:1.0 rst RST", "POLARITY ACTIVE_HIGH", reset),
        *rest,
    ]
    names = [line.split()[-1] for line in _ports(design)]
    inner = instance(f"gf_{design.name}_dma", "accelerator", {}, {name: name for name in names})
    about = f"gf_{design.name}_dma, with what Vivado's block design has to know of its ports"
    return header(design.name, [about]) + module(f"gf_{design.name}_shell", ports, inner)


def _explained(interface: str, parameters: str, port: str) -> str:
    return (
        f'(* X_INTERFACE_INFO = "xilinx.com:signal:{interface}" *)\n'
        f'  (* X_INTERFACE_PARAMETER = "{parameters}" *)\n  {port}'
    )


def _ports(design: Design) -> list[str]:
    ports = [
        "input  wire clk",
        "input  wire rst",
        "// the host's: whatever is inside is lost\n  input  wire soft_reset",
    ]
    for port in (*design.inputs, *design.outputs):
        there, back = ("input ", "output") if port in design.inputs else ("output", "input ")
        size = Words(port).word_bytes
        ports += [
            f"{there} wire {bus(8 * size)} {port.name}_tdata",
            f"{there} wire {bus(size)} {port.name}_tkeep",
            f"{there} wire {port.name}_tvalid",
            f"{back} wire {port.name}_tready",
            f"{there} wire {port.name}_tlast",
        ]
    return [*ports, "output wire frame_error", "output wire [31:0] status"]


def _reset() -> str:
    return comment("while it lasts, words are taken and lost") + (
        "  wire reset = rst || soft_reset;\n"
    )


def _sizes(layout: Words) -> dict[str, int]:
    return {
        "WordBits": 8 * layout.word_bytes,
        "KeepBits": layout.word_bytes,
        "Words": layout.words,
    }


def _input(port: Port) -> str:
    name, layout = port.name, Words(port)
    wires = {"clk": "clk", "rst": "reset"}
    wires |= {s: f"{name}_{s}" for s in ("tdata", "tkeep", "tvalid", "tlast", "tready")}
    wires |= {s: f"{name}_{s}" for s in ("beat", "beat_valid", "beat_last", "beat_ready")}
    wires |= {s: f"{name}_{s}" for s in ("frame_done", "packet_end")}
    parameters = {**_sizes(layout), "Beats": port.beats}
    return (
        comment(f"{name}: {port.value}")
        + f"  wire {bus(8 * layout.beat_bytes)} {name}_beat;\n"
        + "".join(
            f"  wire {name}_{wire};\n"
            for wire in ("beat_valid", "beat_last", "beat_ready", "frame_done", "packet_end")
        )
        + "\n"
        + instance("gf_words_to_beats", f"{name}_beats", parameters, wires)
    )


def _output(design: Design, port: Port) -> str:
    """An output's words; frames leave in the order they came, so a FIFO tells their packets."""
    name, layout, first = port.name, Words(port), design.inputs[0].name
    padding = 8 * (layout.beat_bytes - layout.data_bytes)
    wires = {
        "clk": "clk",
        "rst": "reset",
        "beat": f"{{{padding}'d0, {name}_beat}}" if padding else f"{name}_beat",
        "beat_valid": f"{name}_beat_valid",
        "beat_last": f"{name}_beat_last",
        "packet_end": f"{name}_ends_known && {name}_ends",
        "beat_ready": f"{name}_beat_ready",
    }
    wires |= {s: f"{name}_{s}" for s in ("tdata", "tkeep", "tvalid", "tlast", "tready")}
    ends = {
        "clk": "clk",
        "rst": "reset",
        "push": f"{first}_frame_done && !frame_error",
        "push_data": f"{first}_packet_end",
        "pop": f"{name}_ends_known && {name}_beat_valid && {name}_beat_ready && {name}_beat_last",
        "valid": f"{name}_ends_known",
        "pop_data": f"{name}_ends",
    }
    return (
        comment(f"{name}: {port.value}; which frames inside end their packet")
        + f"  wire {bus(port.axis_bits)} {name}_beat;\n"
        + "".join(
            f"  wire {name}_{wire};\n"
            for wire in ("beat_valid", "beat_last", "beat_ready", "ends_known", "ends")
        )
        + "\n"
        # One more than may be inside: a frame that another input tears is counted, then dropped.
        + instance("gf_fifo", f"{name}_packets", {"Width": 1, "Depth": design.capacity + 1}, ends)
        + instance("gf_beats_to_words", f"{name}_words", _sizes(layout), wires)
    )


def _stream_top(design: Design) -> str:
    wires = {"clk": "clk", "rst": "reset"}
    for port in (*design.inputs, *design.outputs):
        name = port.name
        whole = f"{name}_beat"
        data = whole
        if port in design.inputs and Words(port).beat_bytes > Words(port).data_bytes:
            data = f"{whole}[{port.axis_bits - 1}:0]"
        wires |= {
            f"{name}_tdata": data,
            f"{name}_tvalid": f"{name}_beat_valid",
            f"{name}_tready": f"{name}_beat_ready",
            f"{name}_tlast": f"{name}_beat_last",
        }
        if port.mask is not None and port in design.inputs:
            wires[f"{name}_tuser"] = f"{whole}[{port.axis_bits + port.lanes - 1}:{port.axis_bits}]"
    wires["frame_error"] = "frame_error"
    return comment("the streams") + instance(f"gf_{design.name}_axis", "streams", {}, wires)
