"""The page that sets our adder graphs beside da4ml's and alkaid's.

Owns ``page``. Imports the rows and the programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateformer.study.rivals.program import Program

OURS = "gateformer"

HEAD = """# Beside da4ml and alkaid

The same integer weights through three generators, counted by the same yosys ({yosys}), for
UltraScale+, by one script. Before anything is counted, {frames} random frames go through each
generator's Verilog in Icarus, extremes among them: its outputs equal our executor's, or the row is
not there.

`python -m gateformer.study.rivals --measure --alkaid PYTHON` measures again, where `PYTHON` is an
interpreter of an environment with alkaid. What was measured lies in [rivals.json](rivals.json);
without `--measure` this page is written of it.

- *clocks*: from a frame at the inputs to its outputs; *II*: clocks between frames. All register
  their inputs and outputs, and those flip-flops are counted; ours are in the boundary.
- *ns*: the longest logic between registers, yosys' `sta` on 7-series cells, without wires; ours is
  asked for 3.5, the rivals for two adders between registers (`latency_cutoff = 2`).
- *each, in twos*: one adder graph a matrix, of additions of two operands, by da4ml's solver.
  *joint, in threes*: the same with `generate.joint` and `generate.ternary`.
- A sum of three in one expression counts as one carry chain, whoever wrote it: alkaid's
  `ternary_adder` too.
"""

TAIL = """
## What it says

Ours, joint and in threes, at II = 1:

{threes}

Ours, each matrix by itself, in twos, at II = 1:

{twos}

{attention}- Sums of three save most LUTs; joining matrices adds little ([studies](study.md)). In
  twos ours is da4ml's solver with other registers.
- Where a rival puts registers is its `latency_cutoff`, here 2: fewer stages would take fewer
  flip-flops and clocks, and longer logic. Ours alone answers to a budget in ns, which *each, in
  twos* misses.
- The ns know no wires, and a sum of three sends a majority over one to the next bit: routed, such
  adders ran at about half the speed of sums of two on some devices
  ([the cost model](cost_model.md)).
- These are counts of yosys, without place and route; that it maps sums of three is a rule of ours.
  Vivado's counts differ, for all of them, and have not been seen.
"""

ATTENTION = """\
- The rivals' circuits are unrolled. What works on tokens one by one can be fed a token a clock by
  hand; attention, which gathers keys and values, cannot, so that II = T is ours alone.
- Neither rival has a division, so attention here rectifies its scores. yosys gives DSP slices to
  the products of all alike.
"""


def page(told: dict[str, Any], programs: Sequence[Program]) -> str:
    """Return the page of what was measured.

    Parameters
    ----------
    told : dict
        ``yosys``, ``frames``, ``rows`` and ``failed``, as ``measured`` returns them.
    programs : sequence of Program
        What the rows are of, in the page's order.
    """
    parts = [HEAD.format(yosys=told["yosys"], frames=told["frames"])]
    for program in programs:
        rows = [row for row in told["rows"] if row["program"] == program.name]
        if rows:
            parts.append(f"\n## {program.about}\n\n{_table(rows)}")
        parts += [_failed(one) for one in told["failed"] if one["program"] == program.name]
    about = ATTENTION if any(row["program"] == "attention" for row in told["rows"]) else ""
    return "".join(parts) + TAIL.format(
        threes=verdict(told["rows"], "joint, in threes"),
        twos=verdict(told["rows"], "each, in twos"),
        attention=about,
    )


def _failed(one: dict[str, Any]) -> str:
    cause = one["cause"].replace("`", "'") or "no message"
    return f"\n{one['by']} made nothing of it ({one['date']}): `{cause}`.\n"


def _table(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["| by | LUT | FF | DSP | clocks | II | ns |", "|---|---|---|---|---|---|---|"]
    least = min(row["lut"] for row in rows if row["interval"] == 1)
    for row in rows:
        lut = f"{row['lut']:,}"
        lut = f"**{lut}**" if row["lut"] == least and row["interval"] == 1 else lut
        lines.append(
            f"| {row['by']} | {lut} | {row['ff']:,} | {row['dsp']} | {row['clocks']} "
            f"| {row['interval']} | {row['logic_ns']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def verdict(rows: Sequence[dict[str, Any]], how: str) -> str:
    """Return how ours of one kind compare in LUTs, flip-flops and clocks at II = 1."""
    names = dict.fromkeys(row["program"] for row in rows)
    lines = []
    for part, word in (("lut", "LUTs"), ("ff", "flip-flops"), ("clocks", "clocks")):
        for rival in ("da4ml", "alkaid"):
            ratios = []
            for name in names:
                each = [r for r in rows if r["program"] == name and r["interval"] == 1]
                mine = [r[part] for r in each if r["by"].endswith(how)]
                its = [r[part] for r in each if r["by"].startswith(rival)]
                if mine and its:
                    ratios.append(mine[0] / its[0])
            if ratios:
                fewer = sum(ratio < 1 for ratio in ratios)
                lines.append(
                    f"- {word}: {min(ratios):.2f} to {max(ratios):.2f} of {rival}'s; fewer in "
                    f"{fewer} of {len(ratios)}."
                )
    return "\n".join(lines)
