"""Coefficients fitted to the training part of the public power reports.

Owns ``Fitted``, ``fit`` and ``document``; ``python -m gateformer.energy.fit`` writes the text of
coefficients.toml. Imports numpy, the reports and the figures.

A report tells the power of all LUTs, of all nets ..., not how often they change: its activity is
the tool's guess, and differs by ten between designs. So the fit goes in two steps. Where something
else tells a design's activity (``Report.known``), the row of signals gives the joules a toggle of a
net. In every other report the row of signals then tells that design's activity, and the other rows
give the joules of the other primitives at that activity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gateformer.energy.reports import Report, reports, training

FAMILIES = ("xc7", "xcup")
LOGIC = (("lut_toggle", "lut", 400), ("ff_toggle", "ff", 5000), ("carry_toggle", "carry", 400))
"""Field, row, and the primitives below which a report is left out: its row rounds to naught."""

FEW = 5
"""Below so many reports a bar is at least a factor of two, and blocks that may idle take the middle
between their own figure and the other family's."""

Bar = tuple[float, float, float]
"""Value, low, high."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the fit says of one family: each a value with low and high, and how it was had.

    Attributes
    ----------
    family : str
        As hw.devices names it.
    bars : dict of str to Bar
        By the fields of ``Coefficients``, J or W.
    sources : dict of str to str
        How each was had.
    """

    family: str
    bars: dict[str, Bar]
    sources: dict[str, str]

    def value(self, name: str) -> float:
        """Return a coefficient."""
        return self.bars[name][0]


def activity(report: Report, net_toggle: float) -> float:
    """Return toggles a net and clock that the row of signals implies."""
    return report.each("signals", "nets") / net_toggle


def fit(among: Sequence[Report], family: str, other: Fitted | None = None) -> Fitted:
    """Return a family's coefficients.

    Parameters
    ----------
    among : sequence of Report
        What the fit may see, of all families; rows are used where one clock drives a routed design.
    family : str
        One of ``FAMILIES``.
    other : Fitted, optional
        A family whose figure is scaled, by joules a net, where this one's reports show none.

    Raises
    ------
    ValueError
        No report of the family tells its activity.
    """
    mine = [report for report in among if report.family == family]
    seen = [report for report in mine if report.fits]
    bars: dict[str, Bar] = {}
    sources: dict[str, str] = {}

    def put(name: str, bar: Bar | None, how: str, scaled: str = "") -> None:
        if bar is None:
            if other is None:
                raise ValueError(f"no report of {family} shows {name}")
            ratio = bars["net_toggle"][0] / other.value("net_toggle")
            value, low, high = (part * ratio for part in other.bars[name])
            bar = (value, low / 2, high * 2)
            how = f"{scaled or 'no report shows it'}: that of {other.family} x {ratio:.2g}"
        bars[name] = bar
        sources[name] = how

    put("net_toggle", _net(seen), "rows of signals where the activity is known otherwise")
    if "net_toggle" not in bars:
        raise ValueError(f"no report of {family} tells its activity")
    net = bars["net_toggle"]
    at = "at the activity that each report's row of signals implies, median"
    for name, row, least in LOGIC:
        each = [
            report.each(row) / activity(report, net[0])
            for report in seen
            if getattr(report.used, row) >= least
        ]
        put(name, _widened(_spread(each), net), f"{_count(each)} {at}")
    clock = _line(seen, lambda report: report.used.ff, lambda report: _per_clock(report, "clocks"))
    put("clock_tree", clock[0], f"{_count(seen)}, clocks = tree + flip-flops x leaf")
    put("ff_clock", clock[1], f"{_count(seen)}, clocks = tree + flip-flops x leaf")
    memories = [
        _per_clock(report, "lutram", "srl") / (report.used.lutram + report.used.srl)
        for report in seen
        if report.used.lutram + report.used.srl >= 100
    ]
    put(
        "lutram_clock",
        _spread(memories),
        f"{_count(memories)}, LUTs of memory together, median",
    )
    for name, row, limit in (("bram_access", "bram", 4.0), ("dsp_op", "dsp", 3.0)):
        each = [
            report.each(row)
            for report in seen
            if getattr(report.used, row) >= limit and report.milliwatts.exact(row)
        ]
        bar = _busiest(each)
        if bar is not None and other is not None and len(each) < FEW:
            bar = _middle(bar, other.value(name))
            how = f"{_count(each)}, mostly idle: between their busiest third and {other.family}"
        else:
            how = f"{_count(each)}, the busiest third"
        put(name, bar, how)
    static = _static(mine)
    put("static_base_w", static[0], f"{_count(mine)}, static W = base + LUTs of the device x each")
    put("static_lut_w", static[1], f"{_count(mine)}, static W = base + LUTs of the device x each")
    return Fitted(family, bars, sources)


def fit_all(among: Sequence[Report]) -> dict[str, Fitted]:
    """Return every family's coefficients, the richest family first."""
    first = fit(among, FAMILIES[0])
    return {FAMILIES[0]: first, FAMILIES[1]: fit(among, FAMILIES[1], first)}


def _count(of: Sequence[object]) -> str:
    return f"{len(of)} report{'s' if len(of) != 1 else ''}"


def _per_clock(report: Report, *rows: str) -> float:
    return sum(report.milliwatts.of(row) for row in rows) * 1e-3 / report.hertz


def _net(seen: Sequence[Report]) -> Bar | None:
    parts = [
        (each / report.known.activity, each / report.known.high, each / report.known.low)
        for report in seen
        if report.known is not None and (each := report.each("signals", "nets"))
    ]
    if not parts:
        return None
    values, lows, highs = zip(*parts, strict=True)
    # As wide as they differ: from the least that one of them allows to the most.
    return float(np.exp(np.mean(np.log(values)))), min(lows), max(highs)


def _spread(values: Sequence[float]) -> Bar | None:
    """Return the median with the middle two thirds; at least a factor of two about a few values."""
    if not values:
        return None
    low, value, high = (float(part) for part in np.quantile(values, (1 / 6, 0.5, 5 / 6)))
    if len(values) < FEW:
        low, high = min(low, value / 2), max(high, value * 2)
    return value, low, high


def _widened(bar: Bar | None, scale: Bar) -> Bar | None:
    """Return a bar with the scale's own error beside, in quadrature of logarithms."""
    if bar is None:
        return None
    value, low, high = bar
    down = math.hypot(math.log(value / low), math.log(scale[0] / scale[1]))
    up = math.hypot(math.log(high / value), math.log(scale[2] / scale[0]))
    return value, value / math.exp(down), value * math.exp(up)


def _busiest(values: Sequence[float]) -> Bar | None:
    """Return the mean of the top third: blocks that idle most clocks tell nothing of an access.

    It runs from the median to twice the largest, as inputs of a vectorless report change less than
    data do.
    """
    if not values:
        return None
    ordered = sorted(values)
    top = ordered[-max(1, len(ordered) // 3) :]
    return float(np.mean(top)), float(np.median(ordered)), 2 * ordered[-1]


def _middle(bar: Bar, other: float) -> Bar:
    """Return the geometric middle of idle blocks' figure and another family's, and both ends."""
    value, low, high = bar
    middle = math.sqrt(value * other)
    return middle, min(low, middle, other), max(high, middle, other)


def _line(
    seen: Sequence[Report], by: Callable[[Report], float], of: Callable[[Report], float]
) -> tuple[Bar, Bar]:
    """Return offset and slope that miss the rows by the smallest relative amounts, summed.

    Least absolute deviations by reweighted least squares, both kept at zero or above; the bar is
    the factor that two thirds of the rows stay within, or all of them where they are few.
    """
    x, y = np.array([by(report) for report in seen]), np.array([of(report) for report in seen])
    offset, slope = _lad(x, y)
    missed = np.abs(np.log(y / (offset + slope * x)))
    within = math.exp(np.quantile(missed, 2 / 3 if len(seen) > FEW else 1.0))
    return (
        (offset, offset / within, offset * within),
        (slope, slope / within, slope * within),
    )


def _lad(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    scaled = np.stack([np.ones_like(x), x], axis=1) / y[:, None]
    unit = np.abs(scaled).max(axis=0)
    columns = scaled / unit
    weight = np.ones_like(y)
    answer = np.zeros(2)
    for _ in range(200):
        root = np.sqrt(weight)[:, None]
        answer = np.linalg.lstsq(columns * root, root[:, 0], rcond=None)[0]
        for kept in (0, 1):
            if answer[1 - kept] < 0:
                column = columns[:, kept]
                answer = np.zeros(2)
                answer[kept] = float(np.sum(weight * column) / np.sum(weight * column**2))
        weight = 1 / np.maximum(np.abs(columns @ answer - 1), 1e-3)
    offset, slope = answer / unit
    return float(offset), float(slope)


def _static(mine: Sequence[Report]) -> tuple[Bar, Bar]:
    """Return W of an idle device and W a LUT of it, each device by its coolest report."""
    coolest: dict[float, Report] = {}
    for report in sorted(mine, key=lambda each: -each.junction_c):
        coolest[report.device_luts] = report
    devices = [coolest[luts] for luts in sorted(coolest)]
    return _line(devices, lambda each: each.device_luts, lambda each: each.milliwatts.static * 1e-3)


def document(fitted: dict[str, Fitted]) -> str:
    """Return the text of coefficients.toml."""
    lines = ["# Generated: python -m gateformer.energy.fit > sw/energy/coefficients.toml", ""]
    for family, each in fitted.items():
        for name, (value, low, high) in each.bars.items():
            lines += [
                f"[{family}.{name}]",
                f"value = {value:.3g}",
                f"low = {low:.3g}",
                f"high = {high:.3g}",
                'kind = "modelled"',
                f'source = "public Vivado power reports: {each.sources[name]}"',
                "",
            ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(document(fit_all(training(reports()))), end="")
