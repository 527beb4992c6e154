"""The page of the ASIC's Verilog: prose from a template, numbers from functions and simulations.

Owns ``page``. Imports the accuracies, the devices and the simulation. ``python -m
gateformer.pim.asic_page docs/pim_asic.md`` writes it; the same sources give the same bytes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gateformer.flow.files import write_whole
from gateformer.hw.pim.asic_units import units
from gateformer.hw.pim.device import Asic, Unit, load
from gateformer.pages import filled
from gateformer.pim.asic_accuracy import VECTORS, WIDTH, accuracies, forms_apart, of_vectors
from gateformer.pim.replication_page import markdown
from gateformer.pim.screen import Block, digits, percent
from gateformer.quant import models
from gateformer.sim.pim.asic_rtl import UNARY, sources
from gateformer.sim.pim.generation import simulate
from gateformer.sim.pim.timeline import ASIC

PAST = 512
"""Tokens in the cache of the token that is timed."""
SMALLEST, LARGEST = "gpt2-small", "gpt3-xl"
OURS, ASSUMED = "pim-rtl", "pim-gpt"


def page() -> str:
    """Return the page's text."""
    own, other = _asic(OURS), _asic(ASSUMED)
    return filled(
        "pim",
        "asic",
        own=own,
        own_name=OURS,
        other=other,
        past=PAST,
        vectors=VECTORS,
        width=WIDTH,
        small=SMALLEST,
        large=LARGEST,
        alone=_smallest(past=PAST),
        behind=_smallest(prompt=PAST),
        apart=digits(forms_apart(), 2),
        latencies=UNARY,
        operators={name: operators(name, own.lanes) for name in ("multiply", "add")},
        tables={
            "units": markdown(_units(own)),
            "errors": markdown(_errors()),
            "vectors": markdown(_vectors(own.lanes)),
            "lanes": markdown(_lanes(own)),
            "tokens": markdown(_tokens()),
            "works": markdown(_works()),
        },
    )


def _smallest(*, past: int = 0, prompt: int = 0) -> dict[str, str | int]:
    """Return the smallest model's token: ms with refresh, clocks without."""
    due = simulate(SMALLEST, 1, device=OURS, past=past, prompt=prompt)
    still = simulate(SMALLEST, 1, device=OURS, past=past, prompt=prompt, refresh="none")
    return {"refresh": digits(due.ms_per_token), "none": int(still.token_clocks[0])}


def operators(kind: str, lanes: int) -> int:
    """Return how many FP32 multipliers or adders ``gf_pim_asic`` has, from its text.

    An instance in a block ``gen_lane`` counts once a lane. A tree has an adder less than lanes; no
    other module that is made of its own halves has any.
    """
    texts = sources("gf_pim_asic")

    def count(module: str) -> int:
        if module == f"gf_pim_fp32_{kind}":
            return 1
        if module == "gf_pim_fp32_tree":
            return (lanes - 1) * (kind == "add")
        found, each = 0, 1
        for line in texts[f"{module}.v"].splitlines():
            if "begin : gen_lane" in line:
                each = lanes
            elif line == "  endgenerate":
                each = 1
            elif (instance := re.match(r"\s+(gf_\w+) ", line)) and instance[1] != module:
                found += each * count(instance[1])
        return found

    return count("gf_pim_asic")


def _asic(name: str) -> Asic:
    found = load(name).asic
    if found is None:
        raise ValueError(f"{name} has no ASIC")
    return found


def _units(asic: Asic) -> Block:
    heads = ("unit", "clocks of an operation on v vectors of w words", "from")
    rows = tuple((name, _formula(unit), unit.source) for name, unit in asic.units.items())
    return Block("Clocks", heads, rows)


def _formula(unit: Unit) -> str:
    words = "w" if unit.passes == 1 else f"{unit.passes} w"
    each = f"v ({words} + {unit.vector_latency})" if unit.vector_latency else f"v {words}"
    lead = " + w" if unit.lead else ""
    latency = unit.result_latency
    results = f" + {latency} r" if latency > 1 else " + r" if latency else ""
    return f"{each}{lead}{results} + {unit.latency}"


def _errors() -> Block:
    heads = ("function", "domain", "BF16 numbers", "relative, FP32", "absolute, BF16",
             "ulp of BF16", "at", "not the nearest")  # fmt: skip
    rows = tuple(
        (
            one.function,
            one.domain,
            one.numbers,
            None if one.relative is None else digits(one.relative, 3),
            digits(one.absolute, 3),
            f"{one.ulps:.3f}",
            digits(one.worst, 4),
            percent(one.missed, 2),
        )
        for one in accuracies()
    )
    return Block("Errors", heads, rows)


def _vectors(lanes: int) -> Block:
    heads = ("function", "relative, FP32", "ulp of BF16", "not the nearest")
    rows = tuple(
        (name, digits(relative, 3), f"{ulps:.3f}", percent(missed, 2))
        for name, relative, ulps, missed in of_vectors(lanes)
    )
    return Block("Vectors", heads, rows)


def _lanes(own: Asic) -> Block:
    """Return how long a token takes with more lanes."""
    device = load(OURS)

    def milliseconds(name: str, lanes: int) -> float:
        wide = replace(own, lanes=lanes, units={**own.units, **units(lanes)})
        return simulate(name, 1, past=PAST, device=replace(device, asic=wide)).seconds * 1e3

    rows = tuple(
        (str(lanes), milliseconds(SMALLEST, lanes), milliseconds(LARGEST, lanes))
        for lanes in (own.lanes, 2 * own.lanes, 4 * own.lanes)
    )
    return Block("Lanes", ("lanes", f"{SMALLEST}, ms", f"{LARGEST}, ms"), rows)


def _tokens() -> Block:
    heads = ("model", "pim-gpt, ms", "pim-rtl, ms", "longer", "overlapped: pim-gpt, ms",
             "pim-rtl, ms", "longer")  # fmt: skip
    rows = []
    for name in models.names():
        if not name.startswith("gpt"):
            continue
        cells: list[str | float] = [name]
        for overlap in (False, True):
            other, own = (
                simulate(name, 1, past=PAST, device=one, overlap=overlap).seconds * 1e3
                for one in (ASSUMED, OURS)
            )
            cells += [other, own, percent(own / other - 1)]
        rows.append(tuple(cells))
    return Block("A token", heads, tuple(rows))


def _works() -> Block:
    """Return where the ASIC's clocks of a token go."""

    def clocks(device: str) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for part in simulate(LARGEST, 1, past=PAST, device=device).parts:
            if part.on == ASIC:
                found[part.name] = found.get(part.name, 0) + part.clocks
        return found

    other, own = clocks(ASSUMED), clocks(OURS)
    heads = ("work", "pim-gpt, clocks", "pim-rtl, clocks")
    names = sorted(own, key=lambda name: -own[name])
    rows = [(name, other[name], own[name]) for name in names]
    return Block("Work", heads, (*rows, ("all", sum(other.values()), sum(own.values()))))


def main() -> int:
    """Write the page to the file that the command names."""
    if len(sys.argv) != 2:
        print("usage: python -m gateformer.pim.asic_page FILE", file=sys.stderr)
        return 2
    write_whole(Path(sys.argv[1]), page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
