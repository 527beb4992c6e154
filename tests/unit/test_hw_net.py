"""Every scalar operation of the netlist: its Verilog against Python's integers, in one simulation.

Each case is a circuit of its own meaning in Python; all cases at three logic budgets run side by
side on the same vectors, one a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest
from equiv.networks import icarus

from gateformer.hw.dataflow.lanes import fold
from gateformer.hw.dataflow.lanes import product as times
from gateformer.hw.dataflow.stages import Circuit
from gateformer.hw.naming import identifier
from gateformer.hw.netlist import costs
from gateformer.hw.netlist.net import Net
from gateformer.hw.rtl.datapath import Pins, datapath
from gateformer.quant.types import Fixed, Overflow, Rounding

Row = Mapping[str, int]
Nodes = Mapping[str, int]

RANGES: dict[str, tuple[int, int]] = {
    "a": (-128, 127),
    "b": (-128, 127),
    "c": (0, 63),
    "narrow": (-3, 5),
    "above": (1, 200),
    "wide": (-(1 << 39), (1 << 39) - 1),
    "bit": (0, 1),
    "pair": (-2, 1),
    "amount": (0, 7),
    "less": (-9, -2),
}
RANGES |= {f"s{w}": (-(1 << w - 1), (1 << w - 1) - 1) for w in range(1, 14)}
RANGES |= {f"u{w}": (0, (1 << w) - 1) for w in range(1, 14)}
BUDGETS = (1.0, 3.5, 1e6)
"""Logic budgets in ns: registers nearly everywhere, usual, and nowhere."""


@dataclass(frozen=True)
class Case:
    """A circuit and what it means."""

    name: str
    build: Callable[[Net, Nodes], int]
    meaning: Callable[[Row], int]


def rounded(x: Fraction, how: Rounding) -> int:
    if how is Rounding.TRN:
        return x.numerator // x.denominator
    if how is Rounding.RND:
        half = x + Fraction(1, 2)
        return half.numerator // half.denominator
    return round(x)


def fitted(raw: int, kind: Fixed, how: Overflow) -> int:
    low, high = kind.limits(how)
    if how is Overflow.WRAP:
        return (raw - low) % (high - low + 1) + low
    return min(max(raw, low), high)


def table(width: int, low: int = -300, high: int = 300) -> np.ndarray:
    return np.random.default_rng(width).integers(low, high, 1 << width)


def additions() -> Iterator[Case]:
    for sa, sb, na, nb in product((0, 3), (0, 1), (False, True), (False, True)):
        yield Case(
            f"add_{sa}{sb}{na}{nb}",
            lambda t, n, p=(sa, sb, na, nb): t.add(n["a"], n["c"], *p),
            lambda r, p=(sa, sb, na, nb): (
                (-1) ** p[2] * (r["a"] << p[0]) + (-1) ** p[3] * (r["c"] << p[1])
            ),
        )
    yield Case("double", lambda t, n: t.add(n["a"], n["a"]), lambda r: 2 * r["a"])
    yield Case("cancel", lambda t, n: t.add(n["a"], n["a"], negate_b=True), lambda r: 0)
    yield Case("zero", lambda t, n: t.add(t.const(0), n["a"], 0, 2), lambda r: 4 * r["a"])
    yield Case("minus", lambda t, n: t.add(n["a"], t.const(0), negate_a=True), lambda r: -r["a"])
    yield Case("constant", lambda t, n: t.add(n["c"], t.const(-17), 1), lambda r: 2 * r["c"] - 17)
    yield Case(
        "from_constant", lambda t, n: t.add(t.const(5), n["a"], 4, 0, True, True),
        lambda r: -80 - r["a"],
    )  # fmt: skip
    yield Case("shifted", lambda t, n: t.shifted(n["wide"], 9), lambda r: r["wide"] << 9)
    rng = np.random.default_rng(3)
    names = ["a", "b", "c", "narrow", "above", "pair", "less"]
    for number, count in enumerate((0, 1, 1, 2, 3, 7, 12)):
        terms = [
            (str(rng.choice(names)), int(rng.integers(0, 5)), bool(rng.integers(2)))
            for _ in range(count)
        ]
        yield Case(
            f"total_{number}",
            lambda t, n, terms=terms: t.total([(n[x], s, m) for x, s, m in terms]),
            lambda r, terms=terms: sum((-1) ** m * (r[x] << s) for x, s, m in terms),
        )
    yield Case(
        "all_negative",
        lambda t, n: t.total([(n[x], 1, True) for x in ("a", "b", "c")]),
        lambda r: -2 * (r["a"] + r["b"] + r["c"]),
    )
    yield Case(
        "with_constants",
        lambda t, n: t.total([(n["a"], 0, True), (t.const(77), 0, False), (t.const(0), 3, True)]),
        lambda r: 77 - r["a"],
    )


def multiplications() -> Iterator[Case]:
    pairs = [("a", "b"), ("a", "c"), ("c", "above"), ("narrow", "pair"), ("wide", "a"),
             ("bit", "a"), ("bit", "pair"), ("bit", "above"), ("less", "bit"), ("less", "less"),
             ("a", "a"),
             ("s13", "u13")]  # fmt: skip
    for x, y in pairs:
        yield Case(
            f"mul_{x}_{y}",
            lambda t, n, x=x, y=y: t.mul(n[x], n[y]),
            lambda r, x=x, y=y: r[x] * r[y],
        )
    for known in (-128, -7, -1, 0, 1, 3, 64, 96, 119):
        yield Case(
            f"times_{known}".replace("-", "minus_"),
            lambda t, n, k=known: times(t, n["a"], t.const(k), "scaled"),
            lambda r, k=known: k * r["a"],
        )
    yield Case(
        "product_and_more",
        lambda t, n: t.add(t.mul(n["a"], n["s13"]), t.mul(n["b"], n["u13"]), 0, 1, True),
        lambda r: 2 * r["b"] * r["u13"] - r["a"] * r["s13"],
    )


def comparisons() -> Iterator[Case]:
    for x, y in (("a", "b"), ("a", "c"), ("narrow", "less"), ("less", "above"), ("bit", "pair")):
        yield Case(
            f"max_{x}_{y}",
            lambda t, n, x=x, y=y: t.max(n[x], n[y]),
            lambda r, x=x, y=y: max(r[x], r[y]),
        )
        yield Case(
            f"apart_{x}_{y}",
            lambda t, n, x=x, y=y: t.apart(t.max(n[x], n[y]), n["c"], "difference"),
            lambda r, x=x, y=y: max(r[x], r[y]) - r["c"],
        )
    seven = ("a", "b", "c", "narrow", "above", "pair", "less")
    for kind, whole in (("max", max), ("sum", sum)):
        yield Case(
            f"fold_{kind}",
            lambda t, n, kind=kind: fold(t, kind, [n[x] for x in seven], "all"),
            lambda r, whole=whole: whole(r[x] for x in seven),
        )


def casts() -> Iterator[Case]:
    kinds = (Fixed(True, 4, 0), Fixed(False, 4, 0), Fixed(True, 1, 0), Fixed(False, 1, 0),
             Fixed(True, 12, 0), Fixed(False, 12, 0))  # fmt: skip
    drops = {"a": (-2, 0, 1, 2, 7, 8, 9, 12), "c": (-1, 0, 1, 5, 6, 7, 8), "less": (1, 3, 6),
             "wide": (0, 20, 39, 40, 43)}  # fmt: skip
    for source, some in drops.items():
        for drop, kind, how, over in product(some, kinds, Rounding, Overflow):
            if source in ("less", "wide") and kind.width not in (4, 12):
                continue
            yield Case(
                f"cast_{source}_{drop}_{kind}_{how.value}_{over.value}",
                lambda t, n, x=source, d=drop, k=kind, h=how, o=over: t.cast(
                    n[x], d, h, *k.limits(o), o
                ),
                lambda r, x=source, d=drop, k=kind, h=how, o=over: fitted(
                    rounded(r[x] * Fraction(2) ** -d, h), k, o
                ),
            )

    for value, how in product((-77, 78, 4985), Rounding):
        yield Case(
            f"wrap_of_constant_{value}_{how.value}".replace("-", "minus_"),
            lambda t, n, v=value, h=how: t.add(
                n["a"], t.cast(t.const(v), 2, h, -4, 3, Overflow.WRAP)
            ),
            lambda r, v=value, h=how: (
                r["a"] + fitted(rounded(Fraction(v, 4), h), Fixed(True, 3, 0), Overflow.WRAP)
            ),
        )


def tables() -> Iterator[Case]:
    for width, sign in product(range(1, 14), "su"):
        name = f"{sign}{width}"
        yield Case(
            f"lookup_{name}",
            lambda t, n, x=name, w=width: t.lookup(n[x], table(w), f"curve {x}"),
            lambda r, x=name, w=width: int(table(w)[r[x] % (1 << w)]),
        )
    yield Case(
        "lookup_of_part",
        lambda t, n: t.lookup(n["less"], table(5)),
        lambda r: int(table(5)[r["less"] % 32]),
    )
    yield Case(
        "one_table_by_wide_and_narrow_indices",
        lambda t, n: t.add(t.lookup(n["u11"], table(11)), t.lookup(n["c"], table(11)), 0, 1),
        lambda r: int(table(11)[r["u11"]]) + 2 * int(table(11)[r["c"]]),
    )
    yield Case(
        "lookup_flat",
        lambda t, n: t.lookup(n["bit"], np.array([9, 9, -1, 5])),
        lambda r: 9,
    )
    yield Case(
        "block_ram_and_more",
        lambda t, n: t.max(t.lookup(n["u13"], table(13)), t.lookup(n["s12"], table(12))),
        lambda r: max(int(table(13)[r["u13"]]), int(table(12)[r["s12"] % 4096])),
    )


def shifters() -> Iterator[Case]:
    for width, even in product((1, 2, 3, 5, 8, 13), (False, True)):
        most = (width - 1) & ~1 if even else width - 1
        yield Case(
            f"zeros_{width}_{even}",
            lambda t, n, w=width, e=even, m=most: t.zeros(n[f"u{w}"], w, e, 0, m),
            lambda r, w=width, e=even: w - max(r[f"u{w}"].bit_length(), 1) & (~1 if e else ~0),
        )
    kinds = (Fixed(True, 6, 0), Fixed(False, 7, 0), Fixed(True, 20, 0))
    for x, drop, kind, how, over in product(("a", "c"), (-1, 0, 3, 9), kinds, Rounding, Overflow):
        yield Case(
            f"barrel_{x}_{drop}_{kind}_{how.value}_{over.value}",
            lambda t, n, x=x, d=drop, k=kind, h=how, o=over: t.barrel(
                n[x], n["amount"], d, h, *k.limits(o), o
            ),
            lambda r, x=x, d=drop, k=kind, h=how, o=over: fitted(
                rounded((r[x] << r["amount"]) * Fraction(2) ** -d, h), k, o
            ),
        )
    yield Case(
        "barrel_known",
        lambda t, n: t.barrel(n["a"], t.const(3), 1, Rounding.RND, -64, 63, Overflow.SAT),
        lambda r: min(max(4 * r["a"], -64), 63),
    )


GROUPS = (additions, multiplications, comparisons, casts, tables, shifters)


@cache
def every() -> tuple[Case, ...]:
    return tuple(case for group in GROUPS for case in group())


@cache
def expected() -> dict[str, list[int]]:
    return {case.name: [case.meaning(row) for row in vectors()] for case in every()}


@cache
def vectors() -> list[dict[str, int]]:
    """All at their ends, each at its ends alone, and uniform ones."""
    rng = np.random.default_rng(11)

    def uniform() -> dict[str, int]:
        return {k: int(rng.integers(lo, hi + 1)) for k, (lo, hi) in RANGES.items()}

    def near(value: int) -> dict[str, int]:
        return {k: min(max(value, lo), hi) for k, (lo, hi) in RANGES.items()}

    rows = [{k: v[end] for k, v in RANGES.items()} for end in (0, 1)]
    rows += [near(value) for value in range(-20, 21)]
    rows += [{k: v[int(rng.integers(2))] for k, v in RANGES.items()} for _ in range(20)]
    rows += [uniform() for _ in range(120)]
    for amount in range(8):
        rows += [uniform() | {"amount": amount} for _ in range(4)]
    return rows


@dataclass(frozen=True)
class Built:
    """All cases at one budget."""

    net: Net
    circuit: Circuit
    text: str
    widths: tuple[int, ...]


@cache
def built(budget: float) -> Built:
    net = Net(budget)
    nodes = {k: net.input(k, 0, lo, hi) for k, (lo, hi) in RANGES.items()}
    outputs = {f"y{i}": np.array([case.build(net, nodes)]) for i, case in enumerate(every())}
    circuit = Circuit.of(net, outputs)
    pins = {k: Pins(1, Fixed.for_range(lo, hi, 0)) for k, (lo, hi) in RANGES.items()}
    widths = tuple(net.operations[int(n[0])].width for n in outputs.values())
    made = {k: Pins(1, Fixed(True, w, 0)) for k, w in zip(outputs, widths, strict=True)}
    return Built(net, circuit, datapath(f"dut_{int(budget)}", circuit, pins, made), widths)


def bench_text(designs: Mapping[str, Built], rows: int, drain: int) -> str:
    sizes = {k: Fixed.for_range(lo, hi, 0).width for k, (lo, hi) in RANGES.items()}
    total, parts, at = sum(sizes.values()), [], 0
    wires = [".clk(clk)"]
    for name, size in sizes.items():
        wires.append(f".{identifier(name)}(row[{at + size - 1}:{at}])")
        at += size
    for dut, design in designs.items():
        bus = ", ".join(f"{dut}_y{i}" for i in range(len(design.widths)))
        parts += [f"  wire [{w - 1}:0] {dut}_y{i};" for i, w in enumerate(design.widths)]
        links = [f".out_y{i}({dut}_y{i})" for i in range(len(design.widths))]
        parts.append(f"  {dut} {dut}_of ({', '.join(wires + links)});")
        parts.append(f"  wire [{sum(design.widths) - 1}:0] {dut}_all = {{{bus}}};")
    shown = ", ".join(f"{dut}_all" for dut in designs)
    return (
        "module tb;\n  reg clk = 0;\n  integer i = 0;\n"
        f"  reg [{total - 1}:0] rows [0:{rows - 1}];\n"
        f"  wire [{total - 1}:0] row = rows[i < {rows} ? i : 0];\n"
        '  initial $readmemh("rows.hex", rows);\n  always #5 clk = ~clk;\n'
        + "\n".join(parts)
        + f'\n  always @(posedge clk) begin\n    $display("{" ".join("%b" for _ in designs)}", '
        f"{shown});\n    i <= i + 1;\n    if (i == {rows + drain}) $finish;\n  end\nendmodule\n"
    )


@dataclass(frozen=True)
class Ran:
    """What the simulation showed: bits a clock of each budget's outputs."""

    designs: dict[str, Built]
    lines: dict[str, list[str]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("net")
    designs = {f"dut_{int(b)}": built(b) for b in BUDGETS}
    rows = vectors()
    drain = max(max(d.circuit.latencies.values()) for d in designs.values())
    words = []
    for row in rows:
        word, at = 0, 0
        for name, (lo, hi) in RANGES.items():
            size = Fixed.for_range(lo, hi, 0).width
            word |= (row[name] & ((1 << size) - 1)) << at
            at += size
        words.append(f"{word:x}\n")
    (folder / "rows.hex").write_text("".join(words))
    (folder / "tb.v").write_text(bench_text(designs, len(rows), drain))
    for name, design in designs.items():
        (folder / f"{name}.v").write_text(design.text)
    told = icarus(folder, "tb", ["tb.v", *(f"{name}.v" for name in designs)])
    columns = list(zip(*(line.split() for line in told if line[0] in "01x"), strict=True))
    return Ran(designs, {n: list(c) for n, c in zip(designs, columns, strict=True)})


@pytest.mark.icarus
@pytest.mark.parametrize("group", [g.__name__ for g in GROUPS])
@pytest.mark.parametrize("budget", BUDGETS)
def test_verilog_computes_what_python_does(ran: Ran, group: str, budget: float) -> None:
    name = f"dut_{int(budget)}"
    design, lines = ran.designs[name], ran.lines[name]
    wanted = {case.name for g in GROUPS if g.__name__ == group for case in g()}
    starts = np.cumsum([0, *design.widths])
    for index, case in enumerate(every()):
        if case.name not in wanted:
            continue
        latency, width = design.circuit.latencies[f"y{index}"], design.widths[index]
        found = []
        for clock in range(latency, latency + len(vectors())):
            raw = int(lines[clock][starts[index] : starts[index] + width], 2)
            found.append(raw - (raw >> width - 1 << width))
        assert found == expected()[case.name], case.name


@pytest.mark.parametrize("budget", BUDGETS)
def test_ranges_hold_every_result(budget: float) -> None:
    design = built(budget)
    for index, case in enumerate(every()):
        op = design.net.operations[int(design.circuit.outputs[f"y{index}"][0])]
        found = expected()[case.name]
        assert op.lo <= min(found) and max(found) <= op.hi, case.name


@pytest.mark.parametrize("budget", [1.0, 1.6, 2.5, 3.5, 5.0, 1e6])
def test_no_chain_exceeds_the_budget(budget: float) -> None:
    """Except single operations that are longer by themselves: those start at a register."""
    net = built(budget).net
    alone = 0
    for number, op in enumerate(net.operations):
        operands = [a for a in op.args if net.operations[a].kind != "const"]
        assert all(net.clock[a] <= net.clock[number] for a in operands)
        if net.arrival[number] > budget - costs.CLOCK_TO_Q + costs.CAUTION:
            assert all(net.clock[a] < net.clock[number] or net.arrival[a] == 0 for a in operands), (
                op
            )
            alone += 1
    assert (alone > 0) == (budget < 3.5)


def test_a_tighter_budget_is_never_quicker() -> None:
    slow, fast = (built(b).circuit.latencies for b in (1.0, 3.5))
    assert {k for k in fast if slow[k] < fast[k]} == set()


def test_equal_operations_are_made_once() -> None:
    net = Net(3.5)
    a, b = net.input("x", 0, -8, 7), net.input("x", 1, -8, 7)
    first = net.total([(a, 0, False), (b, 2, True)])
    count = len(net.operations)
    assert net.total([(a, 0, False), (b, 2, True)]) == first
    assert net.input("x", 0, -8, 7) == a
    assert len(net.operations) == count


@pytest.mark.parametrize(
    ("lo", "hi", "width", "bits"),
    [(-8, 7, 4, 4), (0, 7, 4, 3), (0, 1, 2, 1), (-1, 0, 1, 1), (-5, -4, 4, 4), (5, 5, 4, 0)],
)
def test_widths(lo: int, hi: int, width: int, bits: int) -> None:
    op = Net(3.5)
    found = op.operations[op.input("x", 0, lo, hi)]
    assert (found.width, found.bits) == (width, bits)


def test_dead_operations_cost_nothing() -> None:
    net = Net(3.5)
    a, b = net.input("x", 0, -128, 127), net.input("x", 1, -128, 127)
    kept = net.add(a, b)
    alone = net.cost([(kept, 1)])
    net.mul(a, b)
    assert net.cost([(kept, 1)]) == alone
    assert alone.dsp == 0 and alone.lut > 0


@pytest.mark.parametrize("count", range(1, 10))
def test_sums_in_threes(count: int) -> None:
    """An odd number of operands takes half as many steps; an even one, one of two beside."""
    net = Net(3.5, ternary=True)
    nodes = [net.input("x", i, -8, 7) for i in range(count)]
    total = net.total([(n, i % 2, i % 3 == 2) for i, n in enumerate(nodes)])
    kinds = [op.kind for op in net.operations]
    assert kinds.count("sum") == (count - 1) // 2
    assert kinds.count("add") == (count > 1 and count % 2 == 0)
    ends = [(-8 << i % 2, 7 << i % 2) for i in range(count)]
    minus = [i % 3 == 2 for i in range(count)]
    low = sum(-hi if m else lo for (lo, hi), m in zip(ends, minus, strict=True))
    high = sum(-lo if m else hi for (lo, hi), m in zip(ends, minus, strict=True))
    assert (net.operations[total].lo, net.operations[total].hi) == (low, high)


def test_a_sum_of_three_negatives_is_turned_once() -> None:
    net = Net(3.5, ternary=True)
    nodes = [net.input("x", i, 0, 7) for i in range(3)]
    total = net.operations[net.total([(n, 0, True) for n in nodes])]
    assert (total.lo, total.hi) == (-21, 0)
    assert [op.kind for op in net.operations[3:] if op.kind != "const"] == ["sum", "add"]


def test_products_of_slices_are_added_by_the_slices() -> None:
    net = Net(3.5, ternary=True)
    x = [net.input("x", i, -128, 127) for i in range(6)]
    products = [net.mul(a, b) for a, b in zip(x[::2], x[1::2], strict=True)]
    net.total([(p, 0, False) for p in products])
    assert [op.kind for op in net.operations if op.kind in costs.SUMS] == ["add", "add"]


def test_a_sum_of_three_takes_one_lut_a_bit_and_one_more_level() -> None:
    nets = [Net(100.0, ternary=ternary) for ternary in (False, True)]
    ends = []
    for net in nets:
        terms = [(net.input("x", i, -128, 127), 0, i == 2) for i in range(3)]
        ends.append(net.total(terms))
    two, three = (net.cost([(end, 1)]).lut for net, end in zip(nets, ends, strict=True))
    assert (two, three) == (9 + 10, 10)
    assert nets[1].arrival[ends[1]] < nets[0].arrival[ends[0]]


def test_without_the_carry_chains_three_are_added_in_twos() -> None:
    net = Net(3.5)
    nodes = [net.input("x", i, -8, 7) for i in range(3)]
    net.add_three([(nodes[0], 0, True), (nodes[1], 1, False), (nodes[2], 0, False)])
    assert [op.kind for op in net.operations[3:]] == ["add", "add"]
