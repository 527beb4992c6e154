"""Names that a design may use: what would not be one plain, distinct Verilog name is refused.

Owns ``identifier``, ``plain``, ``check_names`` and ``PART``. Imports errors only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateformer.quant.errors import GateformerError, Problems, ScheduleError

_WORDS = """
    always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config
    deassign default defparam design disable edge else end endcase endconfig endfunction
    endgenerate endmodule endprimitive endspecify endtable endtask event for force forever fork
    function generate genvar highz0 highz1 if ifnone incdir include initial inout input instance
    integer join large liblist library localparam macromodule medium module nand negedge nmos nor
    noshowcancelled not notif0 notif1 or output parameter pmos posedge primitive pull0 pull1
    pulldown pullup pulsestyle_ondetect pulsestyle_onevent rcmos real realtime reg release repeat
    rnmos rpmos rtran rtranif0 rtranif1 scalared showcancelled signed small specify specparam
    strong0 strong1 supply0 supply1 table task time tran tranif0 tranif1 tri tri0 tri1 triand
    trior trireg unsigned use vectored wait wand weak0 weak1 while wire wor xnor xor bit byte
    logic int longint shortint string struct enum union void accept_on alias always_comb always_ff
    always_latch assert assume before bind bins binsof break chandle checker class clocking const
    constraint context continue cover covergroup coverpoint cross dist do endchecker endclass
    endclocking endgroup endinterface endpackage endprogram endproperty endsequence eventually
    expect export extends extern final first_match foreach forkjoin global iff ignore_bins
    illegal_bins implements implies import inside interconnect interface intersect join_any
    join_none let local matches modport nettype new nexttime null package packed priority program
    property protected pure rand randc randcase randsequence ref reject_on restrict return
    s_always s_eventually s_nexttime s_until s_until_with sequence shortreal soft solve static
    strong super sync_accept_on sync_reject_on tagged this throughout timeprecision timeunit type
    typedef unique unique0 until until_with untyped var virtual wait_order weak wildcard with
    within
"""

KEYWORDS = frozenset(_WORDS.split())
"""Reserved words: IEEE 1364-2001 and IEEE 1800-2012, Annex B; tools read .v files as either."""

OWN = frozenset({
    "clk", "rst", "in", "out", "valid", "in_valid", "out_valid", "slot", "frame_last",
})  # fmt: skip
"""Names that the generated core uses for itself, or would with ``_valid`` behind."""

DERIVED = re.compile(r"(.+?)(_valid|_d\d+|_d\d+_valid)")
"""Names that the core makes from a value's: its valid bit, its delay lines."""


PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
"""Vendors' numbers of devices: nothing in them means anything to Tcl, make, CMake or a shell."""

PART_FORM = "it is 1 to 64 letters, digits and any of . _ / -, a letter or digit first"
"""``PART`` in words."""


def plain(name: str) -> str:
    """A graph name as a word: other characters become underscores."""
    clean = re.sub(r"\W", "_", name, flags=re.ASCII)
    return clean if re.match(r"[A-Za-z_]", clean) else f"_{clean}"


def identifier(name: str) -> str:
    """A graph name as a Verilog identifier: a word, behind a reserved one an underscore."""
    word = plain(name)
    return f"{word}_" if word in KEYWORDS or word in OWN else word


def check_names(values: Iterable[tuple[str, str]], inputs: Iterable[str] = ()) -> None:
    """Refuse names that Verilog cannot carry.

    Parameters
    ----------
    values : iterable of (value, layer)
        All values of a graph.
    inputs : iterable of str
        Those among them that the core has ports ``in_<name>`` for.

    Raises
    ------
    Problems
        E320 for each name that is not ASCII, or no longer distinct.
    """
    faults: list[GateformerError] = []
    owners: dict[str, str] = {}
    every = list(values)
    known = {identifier(value) for value, _ in every}
    ports = {f"in_{identifier(value)}" for value in inputs} | {f"out_{name}" for name in known}
    for value, layer in every:
        name = identifier(value)
        cause = ""
        if not value.isascii():
            cause = "Verilog names are ASCII"
        elif (made := DERIVED.fullmatch(name)) and made[1] in known:
            cause = f"'{name}' is what Verilog calls a part of '{made[1]}'"
        elif name in ports:
            cause = f"'{name}' is what Verilog calls the port of '{name.partition('_')[2]}'"
        elif owners.setdefault(name, value) != value:
            cause = f"'{value}' and '{owners[name]}' are both '{name}' in Verilog"
        if cause:
            faults.append(
                ScheduleError(
                    "E320",
                    "a name that Verilog cannot carry",
                    layer=layer,
                    cause=cause,
                    fix="rename the layer",
                )
            )
    Problems.raise_if_any(faults)
