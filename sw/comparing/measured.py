"""Rows of records: what was measured, on this machine or where the record says.

Owns ``rows``, ``best`` and ``lacking``. Imports the records and the failures of measuring.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateformer.baselines.measure import Failure
from gateformer.baselines.record import Record
from gateformer.comparing.rows import Absent, Platform, Row

PLATFORM: dict[str, Platform] = {"cpu": "CPU", "gpu": "GPU"}


def rows(model: str, records: Iterable[Record], here: str) -> list[Row]:
    """Return a row a record.

    Parameters
    ----------
    model : str
        What the comparison calls the workload.
    records : iterable of Record
        All of that workload.
    here : str
        This machine's hardware id: other machines' records say where and when.
    """
    return [_row(model, one, here) for one in newest(records)]


def newest(records: Iterable[Record]) -> list[Record]:
    """Return the last record of each machine and setup."""
    found: dict[tuple[object, ...], Record] = {}
    for one in sorted(records, key=lambda record: record.date):
        setup = one.setup
        found[
            one.hardware.id, setup.runtime, setup.precision, setup.tier, setup.threads, one.transfer
        ] = one
    return list(found.values())


def lacking(model: str, platform: Platform, failures: Sequence[Failure]) -> list[Absent]:
    """Return what could not be measured, and why."""
    return [
        Absent(model=model, platform=platform, reason=f"{one.key}: {one.error}") for one in failures
    ]


def _row(model: str, record: Record, here: str) -> Row:
    hardware, setup, times = record.hardware, record.setup, record.times
    own = hardware.id == here
    return Row(
        model=model,
        platform=PLATFORM[hardware.kind],
        machine=hardware.name,
        system=_system(record),
        tier=setup.tier,
        precision=setup.precision,
        threads=setup.threads if hardware.kind == "cpu" else None,
        batch=record.workload.batch,
        kind="measured",
        median=times.median,
        p90=times.p90,
        p99=times.p99,
        samples=times.samples,
        per_second=record.per_second,
        gbs=record.gbs or None,
        share=record.share or None,
        energy=record.energy,
        energy_note=record.energy_note,
        transfer=_transfer(record),
        exactness=_exactness(record),
        source=record.command,
        recorded="" if own else f"{hardware.name} ({hardware.id}), {record.date}",
    )


def _system(record: Record) -> str:
    setup = record.setup
    return f"{setup.runtime} {setup.version}" + ("" if setup.tier == "tuned" else f", {setup.tier}")


def _transfer(record: Record) -> str:
    if record.hardware.kind == "cpu":
        return "inputs lie in memory"
    return "to the device and back: in" if record.transfer else "to the device and back: not in"


def _exactness(record: Record) -> str:
    if record.difference is None:
        return "not compared"
    if record.difference == 0:
        return "equal to the reference"
    return f"within {record.difference:.1e} of the reference"
