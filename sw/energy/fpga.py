"""Energy of a frame on an FPGA: primitives x toggles counted in simulation x a coefficient each.

Owns ``Cells``, ``Item``, ``Budget`` and ``budget``. Imports figures, coefficients and the counts of
activity. Nothing here is measured: docs/energy.md says how far off it was where reports exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, hypot, log
from typing import Literal

from gateformer.energy.coefficients import Coefficients
from gateformer.energy.figure import Energy, Figure
from gateformer.sim.rtl.activity import Count
from gateformer.sim.rtl.nets import Kind

Part = Literal["logic", "carries", "nets", "registers", "clock", "dsp", "bram", "lutram", "static"]
PARTS: tuple[Part, ...] = (
    "logic", "carries", "nets", "registers", "clock", "dsp", "bram", "lutram", "static",
)  # fmt: skip

RTL_ERROR = 1.35
"""Factor within which RTL toggles x cells met the toggles of mapped netlists, module by module and
in either direction (docs/energy.md, "Toggles, and from RTL to cells")."""
GLITCHES = 2.0
"""Most by which a gate's output toggles more often than once a clock, of which simulation without
delays sees none. Mapped netlists with equal delays show 1.01 to 1.42 (docs/energy.md); wires of
different lengths, which no simulation here has, make more. The activity that sets the scale of
UltraScale+ allows for glitches too: with many of them its coefficients are at their low end. Taken
as independent, the two make the bar wider than it need be."""
CELLS_ERROR = 1.15
"""Factor within which the cost model meets yosys' counts, kind by kind: what
tests/equiv/test_prediction.py holds whole designs to."""
CLOCKED: frozenset[Part] = frozenset({"clock", "bram", "lutram", "static"})
"""Parts that take energy in every clock, whether data moves or not."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Primitives of one module, all its instances together.

    Attributes
    ----------
    lut : float
        LUTs that are logic.
    lutram : float
        LUTs that are memory or shift register.
    carry, ff, dsp, bram : float
        Carry chains' cells, flip-flops, DSP slices, 36 Kbit block RAMs.
    """

    lut: float = 0.0
    lutram: float = 0.0
    carry: float = 0.0
    ff: float = 0.0
    dsp: float = 0.0
    bram: float = 0.0


@dataclass(frozen=True, slots=True)
class Item:
    """One part of one module.

    Attributes
    ----------
    module : str
        The module; empty for what belongs to the whole device.
    part : str
        What takes the energy.
    count : float
        Primitives.
    rate : float
        How often each one takes it in a clock.
    joules, low, high : float
        A frame's, and the coefficient's error bar alone.
    """

    module: str
    part: Part
    count: float
    rate: float
    joules: float = 0.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Where the energy of a frame goes.

    Attributes
    ----------
    items : tuple of Item
        Every part of every module, frames back to back; they add up to ``frame``.
    frame : Energy
        J a frame of the chip, static power included, frames back to back.
    dynamic, static : Energy
        Its two halves.
    alone : Energy
        J of the chip for a frame that comes alone, from its first beat to its last result.
    power_w : float
        The frame's energy over its interval.
    """

    items: tuple[Item, ...]
    frame: Energy
    dynamic: Energy
    static: Energy
    alone: Energy
    power_w: float

    def total(self, part: Part) -> float:
        """J a frame of one part."""
        return sum(item.joules for item in self.items if item.part == part)


def budget(
    cells: Mapping[str, Cells],
    counts: Mapping[str, Mapping[Kind, Count]],
    window: int,
    interval: int,
    clock_ns: float,
    known: Coefficients,
    source: str,
    *,
    latency: int,
    predicted: bool = False,
) -> Budget:
    """Model the energy of a frame.

    Parameters
    ----------
    cells : mapping of str to Cells
        By module.
    counts : mapping of str to mapping
        Bits and toggles of the same modules, by kind of net.
    window : int
        Clocks in which toggles were counted.
    interval : int
        Clocks from frame to frame.
    clock_ns : float
        Clock period.
    known : Coefficients
        Of the device's family.
    source : str
        Who counted cells and toggles.
    latency : int
        Clocks from a frame's first beat to its last result.
    predicted : bool
        Whether cells are the cost model's, not counted.

    Returns
    -------
    Budget
        Low and high ends join errors that have nothing to do with each other, each as the
        logarithm of its factor, in quadrature: the coefficients' (all of them off the same way),
        ``RTL_ERROR``, ``CELLS_ERROR`` where cells are predicted, and upwards ``GLITCHES`` on the
        share of logic and nets.
    """
    whole = _Rates.of(list(counts.values()), window, None, dsp=True)
    items: list[Item] = []
    for module, made in cells.items():
        rates = _Rates.of([counts.get(module, {})], window, whole, dsp=made.dsp > 0)
        nets = made.lut * rates.logic + made.ff * rates.register
        outputs = made.lut + made.ff
        parts: tuple[tuple[Part, float, float, Figure], ...] = (
            ("logic", made.lut, rates.logic, known.lut_toggle),
            ("carries", made.carry, rates.logic, known.carry_toggle),
            ("nets", outputs, nets / outputs if outputs else 0.0, known.net_toggle),
            ("registers", made.ff, rates.register, known.ff_toggle),
            ("clock", made.ff, 1.0, known.ff_clock),
            ("dsp", made.dsp, rates.operands, known.dsp_op),
            ("bram", made.bram, rates.reads, _between(known.bram_access, rates)),
            ("lutram", made.lutram, 1.0, known.lutram_clock),
        )
        items += [
            _item(Item(module, part, count, rate), count * rate * interval, figure)
            for part, count, rate, figure in parts
            if count * rate
        ]
    items.append(_item(Item("", "clock", 1.0, 1.0), interval, known.clock_tree))
    seconds = interval * clock_ns * 1e-9
    items.append(_item(Item("", "static", 1.0, 1.0), seconds, known.static_w))
    longer = {part: latency / interval if part in CLOCKED else 1.0 for part in PARTS}
    lone = [
        replace(item, joules=k * item.joules, low=k * item.low, high=k * item.high)
        for item in items
        for k in (longer[item.part],)
    ]
    source = f"{source} x coefficients of {known.family}"
    frame, dynamic, static = _joined(items, source, predicted)
    alone, _, _ = _joined(lone, source, predicted)
    return Budget(
        tuple(items),
        _said(frame, "static power included, frames back to back"),
        dynamic,
        static,
        _said(alone, "static power included, a frame alone, clocked for its latency"),
        frame.value / seconds,
    )


@dataclass(frozen=True, slots=True)
class _Rates:
    """Events a clock of a module's gates, registers and multipliers.

    Products that no DSP makes are gates as all others are, and among the busiest.
    """

    logic: float
    register: float
    operands: float

    @classmethod
    def of(
        cls,
        counts: list[Mapping[Kind, Count]],
        window: int,
        whole: _Rates | None,
        *,
        dsp: bool,
    ) -> _Rates:
        """Rates of the counts; of a kind that a module lacks, those of the whole design."""

        def rate(*kinds: Kind) -> float | None:
            found = Count()
            for each in counts:
                for kind in kinds:
                    found += each.get(kind, Count())
            return found.rate(window) if found.bits else None

        gates: tuple[Kind, ...] = ("logic",) if dsp else ("logic", "product")
        logic, register, product = rate(*gates), rate("register"), rate("product")
        first = next((r for r in (logic, register, product) if r is not None), 0.0)
        return cls(
            logic if logic is not None else whole.logic if whole else first,
            register if register is not None else whole.register if whole else first,
            # Random operands change half of a product's bits: that is a multiplication a clock.
            min(1.0, 2 * product)
            if product is not None
            else whole.operands
            if whole
            else min(1.0, 2 * first),
        )

    @property
    def changes(self) -> float:
        """Reads of a memory a clock that give another word, by the registers around it."""
        return min(1.0, 2 * self.register)

    @property
    def reads(self) -> float:
        """Reads of a memory a clock: all of them are clocked, and those that change cost most."""
        return (1 + self.changes) / 2


def _between(figure: Figure, rates: _Rates) -> Figure:
    """Return what a read takes, from only those that change to all that are clocked."""
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    ends = {"low": low * rates.changes / rates.reads, "high": high / rates.reads}
    return figure.model_copy(update=ends)


def _item(item: Item, events: float, figure: Figure) -> Item:
    """Return an item with the energy of a frame's events."""
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    return replace(item, joules=events * figure.value, low=events * low, high=events * high)


def _joined(items: Sequence[Item], source: str, predicted: bool) -> tuple[Energy, Energy, Energy]:
    """Return the sum of all items, of those that switch, and static power's."""
    dynamic = [item for item in items if item.part != "static"]
    value = sum(item.joules for item in dynamic)
    low, high = sum(item.low for item in dynamic), sum(item.high for item in dynamic)
    gates = sum(item.joules for item in dynamic if item.part in ("logic", "carries", "nets"))
    both = hypot(log(RTL_ERROR), log(CELLS_ERROR) if predicted else 0.0)
    down = exp(-hypot(log(value / low), both))
    up = exp(hypot(log(high / value), both, log(1 + (GLITCHES - 1) * gates / value)))
    (idle,) = (item for item in items if item.part == "static")

    def energy(value: float, low: float, high: float, words: str) -> Energy:
        return Energy(
            value=value, low=low, high=high, kind="modelled", source=words, boundary="chip"
        )

    return (
        energy(value + idle.joules, down * value + idle.low, up * value + idle.high, source),
        energy(value, down * value, up * value, source),
        energy(idle.joules, idle.low, idle.high, "static power x time"),
    )


def _said(energy: Energy, words: str) -> Energy:
    return energy.model_copy(update={"source": f"{energy.source}; {words}"})
