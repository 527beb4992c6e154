"""Energy of a frame on an FPGA: primitives x toggles counted in simulation x a coefficient each.

Owns ``Cells``, ``Item``, ``Budget`` and ``budget``. Imports figures, coefficients and the counts of
activity. Nothing here is measured: docs/energy.md says how far off it was where reports exist.
"""

from __future__ import annotations

from collections.abc import Mapping
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
delays sees none. Mapped netlists with equal delays show 1.01 to 1.38 (docs/energy.md); wires of
different lengths, which no simulation here has, make more."""


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
    """Where the energy of a frame goes, frames back to back.

    Attributes
    ----------
    items : tuple of Item
        Every part of every module; they add up to ``frame``.
    frame : Energy
        J a frame of the chip, static power included.
    dynamic, static : Energy
        Its two halves.
    power_w : float
        The frame's energy over its interval.
    """

    items: tuple[Item, ...]
    frame: Energy
    dynamic: Energy
    static: Energy
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

    Returns
    -------
    Budget
        Low and high ends join three errors that have nothing to do with each other, each as the
        logarithm of its factor, in quadrature: the coefficients' (all of them off the same way),
        ``RTL_ERROR``, and upwards ``GLITCHES`` on the share of logic and nets.
    """
    whole = _Rates.of(list(counts.values()), window, None)
    items: list[Item] = []
    for module, made in cells.items():
        rates = _Rates.of([counts.get(module, {})], window, whole)
        nets = made.lut * rates.logic + made.ff * rates.register
        outputs = made.lut + made.ff
        parts: tuple[tuple[Part, float, float, Figure], ...] = (
            ("logic", made.lut, rates.logic, known.lut_toggle),
            ("carries", made.carry, rates.logic, known.carry_toggle),
            ("nets", outputs, nets / outputs if outputs else 0.0, known.net_toggle),
            ("registers", made.ff, rates.register, known.ff_toggle),
            ("clock", made.ff, 1.0, known.ff_clock),
            ("dsp", made.dsp, rates.operands, known.dsp_op),
            ("bram", made.bram, 1.0, known.bram_access),
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
    return _joined(tuple(items), seconds, f"{source} x coefficients of {known.family}")


@dataclass(frozen=True, slots=True)
class _Rates:
    """Events a clock of a module's gates, registers and multipliers."""

    logic: float
    register: float
    operands: float

    @classmethod
    def of(cls, counts: list[Mapping[Kind, Count]], window: int, whole: _Rates | None) -> _Rates:
        """Rates of the counts; of a kind that a module lacks, those of the whole design."""

        def rate(*kinds: Kind) -> float | None:
            found = Count()
            for each in counts:
                for kind in kinds:
                    found += each.get(kind, Count())
            return found.rate(window) if found.bits else None

        logic, register, product = rate("logic"), rate("register"), rate("product")
        first = next((r for r in (logic, register, product) if r is not None), 0.0)
        return cls(
            logic if logic is not None else whole.logic if whole else first,
            register if register is not None else whole.register if whole else first,
            # Random operands change half of a product's bits: that is a multiplication a clock.
            min(1.0, 2 * (product if product is not None else whole.operands if whole else first)),
        )


def _item(item: Item, events: float, figure: Figure) -> Item:
    """Return an item with the energy of a frame's events."""
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    return replace(item, joules=events * figure.value, low=events * low, high=events * high)


def _joined(items: tuple[Item, ...], seconds: float, source: str) -> Budget:
    dynamic = [item for item in items if item.part != "static"]
    value = sum(item.joules for item in dynamic)
    low, high = sum(item.low for item in dynamic), sum(item.high for item in dynamic)
    gates = sum(item.joules for item in dynamic if item.part in ("logic", "carries", "nets"))
    glitched = 1 + (GLITCHES - 1) * gates / value
    down = exp(-hypot(log(value / low), log(RTL_ERROR)))
    up = exp(hypot(log(high / value), log(RTL_ERROR), log(glitched)))
    (idle,) = (item for item in items if item.part == "static")

    def energy(value: float, low: float, high: float, words: str) -> Energy:
        return Energy(
            value=value, low=low, high=high, kind="modelled", source=words, boundary="chip"
        )

    return Budget(
        items,
        energy(
            value + idle.joules, down * value + idle.low, up * value + idle.high,
            f"{source}; static power included, frames back to back",
        ),
        energy(value, down * value, up * value, source),
        energy(idle.joules, idle.low, idle.high, "static power x interval"),
        (value + idle.joules) / seconds,
    )  # fmt: skip
