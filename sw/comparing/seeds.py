"""The page docs/seeds.md: the headline tables of the two published systems, with ours beside them.

``python -m gateformer.comparing.seeds docs/seeds.md``, in the folder that holds ``fpga_projects``;
what follows the page's path are overrides of the design, such as ``synth.enabled=false``.
Owns ``page`` and ``main``. Imports the comparison, the simulation of memories and what the papers
claim. Baselines are records: nothing is measured by this command.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from gateformer.baselines.machines import MACHINES
from gateformer.comparing.modelled import TIERS
from gateformer.comparing.rows import FORMATS, Comparison, Ratio, Row, energy_ends, times_as_fast
from gateformer.comparing.tables import figure, quantity, rounded, times_words
from gateformer.energy.figure import Energy
from gateformer.pages import filled
from gateformer.pim.comparing import CLAIMS, Versus
from gateformer.pim.replication_page import markdown
from gateformer.pim.replication_tables import published as as_range
from gateformer.pim.replication_tables import span
from gateformer.pim.screen import Block, Cell, digits
from gateformer.quant import models

DESIGN = "fpga_projects/btag"
TOKENS = 1024
"""Tokens of a generation, as in the paper."""
Beside = Mapping[str, Sequence[Versus]]
"""Modelled machines beside the simulated memory, by decoder."""
HALF = FORMATS["bf16"]


def page(found: Comparison, beside: Beside, overrides: Sequence[str] = ()) -> str:
    """Return the page.

    Parameters
    ----------
    found : Comparison
        The b-tagging design and the decoders.
    beside : mapping of str to sequence of Versus
        Whole generations of the same decoders.
    overrides : sequence of str
        Of the design, as on the command line.
    """
    networks = [one for one in found.subjects if one.kind == "network"]
    decoders = [one for one in found.subjects if one.kind == "decode"]
    ours = [row for one in networks for row in found.of(one.name, "FPGA")]
    return filled(
        "comparing",
        "seeds",
        command=" ".join(["python -m gateformer.comparing.seeds docs/seeds.md", *overrides]),
        networks=networks,
        network=markdown(trigger(found)),
        fpga=ours,
        claims=markdown(claims(beside)),
        decoders=markdown(tokens(found)),
        context=decoders[0].context if decoders else 0,
        generation=TOKENS,
        notes=found.notes,
        absent=[one for one in found.absent if one.platform == "CPU"],
    )


def trigger(found: Comparison) -> Block:
    """Return the b-tagging network on all systems, the published ones first."""
    rows: list[tuple[Cell, ...]] = [
        (one["system"], one["precision"], one["words"], None, None, None, None, None, "published",
         one["source"])
        for one in _published()
    ]  # fmt: skip
    for subject in found.subjects:
        if subject.kind == "network":
            rows += [_trigger_row(row) for row in found.of(subject.name)]
    heads = ("system", "precision", "p50, us", "p99, us", "n", "a frame every, us", "energy, uJ",
             "DSP", "kind", "source")  # fmt: skip
    return Block("b-tagging", heads, tuple(rows))


def _published() -> list[dict[str, str]]:
    text = (files("gateformer.comparing") / "seeds.toml").read_text("utf-8")
    found: list[dict[str, str]] = tomllib.loads(text)["network"]
    return found


def _trigger_row(row: Row) -> tuple[Cell, ...]:
    p99 = None if row.p99 is None else row.p99 * 1e6
    median: Cell = row.median * 1e6
    if row.low is not None and row.high is not None:
        ends = span((rounded(row.low * 1e6), rounded(row.high * 1e6)))
        median = f"{digits(rounded(row.median * 1e6))} ({ends})"
    energy: Cell = None
    if row.energy is not None:
        energy = _microjoules(row.energy)
        if row.energy_alone is not None:
            energy += f"; alone {_microjoules(row.energy_alone)}"
        energy += f"; {row.energy.kind}"
    return (
        f"{row.platform}: {row.name.removesuffix(f', {row.precision}')}",
        row.precision,
        median,
        p99,
        row.samples,
        figure(1e6 / row.per_second, row.kind),
        energy,
        row.area.get("DSP"),
        row.kind,
        row.recorded.replace("this machine", row.machine)
        or (row.source if row.kind != "modelled" else row.source.split(" (")[0]),
    )


def _microjoules(energy: Energy) -> str:
    low, high = (digits(rounded(end * 1e6)) for end in energy_ends(energy))
    bar = f" ({low} to {high})" if low != high else ""
    return digits(energy.value * 1e6, 2) + bar


def claims(beside: Beside) -> Block:
    """Return the paper's ranges beside ours: over modelled machines, whole generations."""
    rows: list[tuple[Cell, ...]] = []

    def times(values: Iterable[float]) -> str:
        return span(map(rounded, values), "x", 2)

    currents = sorted({key for several in beside.values() for one in several for key in one.saves})
    for name, claim in CLAIMS.items():
        for tier in reversed(MACHINES[name].tiers):
            some = [
                one for several in beside.values() for one in several
                if (one.machine, one.tier) == (name, tier)
            ]  # fmt: skip
            rows.append(
                (
                    MACHINES[name].title,
                    TIERS.get(tier, tier),
                    "fp32" if tier == "eager" else "fp16",
                    as_range(claim.speed),
                    times(one.faster for one in some),
                    f"{as_range(claim.revised)} (first version {as_range(claim.first)})",
                    *(times(one.saves[key] for one in some) for key in currents),
                )
            )
    heads = ("over", "its model here", "its precision here", "times as fast, paper", "here",
             "times less energy, paper",
             *(f"here, currents '{key}'" for key in currents))  # fmt: skip
    return Block("PIM-GPT", heads, tuple(rows))


def tokens(found: Comparison) -> Block:
    """Return one decoding step of each decoder: the memory, and the best of every other kind."""
    picks: tuple[tuple[str, Callable[[Row], bool]], ...] = (
        ("CPU, eager, 16 bits", lambda row: _cpu(row) and row.tier == "eager" and _half(row)),
        ("CPU, best of 16 bits", lambda row: _cpu(row) and _half(row)),
        ("CPU, best of any precision", _cpu),
        ("GPU, measured, best of 16 bits", lambda row: _ran(row, "GPU") and _half(row)),
        ("T4, tuned, modelled", lambda row: _model(row, "t4")),
        ("H100, tuned, modelled", lambda row: _model(row, "h100")),
    )
    shown = [
        (words, pick)
        for words, pick in picks
        if any(pick(row) for one in found.subjects for row in found.of(one.name))
    ]
    rows: list[tuple[Cell, ...]] = []
    for one in found.subjects:
        if one.kind != "decode":
            continue
        every = found.of(one.name)
        memory = found.best(one.name, "PIM")
        energy = None if memory is None else memory.energy
        cells: list[Cell] = [
            one.name,
            None if memory is None else memory.median * 1e3,
            None if energy is None else figure(energy.value * 1e3, energy.kind),
        ]
        for _, pick in shown:
            cells.append(_beside(memory, min(filter(pick, every), key=_time, default=None)))
        rows.append(tuple(cells))
    heads = ("decoder", "memory, ms", "memory, mJ, modelled", *(words for words, _ in shown))
    return Block("One token", heads, tuple(rows))


def _beside(memory: Row | None, row: Row | None) -> str | None:
    """Return a row's time, what it ran on where it is measured, and how far it is behind."""
    if row is None:
        return None
    words = quantity(row.median, "s", row.kind)
    if row.kind == "measured":
        words += f", {row.system} {row.precision}"
    ratio = None if memory is None else times_as_fast(memory, row)
    return f"{words}: {times_words(ratio)}" if isinstance(ratio, Ratio) else words


def _time(row: Row) -> float:
    return row.median


def _ran(row: Row, platform: str) -> bool:
    return row.platform == platform and row.kind == "measured"


def _cpu(row: Row) -> bool:
    return _ran(row, "CPU")


def _half(row: Row) -> bool:
    return row.format == HALF


def _model(row: Row, name: str) -> bool:
    wanted = MACHINES[name].title, "tuned", "modelled"
    return (row.machine, row.tier, row.kind) == wanted


def generations(names: Iterable[str], tokens: int = TOKENS) -> dict[str, list[Versus]]:
    """Simulate whole generations, and put modelled machines beside each."""
    from gateformer.pim.comparing import versus
    from gateformer.pim.waiting import waiting
    from gateformer.sim.pim import simulate

    found = {}
    for name in names:
        with waiting(f"{name}: {tokens:,} tokens"):
            found[name] = versus(simulate(name, tokens))
    return found


def main(out: Path, overrides: Sequence[str] = ()) -> None:
    """Write the page."""
    from gateformer.comparing.collect import Options, gather
    from gateformer.comparing.measuring import Measuring
    from gateformer.comparing.subjects import find
    from gateformer.flow.files import write_whole

    subjects = find([DESIGN, *models.names()], overrides)
    options = Options(Measuring("recorded"), tuple(overrides))
    found = gather(subjects, options, "gateformer compare")
    write_whole(out, page(found, generations(models.names()), overrides))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
