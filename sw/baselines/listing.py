"""What ``gateformer baseline`` shows: tables of records and failures, and the same as JSON.

Owns ``measured`` and ``listed``. Imports the records and the screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateformer.baselines.fitting import predict
from gateformer.baselines.measure import Failure
from gateformer.baselines.record import Hardware, Record
from gateformer.baselines.running import Rows
from gateformer.baselines.store import Stored
from gateformer.pim.screen import Answer, Block, Cell, amount, digits, percent
from gateformer.quant.errors import BaselineError, RunError

HEADS = ("runtime", "precision", "tier", "p50 {unit}", "p99 {unit}", "n", "per s")
READING = ("GB/s", "of it")
"""Of decoders alone: a network's weights stay in the caches."""
PREDICTED = ("predicted", "error")
CROWDED = 1.5
"""Load a core from which other processes show in the times: one is the candidate before."""
UNKEPT = RunError.exit_code
"""Where a file system took no records."""
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def measured(found: Sequence[Rows], stored: Sequence[Stored] = ()) -> Answer:
    """Return a run's tables: a model each, the fastest median first, then what failed and why.

    Decoders' rows have a prediction beside them where smaller ones were measured on this machine.
    The exit code is 0 where anything was measured, else the first failure's.

    Parameters
    ----------
    found : sequence of Rows
        What was measured now.
    stored : sequence of Stored
        What predictions are made from.
    """
    blocks: list[Block] = []
    for one in found:
        blocks += _model(one, stored)
    records = [record for one in found for record in one.records]
    lost = [row.error for one in found for row in one.rows if isinstance(row, Failure)]
    said = list(dict.fromkeys(_machine(record.hardware) for record in records))
    if any(record.energy is None for record in records):
        said += dict.fromkeys(f"Energy: {r.energy_note}." for r in records if r.energy is None)
    said += dict.fromkeys(
        f"Energy is modelled: {r.energy.source}."
        for r in records
        if r.energy is not None and r.energy.kind != "measured"
    )
    said += _crowded(records)
    places = [str(one.path) for one in found if one.path is not None]
    said += [f"Records: {', '.join(places)}"] if places else []
    unkept = [
        f"{one.name}: not all records are stored: {one.unkept}" for one in found if one.unkept
    ]
    said += unkept
    code = lost[0].exit_code if lost and not records else UNKEPT if unkept else 0
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


def listed(found: Sequence[Stored], faults: Sequence[BaselineError] = ()) -> Answer:
    """Return a table of what is stored, a machine each, its workloads one below another.

    Malformed files hide no others: they are named below, and give the exit code.
    """
    machines: dict[str, list[Stored]] = {}
    for one in found:
        machines.setdefault(one.record.hardware.id, []).append(one)
    blocks = []
    for name, group in sorted(machines.items()):
        ordered = sorted(group, key=lambda one: (one.record.workload.name, one.record.times.median))
        heads = ("workload", "batch", "context", "runtime", "precision", "p50 ms", "p99 ms", "n",
                 "date", "from")  # fmt: skip
        cells = tuple(_stored(one) for one in ordered)
        blocks.append(Block(f"{name}: {group[0].record.hardware.name}", heads, cells))
    none = "No baselines are stored. `gateformer baseline cpu MODEL` makes some."
    notes = ((none,) if not found and not faults else ()) + tuple(map(str, faults))
    data = {
        "baselines": [
            {"path": str(one.path), "shipped": one.shipped, **one.record.model_dump(mode="json")}
            for one in found
        ],
        "faults": [one.as_dict() for one in faults],
    }
    return Answer(data, tuple(blocks), notes, faults[0].exit_code if faults else 0)


def _model(one: Rows, stored: Sequence[Stored]) -> list[Block]:
    """Return a model's table, and the reasons of what has no time."""
    rows = sorted(one.records, key=lambda record: record.times.median)
    failures = [row for row in one.rows if isinstance(row, Failure)]
    factor, unit = _unit(rows)
    others = [each.record for each in stored]
    predictions = [predict(record, others) for record in rows]
    shown = any(predictions)
    metered = any(record.energy for record in rows)
    heads = [head.format(unit=unit) for head in HEADS]
    heads += READING if one.kind == "decode" else ()
    heads += PREDICTED if shown else ()
    heads += ["energy"] if metered else []
    cells: list[tuple[Cell, ...]] = []
    for record, prediction in zip(rows, predictions, strict=True):
        line = _cells(record, factor)
        if one.kind == "decode":
            line += [
                digits(record.gbs, 3),
                None if record.share is None else percent(record.share, 0),
            ]
        if shown and prediction is None:
            line += [None, None]
        elif prediction is not None:
            line += [digits(prediction.seconds / factor), percent(prediction.error)]
        if metered and record.energy is not None:
            line.append(f"{amount(record.energy.value, 'J')}, {record.energy.kind}")
        elif metered:
            line.append(None)
        cells.append(tuple(line))
    lacking = len(heads) - 3
    cells += [(row.runtime, row.precision, row.tier, *[None] * lacking) for row in failures]
    title = f"{one.name}: {_words(rows[0])}" if rows else one.name
    blocks = [Block(title, tuple(heads), tuple(cells))]
    if failures:
        reasons = tuple((row.key, str(row.error)) for row in failures)
        blocks.append(Block(f"{one.name}: without a time", ("candidate", "why"), reasons))
    return blocks


def _crowded(records: Sequence[Record]) -> list[str]:
    """Return a warning where more ran beside the candidates than they start themselves."""
    most = max((record.load / max(record.hardware.cores, 1) for record in records), default=0.0)
    if most <= CROWDED or any(record.hardware.kind == "gpu" for record in records):
        return []
    return [
        f"Up to {most:.1f} processes a core wanted to run beside it: the times are upper bounds. "
        "Measure again on a quiet machine."
    ]


def _unit(rows: Sequence[Record]) -> tuple[float, str]:
    """Return the unit in which the fastest median is at least one."""
    least = min((record.times.median for record in rows), default=1.0)
    return next((one for one in UNITS if least >= one[0]), UNITS[-1])


def _cells(record: Record, factor: float) -> list[Cell]:
    times = record.times
    return [
        _runtime(record),
        record.setup.precision,
        record.setup.tier,
        digits(times.median / factor),
        digits(times.p99 / factor),
        times.samples,
        digits(record.per_second),
    ]


def _stored(one: Stored) -> tuple[Cell, ...]:
    work, setup, times = one.record.workload, one.record.setup, one.record.times
    return (
        work.name,
        work.batch,
        work.context or None,
        _runtime(one.record),
        setup.precision,
        digits(times.median * 1e3),
        digits(times.p99 * 1e3),
        times.samples,
        one.record.date,
        "package" if one.shipped else "here",
    )


def _runtime(record: Record) -> str:
    huge = "GLIBC_TUNABLES" in record.setup.options
    return f"{record.setup.runtime}{', huge pages' if huge else ''}"


def _words(record: Record) -> str:
    work = record.workload
    size = f"{work.parameters:,} parameters, batch {work.batch}"
    if work.kind == "decode":
        size += f", one token after {work.context:,} others"
    threads = record.setup.threads
    return f"{size}, {threads} thread{'s' if threads > 1 else ''}"


def _machine(hardware: Hardware) -> str:
    bandwidth = hardware.bandwidth_gbs
    memory = "" if bandwidth is None else (
        f"; memory gives {bandwidth:.3g} GB/s ({hardware.bandwidth_method})"
    )  # fmt: skip
    return f"Measured on {hardware.name}, {hardware.cores} cores, as {hardware.id}{memory}."
