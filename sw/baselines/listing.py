"""What ``gateformer baseline`` shows: tables of records and failures, and the same as JSON.

Owns ``measured`` and ``listed``. Imports the records and the screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateformer.baselines.measure import Failure
from gateformer.baselines.record import Hardware, Record
from gateformer.baselines.running import Rows
from gateformer.baselines.store import Stored
from gateformer.pim.screen import Answer, Block, Cell, amount, percent

HEADS = (
    "runtime", "precision", "tier", "p50", "p90", "p99", "n", "per second", "GB/s", "of bandwidth",
    "energy",
)  # fmt: skip


def measured(found: Sequence[Rows]) -> Answer:
    """Return a run's tables: a model each, the fastest median first, then what failed and why.

    The exit code is 0 where anything was measured, else the first failure's.
    """
    blocks = []
    for one in found:
        rows = sorted(one.records, key=lambda record: record.times.median)
        failures = [row for row in one.rows if isinstance(row, Failure)]
        cells = [_cells(record) for record in rows]
        cells += [(row.runtime, row.precision, row.tier, *[None] * 8) for row in failures]
        title = f"{one.name}: {_words(rows[0])}" if rows else one.name
        blocks.append(Block(title, HEADS, tuple(cells)))
        if failures:
            reasons = tuple((row.key, str(row.error)) for row in failures)
            blocks.append(Block(f"{one.name}: without a time", ("candidate", "why"), reasons))
    records = [record for one in found for record in one.records]
    lost = [row.error for one in found for row in one.rows if isinstance(row, Failure)]
    said = list(dict.fromkeys(_machine(record.hardware) for record in records))
    if any(record.energy is None for record in records):
        said += dict.fromkeys(f"Energy: {r.energy_note}." for r in records if r.energy is None)
    places = [str(one.path) for one in found if one.path is not None]
    said += [f"Records: {', '.join(places)}"] if places else []
    code = lost[0].exit_code if lost and not records else 0
    data: dict[str, Any] = {
        "models": [
            {
                "name": one.name,
                "kind": one.kind,
                "records": [record.model_dump(mode="json") for record in one.records],
                "failures": [
                    {"candidate": row.key, "tier": row.tier, "error": row.error.as_dict()}
                    for row in one.rows
                    if isinstance(row, Failure)
                ],
            }
            for one in found
        ]
    }
    return Answer(data, tuple(blocks), tuple(said), code)


def listed(found: Sequence[Stored]) -> Answer:
    """Return a table of what is stored, a machine each, its workloads one below another."""
    machines: dict[str, list[Stored]] = {}
    for one in found:
        machines.setdefault(one.record.hardware.id, []).append(one)
    blocks = []
    for name, group in sorted(machines.items()):
        ordered = sorted(group, key=lambda one: (one.record.workload.name, one.record.times.median))
        heads = ("workload", "batch", "context", "runtime", "precision", "p50", "p99", "n", "date",
                 "from")  # fmt: skip
        cells: list[tuple[Cell, ...]] = []
        for one in ordered:
            work, setup, times = one.record.workload, one.record.setup, one.record.times
            cells.append(
                (
                    work.name,
                    work.batch,
                    work.context or None,
                    _runtime(one.record),
                    setup.precision,
                    amount(times.median, "s"),
                    amount(times.p99, "s"),
                    times.samples,
                    one.record.date,
                    "package" if one.shipped else "here",
                )  # fmt: skip
            )
        blocks.append(Block(f"{name}: {group[0].record.hardware.name}", heads, tuple(cells)))
    none = "No baselines are stored. `gateformer baseline cpu MODEL` makes some."
    notes = () if found else (none,)
    data = {
        "baselines": [
            {"path": str(one.path), "shipped": one.shipped, **one.record.model_dump(mode="json")}
            for one in found
        ]
    }
    return Answer(data, tuple(blocks), notes)


def _cells(record: Record) -> tuple[Cell, ...]:
    times, energy = record.times, record.energy
    return (
        _runtime(record),
        record.setup.precision,
        record.setup.tier,
        amount(times.median, "s"),
        amount(times.p90, "s"),
        amount(times.p99, "s"),
        times.samples,
        record.per_second,
        record.gbs,
        None if record.share is None else percent(record.share),
        None if energy is None else f"{amount(energy.value, 'J')} {energy.kind}",
    )


def _runtime(record: Record) -> str:
    huge = "GLIBC_TUNABLES" in record.setup.options
    return f"{record.setup.runtime}{', huge pages' if huge else ''}"


def _words(record: Record) -> str:
    work = record.workload
    size = f"{work.parameters:,} parameters, batch {work.batch}"
    if work.kind == "decode":
        size += f", one token after {work.context:,} others"
    return f"{size}, {record.setup.threads} threads"


def _machine(hardware: Hardware) -> str:
    bandwidth = hardware.bandwidth_gbs
    memory = "" if bandwidth is None else (
        f"; memory gives {bandwidth:.3g} GB/s ({hardware.bandwidth_method})"
    )  # fmt: skip
    return f"Measured on {hardware.name}, {hardware.cores} cores, as {hardware.id}{memory}."
