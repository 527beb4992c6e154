"""Rows of records: what was measured, on this machine or where the record says.

Owns ``rows`` and ``lacking``. Imports the records.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from gateformer.baselines.record import Record
from gateformer.comparing.rows import Absent, Platform, Row
from gateformer.energy.figure import Energy
from gateformer.energy.meters.estimate import Constants

PLATFORM: dict[str, Platform] = {"cpu": "CPU", "gpu": "GPU"}


def rows(
    model: str,
    records: Iterable[Record],
    here: Container[str],
    constants: Constants | None = None,
) -> list[Row]:
    """Return a row a record.

    Parameters
    ----------
    model : str
        What the comparison calls the workload.
    records : iterable of Record
        All of that workload.
    here : container of str
        This machine's hardware ids: other machines' records say where and when.
    constants : Constants or None
        What joules of this machine's processor are estimated by where its records have none.
    """
    return [_row(model, one, here, constants) for one in records]


def estimated(record: Record, constants: Constants) -> Energy:
    """Return the joules of one inference by constants alone: labelled modelled."""
    setup = record.setup
    busy = min(setup.threads, constants.threads)
    watts = constants.cpu_watts * busy / constants.threads + constants.memory_watts
    return Energy(
        value=watts / record.per_second,
        kind="modelled",
        source=(
            f"estimate, nothing was metered: ({constants.cpu_watts:g} W x {busy} of "
            f"{constants.threads} threads + {constants.memory_watts:g} W of memory) x time; "
            f"{constants.source}"
        ),
        boundary="package and memory",
    )


def lacking(model: str, platform: Platform, reasons: Iterable[tuple[str, str]]) -> list[Absent]:
    """Return what could not be measured; what shares a reason shares a row."""
    found: dict[str, list[str]] = {}
    for key, why in reasons:
        found.setdefault(why, []).append(key)
    return [
        Absent(model=model, platform=platform, reason=f"{', '.join(keys)}: {why}")
        for why, keys in found.items()
    ]


def _row(model: str, record: Record, here: Container[str], constants: Constants | None) -> Row:
    hardware, setup, times = record.hardware, record.setup, record.times
    own = hardware.id in here
    energy = record.energy
    if energy is None and own and hardware.kind == "cpu" and constants is not None:
        energy = estimated(record, constants)
    return Row(
        model=model,
        platform=PLATFORM[hardware.kind],
        machine=hardware.name,
        system=_system(record),
        version=f"{setup.runtime} {setup.version}",
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
        energy=energy,
        energy_note=record.energy_note,
        transfer=_transfer(record),
        exactness=_exactness(record),
        load=max(record.load, 0.0) / max(hardware.cores, 1),
        source=record.command,
        recorded="" if own else f"{hardware.name} ({hardware.id}), {record.date}",
    )


def _system(record: Record) -> str:
    pages = ", huge pages" if "GLIBC_TUNABLES" in record.setup.options else ""
    runtime = record.setup.runtime
    eager = ", eager" if record.setup.tier == "eager" and "eager" not in runtime else ""
    return runtime + eager + pages


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
