"""A memory in Verilog: its modules, and what a device makes of them.

Owns ``emit`` and ``Shape``. Imports the device, the rules' text and the errors. docs/pim_rtl.md
tells of the modules and their ports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from gateformer.hw.pim.device import Device, Policy
from gateformer.hw.pim.verilog_rules import LATENCIES, clocks_of, rules_file
from gateformer.hw.pim.verilog_watch import watch_file
from gateformer.quant.errors import PimError, Problems
from gateformer.quant.version import __version__

TOP = "gf_pim_device"
"""The top module of every file set."""
MEMORY = (
    "gf_pim_array", "gf_pim_bank", "gf_pim_buffer", "gf_pim_channel", "gf_pim_countdown",
    "gf_pim_decode", "gf_pim_host", "gf_pim_memory", "gf_pim_products", "gf_pim_queue",
    "gf_pim_refresh", "gf_pim_reply", "gf_pim_sequencer", "gf_pim_timing", "gf_pim_watch",
    "gf_pim_window",
)  # fmt: skip
ARITHMETIC = (
    "gf_pim_bf16_multiply", "gf_pim_fp32_add", "gf_pim_fp32_from_int", "gf_pim_fp32_round",
    "gf_pim_fp32_to_bf16", "gf_pim_fp32_tree", "gf_pim_int_mac", "gf_pim_mac",
    "gf_pim_multiply",
)  # fmt: skip
LIBRARY = ("gf_delay", "gf_valid_delay")
BITS = {"bf16": 16, "int8": 8, "int4": 4}
PORTS = (
    ("input", "clk", ""), ("input", "rst", ""),
    ("input", "instruction_valid", ""), ("output", "instruction_ready", ""),
    ("input", "instruction_op", "5"), ("input", "instruction_size", "16"),
    ("input", "instruction_channels", "C"), ("input", "instruction_bank", "8"),
    ("input", "instruction_row", "30"), ("input", "instruction_column", "16"),
    ("input", "instruction_slot", "16"), ("input", "instruction_value", "29"),
    ("output", "command_valid", "C"), ("output", "command", "5 C"),
    ("output", "command_op", "5 C"), ("output", "command_bank", "8 C"),
    ("output", "command_row", "30 C"), ("output", "command_column", "16 C"),
    ("output", "write_take", "C"), ("input", "write_data", "data C"),
    ("input", "write_bytes", "bytes C"), ("output", "read_valid", "C"),
    ("output", "read_data", "access C"), ("output", "result_valid", "C"),
    ("output", "result_data", "result C"), ("output", "finished", "C"), ("output", "error", ""),
    ("output", "reason", "3"), ("output", "violation", "C"),
)  # fmt: skip
"""Direction, name and width of the top's ports; C is the number of channels, or as ``Shape``."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Widths of a memory's ports and parts, in bits but for the last.

    Attributes
    ----------
    access, data, result : int
        An access; what a channel takes over ``write_data``; what it gives over ``result_data``.
    slots : int
        Accesses that a channel's buffer holds.
    """

    access: int
    data: int
    result: int
    slots: int

    @classmethod
    def of(cls, device: Device) -> Shape:
        """Return a device's.

        Raises
        ------
        PimError
            E805 where it has no multipliers, or its accesses do not fit them.
        """
        sizes, mac = device.organization, device.mac
        if mac is None:
            fix = "Give it [mac], as `gateformer pim devices pim-gpt` shows it"
            raise _wrong(device, "It is a timing file: it has no multipliers at all", fix)
        if mac.lanes * 16 != sizes.access_bits or mac.lanes & (mac.lanes - 1):
            raise _wrong(
                device,
                "Its multipliers do not take whole accesses of a power of two of lanes",
                "Give it [mac] with lanes = access_bits / 16",
            )
        result = 16 * sizes.banks
        slots = mac.buffer_bytes * 8 // sizes.access_bits
        return cls(sizes.access_bits, max(sizes.access_bits, result), result, slots)


def emit(
    device: Device,
    *,
    policy: Policy = "none",
    interval: int = 0,
    postponed: int = 0,
    strict: bool = False,
    queue: int = 33,
    weights: str = "bf16",
    mac_stages: int = 0,
    outside: bool = False,
) -> dict[str, str]:
    """Return a memory's Verilog.

    Parameters
    ----------
    device : Device
        Sizes, timing and constraints; ``organization.rows`` is the number of rows of each bank.
    policy : {"none", "all-bank", "per-bank"}
        Refresh.
    interval : int
        Clocks from one refresh of a channel to the next; 0 without refresh.
    postponed : int
        Refreshes that may be owed while there is work.
    strict : bool
        Whether the device's strict constraints hold too.
    queue : int
        Requests that a channel holds.
    weights : {"bf16", "int8", "int4"}
        What all MACs multiply.
    mac_stages : int
        ``STAGES`` of the banks' multiply-accumulates.
    outside : bool
        Whether the rows are kept by what simulates the memory, as a full-size one's.

    Returns
    -------
    dict of str to str
        Text by file name; the top is ``gf_pim_device``.

    Raises
    ------
    PimError or Problems
        E805 where the device has no multipliers for the weights, gives them too few clocks, or has
        more of something than the ports' bits can count.
    """
    shape, sizes = Shape.of(device), device.organization
    if device.mac is None or weights not in BITS or weights not in device.mac.weights:
        raise _wrong(
            device, f"It has no {weights}", "Choose another format, or a device that has it"
        )
    Problems.raise_if_any(_beyond(device, shape, postponed))
    result_clocks = clocks_of(device, "nCLREG + nBL")
    if mac_stages and result_clocks < mac_stages + 1:
        raise _wrong(
            device,
            f"RDMAC16 takes nCLREG + nBL = {result_clocks} clocks, a sum {mac_stages + 1}",
            "Raise nCLREG, or take fewer mac_stages",
        )
    files = {f"{name}.v": _text("hw.pim.rtl", name) for name in (*MEMORY, *ARITHMETIC)}
    files |= {f"{name}.v": _text("hw.rtl.lib", name) for name in LIBRARY}
    origin = f"refresh {policy}" + (", strict" if strict else "")
    header = (
        f"// Generated by gateformer {__version__} from the device {device.name} ({origin}); do not"
        " edit.\n// Regenerate: gateformer.hw.pim.verilog.emit\n"
    )
    files[f"gf_pim_rules_{device.name}.v"] = rules_file(device, policy, strict, header)
    files[f"gf_pim_watch_{device.name}.v"] = watch_file(device, policy, strict, header)
    parameters = {
        "Channels": sizes.channels,
        "Groups": sizes.bank_groups,
        "BanksPerGroup": sizes.banks_per_group,
        "Rows": sizes.rows,
        "Columns": sizes.columns,
        "AccessBits": shape.access,
        "DataBits": shape.data,
        "Slots": shape.slots,
        "Step": 2 if weights == "int4" else 1,
        "WeightBits": BITS[weights],
        "MacStages": mac_stages,
        "Outside": int(outside),
        "Queue": queue,
        "Modes": int(sizes.modes),
        "RefreshInterval": interval,
        "Postponed": postponed,
        "PerBank": int(policy == "per-bank"),
        "ReadClocks": clocks_of(device, "nCL + nBL"),
        "ResultClocks": max(result_clocks, mac_stages + 1),
    }
    files[f"{TOP}.v"] = _top(device, shape, parameters, header)
    return files


def _beyond(device: Device, shape: Shape, postponed: int) -> Iterator[PimError]:
    """Yield what the Verilog has too few bits for: a size of 16 bits, a bank of 8, ..."""
    sizes = device.organization
    if shape.slots < 1:
        yield _wrong(device, "Its buffer holds no access", "Raise buffer_bytes of [mac]")
    latency = max(clocks_of(device, text) for text in LATENCIES.values())
    for what, count, most in (
        ("banks of a channel", sizes.banks, 1 << 8),
        ("rows of a bank", sizes.rows, 1 << 29),  # the upper half are those of AF
        ("accesses of a row", sizes.columns, (1 << 16) - 1),
        ("accesses of the buffer", shape.slots, (1 << 16) - 1),
        ("clocks until a command completes", latency, (1 << 16) - 1),
        ("refreshes that may be owed", postponed, (1 << 16) - 2),
    ):
        if count > most:
            cause = f"There are {count:,} {what}; the Verilog counts {most:,} at most"
            yield _wrong(device, cause, "Take fewer, or simulate without Verilog")


def _top(device: Device, shape: Shape, parameters: dict[str, int], header: str) -> str:
    widths = {
        "C": device.organization.channels,
        "data": shape.data,
        "bytes": shape.access // 8,
        "access": shape.access,
        "result": shape.result,
    }

    def span(width: str) -> str:
        bits = 1
        for factor in width.split():
            bits *= widths[factor] if factor in widths else int(factor)
        return f"[{bits - 1}:0] " if width else ""

    column = max(len(span(width)) for _, _, width in PORTS)
    ports = ",\n".join(
        f"  {direction:6} wire {span(width):{column}}{name}" for direction, name, width in PORTS
    )
    given = ",\n".join(f"    .{name}({value})" for name, value in parameters.items())
    joined = ",\n".join(f"    .{name}({name})" for _, name, _ in PORTS)
    return f"""{header}
// {TOP}: gf_pim_memory as {device.name}. Ports are told of there.

`default_nettype none

module {TOP} (
{ports}
);

  gf_pim_memory #(
{given}
  ) memory (
{joined}
  );

endmodule

`default_nettype wire
"""


def _text(package: str, name: str) -> str:
    parent, _, folder = package.rpartition(".")
    return (resources.files(f"gateformer.{parent}") / folder / f"{name}.v").read_text("utf-8")


def _wrong(device: Device, cause: str, fix: str) -> PimError:
    return PimError("E805", "device does not fit", layer=device.name, cause=cause, fix=fix)
