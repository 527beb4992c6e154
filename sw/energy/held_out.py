"""How far the fitted coefficients are off on power reports that the fit did not see.

Owns ``Check``, ``check``, ``held_out``, ``left_out`` and ``tables``; ``python -m
gateformer.energy.held_out`` prints the tables of docs/energy.md and
docs/power_reports.md. Imports numpy, the fit and the
reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gateformer.energy.fit import FAMILIES, LOGIC, Fitted, activity, fit, fit_all
from gateformer.energy.reports import Report, reports, training

Row = Literal["clocks", "logic", "blind", "known", "static"]
ROWS: dict[Row, str] = {
    "clocks": "clocks: tree and flip-flops' leaves",
    "logic": "LUTs, carries, flip-flops and LUTs of memory, at the activity that the report's own "
    "signals imply",
    "blind": "clocks, signals and logic at the training reports' median activity: all that one can "
    "say of a design without its activity",
    "known": "signals and logic, where something else than the report tells the activity",
    "static": "static power by the device's size, junctions of up to 35 degrees C",
}
COOL_C = 35.0
"""Static power grows with the junction's temperature: hotter reports are not of an idle device."""
LEAST_MW = 3.0
"""Rows below are left out: the reports round to 1 mW."""


@dataclass(frozen=True, slots=True)
class Check:
    """One row of one report against its prediction.

    Attributes
    ----------
    report : Report
        Which the fit did not see.
    row : str
        One of ``ROWS``.
    said, predicted : float
        mW.
    """

    report: Report
    row: Row
    said: float
    predicted: float

    @property
    def factor(self) -> float:
        """Predicted over said."""
        return self.predicted / self.said


def usual(fitted: Fitted, among: Iterable[Report]) -> float:
    """Return the median of the activities that reports of the family imply."""
    net = fitted.value("net_toggle")
    return float(
        np.median(
            [
                activity(report, net)
                for report in among
                if report.fits and report.family == fitted.family
            ]
        )
    )


def check(report: Report, fitted: Fitted, blind: float) -> list[Check]:
    """Compare what a report says with what the coefficients predict.

    Parameters
    ----------
    report : Report
        Any; of one that is not routed, or has several clocks, static power alone is compared.
    fitted : Fitted
        Of its family.
    blind : float
        Activity for the row ``blind``, toggles a net and clock.
    """
    milliwatts, used = report.milliwatts, report.used
    pairs: list[tuple[Row, float, float]] = []
    if report.junction_c <= COOL_C:
        static = fitted.value("static_base_w") + fitted.value("static_lut_w") * report.device_luts
        pairs.append(("static", milliwatts.static, static * 1e3))
    if report.fits:
        scale = report.hertz * 1e3
        clocks = fitted.value("clock_tree") + fitted.value("ff_clock") * used.ff
        toggled = sum(fitted.value(name) * getattr(used, row) for name, row, _ in LOGIC)
        memories = fitted.value("lutram_clock") * (used.lutram + used.srl)
        nets = fitted.value("net_toggle") * used.nets
        logic = sum(milliwatts.of(row) for row in ("lut", "carry", "ff", "mux", "lutram", "srl"))
        signals, own = milliwatts.of("signals"), activity(report, fitted.value("net_toggle"))
        core = milliwatts.of("clocks") + signals + logic
        pairs += [
            ("clocks", milliwatts.of("clocks"), clocks * scale),
            ("logic", logic, (own * toggled + memories) * scale),
            ("blind", core, (clocks + blind * (nets + toggled) + memories) * scale),
        ]
        if report.known is not None:
            known = report.known.activity * (nets + toggled) + memories
            pairs.append(("known", signals + logic, known * scale))
    return [Check(report, row, said, ours) for row, said, ours in pairs if said >= LEAST_MW]


def held_out(among: Sequence[Report]) -> list[Check]:
    """Return the checks of every report outside the training part, by a fit of that part."""
    seen = training(tuple(among))
    fitted = fit_all(seen)
    return [
        each
        for report in among
        if report not in seen
        for each in check(report, fitted[report.family], usual(fitted[report.family], seen))
    ]


def left_out(among: Sequence[Report]) -> tuple[list[Check], list[str]]:
    """Return the checks of every repository by a fit of all others, and those that cannot be.

    A repository cannot be left out where no other of its family tells its activity.
    """
    found: list[Check] = []
    impossible: list[str] = []
    for repo in sorted({report.repo for report in among}):
        others = [report for report in among if report.repo != repo]
        mine = [report for report in among if report.repo == repo]
        family = mine[0].family
        try:
            first = fit([report for report in others if report.family == FAMILIES[0]], FAMILIES[0])
            fitted = first if family == FAMILIES[0] else fit(others, family, first)
        except ValueError:
            impossible.append(repo)
            continue
        blind = usual(fitted, others)
        found += [each for report in mine for each in check(report, fitted, blind)]
    return found, impossible


def spread(checks: Sequence[Check]) -> tuple[float, float, float]:
    """Return median of the factors, the factor that two thirds stay within, and the worst."""
    logs = np.log([each.factor for each in checks])
    return (
        float(np.exp(np.median(logs))),
        float(np.exp(np.quantile(np.abs(logs), 2 / 3))),
        float(np.exp(np.max(np.abs(logs)))),
    )


def _summary(checks: Sequence[Check]) -> list[str]:
    lines = [
        "| row | family | reports | median predicted / reported | two thirds within | worst |",
        "|---|---|---|---|---|---|",
    ]
    for row, meaning in ROWS.items():
        for family in FAMILIES:
            some = [each for each in checks if each.row == row and each.report.family == family]
            if some:
                middle, most, worst = spread(some)
                number = str(len(some))
                if row == "static":
                    # Reports of one device say one thing about it, however many they are.
                    number += f" of {len({each.report.device for each in some})} devices"
                lines.append(
                    f"| {meaning} | {family} | {number} | {middle:.2f} | "
                    f"x {most:.2f} | x {worst:.2f} |"
                )
    return lines


def _reports(among: Sequence[Report], checks: Sequence[Check], net: dict[str, float]) -> list[str]:
    seen = training(tuple(among))
    of = {(each.report.name, each.row): each for each in checks}
    lines = [
        "| report | device | clock MHz | LUT, FF, DSP, BRAM | activity | implied | part | "
        "clocks | logic | blind | static |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for report in among:
        used = report.used
        cells = []
        for row in ("clocks", "logic", "blind", "static"):
            each = of.get((report.name, row))
            cells.append(f"{each.said:.0f} : {each.predicted:.0f}" if each else "-")
        implied = f"{activity(report, net[report.family]):.3f}" if report.fits else "-"
        part = "not used" if not report.fits else "fit" if report in seen else "check"
        lines.append(
            f"| [{report.name}]({report.url}) | {report.device} | {report.hertz / 1e6:.0f} | "
            f"{used.lut:.0f}, {used.ff:.0f}, {used.dsp:.0f}, {used.bram:g} | {report.activity} | "
            f"{implied} | {part} | " + " | ".join(cells) + " |"
        )
    return lines


def _coefficients(fitted: dict[str, Fitted]) -> list[str]:
    lines = ["| coefficient | family | J or W | error bar | from |", "|---|---|---|---|---|"]
    for name in fitted[FAMILIES[0]].bars:
        for family, each in fitted.items():
            value, low, high = each.bars[name]
            lines.append(
                f"| {name} | {family} | {value:.3g} | {low:.3g} to {high:.3g} | "
                f"{each.sources[name]} |"
            )
    return lines


def tables(among: Sequence[Report]) -> dict[str, str]:
    """Return the tables by name: ``reports`` is docs/power_reports.md's, the others energy.md's."""
    outside, (each, impossible) = held_out(among), left_out(among)
    fitted = fit_all(training(tuple(among)))
    net = {name: one.value("net_toggle") for name, one in fitted.items()}
    words = ", ".join(impossible)
    return {
        "coefficients": "\n".join(_coefficients(fitted)),
        "outside": "\n".join(_summary(outside)),
        "left out": "\n".join(
            [*_summary(each), "", f"Not left out, for want of another: {words}."]
        ),
        "reports": "\n".join(_reports(among, each, net)),
    }


if __name__ == "__main__":
    for title, table in tables(reports()).items():
        print(f"{title}\n\n{table}\n")
