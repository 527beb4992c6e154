"""Net: a pipelined netlist of scalar integer operations.

Owns the nodes, their exact ranges, and the placing of registers: a node is chained behind its
operands while the clock's logic budget lasts, else a register comes between.
Imports the delay and area model of ``hw.netlist.costs``.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateformer.hw.dataflow.design import Cost
from gateformer.hw.netlist import costs
from gateformer.hw.netlist.operation import Kind, Operation
from gateformer.quant.types import IntArray, Overflow, Rounding

Term = tuple[int, int, bool]
"""A part of a sum: ``+-(node << shift)``."""
_Waiting = tuple[int, float, int, int, Term]
"""A part of a sum with its clock, its ns, its width and a number that breaks ties."""


@dataclass(slots=True)
class Net:
    """A netlist under construction; equal operations are made once.

    Attributes
    ----------
    budget : float
        ns of logic between registers.
    ternary : bool
        Whether three operands may be added in one step: a device's carry chains take them.
    operations : list of Operation
        In topological order.
    tables : list of ndarray
        Contents of the lookups.
    """

    budget: float
    ternary: bool = False
    operations: list[Operation] = field(default_factory=list)
    tables: list[tuple[int, ...]] = field(default_factory=list)
    clock: list[int] = field(default_factory=list)
    arrival: list[float] = field(default_factory=list)
    _seen: dict[tuple[object, ...], int] = field(default_factory=dict)
    _table_numbers: dict[tuple[int, ...], int] = field(default_factory=dict)

    def input(self, port: str, index: int, lo: int, hi: int, late: float = 0.0) -> int:
        """Element ``index`` of a port; ``late`` ns of logic lie before it."""
        return self._node("input", (), (port, index), lo, hi, late=late)

    def const(self, value: int) -> int:
        """A constant."""
        return self._node("const", (), (value,), value, value)

    def value(self, node: int) -> int | None:
        """The constant that a node is, or None."""
        op = self.operations[node]
        return op.lo if op.lo == op.hi else None

    def add(
        self, a: int, b: int, shift_a: int = 0, shift_b: int = 0,
        negate_a: bool = False, negate_b: bool = False, note: str = "",
    ) -> int:  # fmt: skip
        """``+-(a << shift_a) +- (b << shift_b)``; zero operands vanish."""
        if self.value(a) == 0:
            a, b, shift_a, shift_b, negate_a, negate_b = b, a, shift_b, shift_a, negate_b, negate_a
        if self.value(b) == 0:
            if shift_a == 0 and not negate_a:
                return a
            shift_b, negate_b = 0, False
        lo, hi = self._span(((a, shift_a, negate_a), (b, shift_b, negate_b)))
        return self._node(
            "add", (a, b), (shift_a, shift_b, int(negate_a), int(negate_b)), lo, hi, note
        )

    def add_three(self, terms: Sequence[Term], note: str = "") -> int:
        """``+-(a << i) +- (b << j) +- (c << k)``, not all of them negative, in one step.

        With a zero among them, or where three do not go into one step, by additions of two.
        """
        live = [t for t in terms if self.value(t[0]) != 0]
        if len(live) < 3 or not self.ternary:
            return self._by_twos(live, note)
        live.sort(key=lambda t: t[2])
        signs = (*(t[1] for t in live), *(int(t[2]) for t in live))
        return self._node("sum", tuple(t[0] for t in live), signs, *self._span(live), note)

    def _by_twos(self, terms: list[Term], note: str) -> int:
        """A sum of at most three, the first not negative, by additions of two."""
        terms.sort(key=lambda t: t[2])
        while len(terms) > 1:
            (a, i, negate_a), (b, j, negate_b) = terms[:2]
            terms[:2] = [(self.add(a, b, i, j, negate_a, negate_b, note), 0, False)]
        if not terms:
            return self.const(0)
        node, shift, negate = terms[0]
        if negate:
            return self.add(self.const(0), node, 0, shift, negate_b=True, note=note)
        return self.shifted(node, shift)

    def _span(self, terms: Sequence[Term]) -> tuple[int, int]:
        """Least and largest value of a sum."""
        lo = hi = 0
        for node, shift, negate in terms:
            op = self.operations[node]
            low, high = op.lo << shift, op.hi << shift
            lo, hi = (lo - high, hi - low) if negate else (lo + low, hi + high)
        return lo, hi

    def mul(self, a: int, b: int, note: str = "") -> int:
        """``a x b``, registered behind the multiplier; by 0 or 1, a choice."""
        for x, y in ((a, b), (b, a)):
            known = self.value(x)
            if known is not None and known >= 0 and known & (known - 1) == 0:
                if known == 0:
                    return x
                return self.shifted(y, known.bit_length() - 1)
        for x, y in ((a, b), (b, a)):
            if (self.operations[y].lo, self.operations[y].hi) == (0, 1):
                lo, hi = self.operations[x].lo, self.operations[x].hi
                return self._node("gate", (x, y), (), min(lo, 0), max(hi, 0), note)
        left, right = self.operations[a], self.operations[b]
        corners = [p * q for p in (left.lo, left.hi) for q in (right.lo, right.hi)]
        low = 0 if a == b else min(corners)
        return self._node("mul", (a, b), (), max(low, min(corners)), max(corners), note)

    def apart(self, largest: int, b: int, note: str = "") -> int:
        """``largest - b``.

        Behind a maximum that is still settling, both differences are taken beside its last
        comparison, which then chooses.
        """
        op = self.operations[largest]
        if op.kind != "max" or self.arrival[largest] == 0:
            return self.add(largest, b, negate_b=True, note=note)
        first, second = op.args
        low = op.lo - self.operations[b].hi
        high = op.hi - self.operations[b].lo
        return self._node("choose", (first, second, b), (), low, high, note)

    def shifted(self, a: int, shift: int) -> int:
        """``a << shift``: wires only."""
        return a if shift == 0 else self.add(a, self.const(0), shift_a=shift)

    def max(self, a: int, b: int, note: str = "") -> int:
        """The larger one."""
        x, y = self.operations[a], self.operations[b]
        if x.lo >= y.hi:
            return a
        if y.lo >= x.hi:
            return b
        return self._node("max", (a, b), (), max(x.lo, y.lo), max(x.hi, y.hi), note)

    def cast(
        self, a: int, drop: int, rounding: Rounding, low: int, high: int,
        overflow: Overflow, note: str = "",
    ) -> int:  # fmt: skip
        """``a x 2^-drop`` rounded, then fitted into ``low..high``."""
        if drop < 0:
            a, drop = self.shifted(a, -drop), 0
        op = self.operations[a]
        lo, hi = (_rounded(v, drop, rounding) for v in (op.lo, op.hi))
        inside = low <= lo and hi <= high
        if drop == 0 and inside:
            return a
        wraps = overflow is Overflow.WRAP
        if wraps and lo == hi:
            return self.const((lo - low) % (high - low + 1) + low)
        limits = (low, high)
        if inside:
            low, high = lo, hi
        elif not wraps:
            low, high = min(max(lo, low), high), max(min(hi, high), low)
        mode = "fits" if inside else "wraps" if wraps else "saturates"
        return self._node("cast", (a,), (drop, rounding.value, mode, *limits), low, high, note)

    def lookup(self, a: int, table: IntArray, note: str = "") -> int:
        """``table[a mod size]``."""
        op = self.operations[a]
        size = len(table)
        entries = tuple(int(v) for v in table)
        reachable = [entries[i % size] for i in range(op.lo, op.hi + 1)]
        if min(reachable) == max(reachable):
            return self.const(reachable[0])
        number = self._table_numbers.setdefault(entries, len(self.tables))
        if number == len(self.tables):
            self.tables.append(entries)
        width = size.bit_length() - 1
        return self._node("lookup", (a,), (number, width), min(reachable), max(reachable), note)

    def zeros(self, a: int, width: int, even: bool, lo: int, hi: int, note: str = "") -> int:
        """Zeros above the leading one of a ``width``-bit unsigned integer."""
        if lo == hi:
            return self.const(lo)
        return self._node("zeros", (a,), (width, int(even)), lo, hi, note)

    def barrel(
        self, a: int, amount: int, drop: int, rounding: Rounding, low: int, high: int,
        overflow: Overflow, note: str = "",
    ) -> int:  # fmt: skip
        """``cast(a << amount)``."""
        known = self.value(amount)
        if known is not None:
            return self.cast(a, drop - known, rounding, low, high, overflow, note)
        op, by = self.operations[a], self.operations[amount]
        lo = op.lo << by.hi if op.lo < 0 else op.lo << by.lo
        hi = op.hi << by.lo if op.hi < 0 else op.hi << by.hi
        if overflow is Overflow.WRAP:
            # Only the bits that survive are built: the caller has proven the rest redundant.
            window = max(abs(low), abs(high)).bit_length() + 1 + max(drop, 0)
            lo, hi = max(lo, -(1 << window)), min(hi, (1 << window) - 1)
        wide = self._node("shift", (a, amount), (), lo, hi, note)
        return self.cast(wide, drop, rounding, low, high, overflow, note)

    def total(self, terms: Sequence[Term], note: str = "") -> int:
        """Sum of ``+-(node << shift)``, earliest and narrowest first.

        In threes where the device adds them in one step: of an even count, the first two are
        added by themselves, so that the rest comes out in threes. Products of DSP slices are
        added in twos, by the slices.

        Parameters
        ----------
        terms : sequence of (node, shift, negate)
        """
        heap: list[_Waiting] = []
        for count, term in enumerate(terms):
            if self.value(term[0]) != 0:
                self._queue(heap, count, term)
        serial = len(terms)
        while len(heap) > 1:
            first, second = (entry[4] for entry in heapq.nsmallest(2, heap))
            threes = self.ternary and len(heap) % 2 and not self._slices_add(first, second)
            taken = [heapq.heappop(heap)[4] for _ in range(3 if threes else 2)]
            taken.sort(key=lambda term: term[2])
            base = min(shift for _, shift, _ in taken)
            negative = taken[0][2]
            parts = [(n, shift - base, minus and not negative) for n, shift, minus in taken]
            if threes:
                node = self.add_three(parts, note)
            else:
                (a, i, _), (b, j, minus) = parts
                node = self.add(a, b, i, j, False, minus, note)
            serial += 1
            self._queue(heap, serial, (node, base, negative))
        if not heap:
            return self.const(0)
        node, shift, negate = heap[0][4]
        if negate:
            return self.add(self.const(0), node, 0, shift, negate_b=True, note=note)
        return self.shifted(node, shift)

    def _queue(self, heap: list[_Waiting], count: int, term: Term) -> None:
        """Put a part of a sum in its place among those that wait."""
        node, shift, _ = term
        width = self.operations[node].width + shift
        heapq.heappush(heap, (self.clock[node], self.arrival[node], width, count, term))

    def _slices_add(self, *terms: Term) -> bool:
        """Whether two products are added by the DSP slices that make them."""
        plain = not any(shift or minus for _, shift, minus in terms)
        return plain and all(
            costs.uses_dsp(self.operations[node], self.operands(node)) for node, _, _ in terms
        )

    def _node(
        self, kind: Kind, args: tuple[int, ...], parameters: tuple[int | str, ...],
        lo: int, hi: int, note: str = "", late: float = 0.0,
    ) -> int:  # fmt: skip
        if kind not in ("input", "const") and lo == hi:
            return self.const(lo)
        key = (kind, args, parameters, lo, hi)
        if key in self._seen:
            return self._seen[key]
        op = Operation(kind, args, parameters, int(lo), int(hi), note)
        number = len(self.operations)
        self.operations.append(op)
        self._seen[key] = number
        operands = [self.operations[i] for i in args]
        # A constant is there at any time.
        live = [i for i in args if self.operations[i].kind != "const"]
        clock = max((self.clock[i] for i in live), default=0)
        latest = max((self.arrival[i] for i in live if self.clock[i] == clock), default=late)
        budget = self.budget - costs.CLOCK_TO_Q + costs.CAUTION
        if costs.is_registered(op, operands):
            # A register lies inside the slice or the block RAM; its operands arrive in time.
            clock += 2 if latest + costs.DSP_INPUT > budget else 1
            arrival = costs.BRAM_OUTPUT if kind == "lookup" else costs.DSP_OUTPUT
        else:
            arrivals = [self.arrival[i] if self.clock[i] == clock else 0.0 for i in args]
            arrival = costs.arrival(op, operands, arrivals if args else [latest])
            if arrival > budget and costs.is_post_add(op, operands):
                arrival = budget
            elif arrival > budget and latest > 0 and args:
                clock, arrival = clock + 1, costs.arrival(op, operands, [0.0] * len(args))
        self.clock.append(clock)
        self.arrival.append(arrival)
        return number

    def leaving(self, outputs: Sequence[int], late: bool) -> tuple[int, float]:
        """When outputs leave together: ``(clock, ns)``.

        Registered, they leave at 0 ns of a clock from 1 on; ``late`` ones may leave with logic
        before them, up to ``costs.LATE``.
        """
        live = [n for n in outputs if self.operations[n].kind != "const"]
        clock = max((self.clock[n] for n in live), default=0)
        latest = max((self.arrival[n] for n in live if self.clock[n] == clock), default=0.0)
        if late and latest <= costs.LATE:
            return clock, latest
        return (clock + 1, 0.0) if latest > 0 or clock == 0 else (clock, 0.0)

    def register_spans(self, outputs: Sequence[tuple[int, int]]) -> Mapping[int, int]:
        """Registers in a row behind each node: up to its latest reader, or the output clock."""
        spans: dict[int, int] = {}
        for number, op in enumerate(self.operations):
            for arg in op.args:
                if self.operations[arg].kind != "const":
                    wait = self._reads_at(number) - self.clock[arg]
                    spans[arg] = max(spans.get(arg, 0), wait)
        for node, latency in outputs:
            if self.operations[node].kind != "const":
                spans[node] = max(spans.get(node, 0), latency - self.clock[node])
        return {n: s for n, s in spans.items() if s > 0}

    def _reads_at(self, number: int) -> int:
        """Clock in which a node reads its operands."""
        op = self.operations[number]
        registered = costs.is_registered(op, [self.operations[i] for i in op.args])
        return self.clock[number] - 1 if registered else self.clock[number]

    def live(self, outputs: Sequence[int]) -> list[int]:
        """Nodes that the outputs need, in order."""
        needed = set(outputs)
        for number in range(len(self.operations) - 1, -1, -1):
            if number in needed:
                needed.update(self.operations[number].args)
        return sorted(needed)

    def cost(self, outputs: Sequence[tuple[int, int]]) -> Cost:
        """Predicted resources; ``outputs`` are (node, clock in which it is registered)."""
        total = Cost()
        needed = self.live([node for node, _ in outputs])
        for number in needed:
            total = total + costs.area(self.operations[number], self.operands(number))
        spans = self.register_spans(outputs)
        for node in set(needed) & set(spans):
            total = total + costs.registers(self.operations[node], spans[node], self.operands(node))
        return total

    def operands(self, number: int) -> list[Operation]:
        """Operations that a node reads."""
        return [self.operations[i] for i in self.operations[number].args]


def _rounded(value: int, drop: int, rounding: Rounding) -> int:
    if drop <= 0:
        return value << -drop
    if rounding is Rounding.TRN:
        return value >> drop
    if rounding is Rounding.RND:
        return (value + (1 << (drop - 1))) >> drop
    return (value + (1 << (drop - 1)) - 1 + ((value >> drop) & 1)) >> drop
