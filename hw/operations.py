"""The page docs/operations.md, made of the registries: ``python -m gateformer.hw.operations``.

Owns ``page``: every operation and what each backend makes of it. Imports the operations, the lane
lowerings of the RTL and the statements of the HLS.
"""

from __future__ import annotations

from typing import Any

from gateformer.hw.dataflow import cut_sums
from gateformer.hw.dataflow.lanes import LOWERINGS
from gateformer.hw.hls import shift_statements
from gateformer.hw.hls.statements import STATEMENTS
from gateformer.quant import expand
from gateformer.quant.ops.base import REGISTRY, Composite, Op
from gateformer.quant.ops.cast import Cast, Constant, Rescale
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Layout, Reshape, Slice, Transpose
from gateformer.quant.ops.log_matmul import LogMatMul
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.normalize import Normalize, Shift
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.ops.shift_add import ShiftAdd

REGISTERED = (cut_sums, shift_statements)
"""Modules imported for what they register."""

STRUCTURAL: dict[type[Any], str] = {
    Constant: "constants; a ROM where tokens differ",
    Dense: "an adder graph on each token; multipliers and weight ROMs where folded",
    Layout: "wires",
    LogMatMul: "shifts of a gathered frame, two sums, one constant product a result",
    MatMul: "dot products of a row against a gathered frame",
    Reduce: "a tree on each token; an accumulator over beats",
    Rescale: "wires",
}
"""Primitives that the schedule itself knows how to build."""

TEMPLATES: dict[type[Any], str] = {
    Add: "`gf::add`, `gf::subtract`",
    Cast: "`gf::cast`",
    Concat: "`gf::place`",
    Dense: "`gf::dense`; weights as hls4ml writes them",
    Lookup: "`gf::lookup`, `gf::embed`; a ROM",
    LogMatMul: "`gf::matmul_codes` over a kept frame",
    MatMul: "`gf::matmul_features`, `gf::matmul_tokens` over a kept frame",
    Mul: "`gf::multiply`",
    Normalize: "`gf::leading_zeros`",
    Reduce: "`gf::sum`, `gf::maximum`, and over tokens",
    Rescale: "`gf::rescale`",
    Reshape: "`gf::copy`, `gf::flatten`",
    Shift: "`gf::shift`",
    ShiftAdd: "`gf::shift_add`",
    Slice: "`gf::slice`",
    Transpose: "`gf::transpose`, `gf::gather`",
}
"""Templates of hw/hls/templates that a primitive's statement calls."""

HEAD = """\
# Operations

Every operation, and what each backend makes of it. *Composites* are what frontends make; each
expands into *primitives*, which carry all meaning, so a backend implements primitives alone.
[extend.md](extend.md) shows how to add one.

| operation | kind | integers (numpy) | reals (float64) | RTL | HLS C++ |
|---|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    own = (op for op in REGISTRY.values() if op.__module__.startswith("gateformer."))
    rows = sorted((issubclass(op, Composite), op.__name__, _row(op)) for op in own if _is_whole(op))
    return HEAD + "".join(row for _, _, row in rows)


def _is_whole(op: type[Op]) -> bool:
    """Whether a class is an operation and not what several share."""
    return hasattr(op, "__dataclass_fields__")


def _row(op: type[Op]) -> str:
    composite = issubclass(op, Composite)
    kind = "composite" if composite else "primitive"
    if composite:
        cells = ("expanded", _reals(op), "expanded", "expanded")
    else:
        cells = ("yes", _reals(op), rtl(op), hls(op))
    return f"| `{op.__name__}` | {kind} | {' | '.join(cells)} |\n"


def _reals(op: type[Op]) -> str:
    return "no: works on raw integers" if op.reference is Op.reference else "yes"


def rtl(op: type[Op]) -> str:
    """What the schedule makes of a primitive."""
    for kind, text in STRUCTURAL.items():
        if issubclass(op, kind):
            return text
    return "scalar operations on each token" if op in LOWERINGS else "no: no lowering yet"


def hls(op: type[Op]) -> str:
    """What an HLS layer makes of a primitive."""
    if op is Constant:
        return "a constant array"
    return TEMPLATES[op] if op in STATEMENTS else "no: no statement yet"


if __name__ == "__main__":
    assert expand.__all__  # all composites are registered
    print(page(), end="")
