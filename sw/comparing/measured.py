"""Rows of records: what was measured, on this machine or where the record says.

Owns ``rows`` and ``lacking``. Imports the records.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable

from gateformer.baselines.record import Hardware, Record
from gateformer.baselines.store import key
from gateformer.comparing.rows import Absent, Platform, Row, Transfer, tail
from gateformer.energy.figure import Energy
from gateformer.energy.meters.estimate import Constants

PLATFORM: dict[str, Platform] = {"cpu": "CPU", "gpu": "GPU"}
STATE = ("kernel", "microcode", "caches", "virtual machine", "driver")
"""Details that differ between two machines of one id, or after an update of one."""
Key = tuple[str | int | bool, ...]
"""Of a record in the store."""


def same(one: Hardware, other: Hardware) -> bool:
    """Whether two are one machine in one state, as far as their records tell."""
    return (one.id, one.kind) == (other.id, other.kind) and all(
        one.details.get(name) == other.details.get(name) for name in STATE
    )


def rows(
    model: str,
    records: Iterable[Record],
    here: Collection[Hardware],
    constants: Constants | None = None,
    fresh: Container[Key] = frozenset(),
) -> list[Row]:
    """Return a row a record.

    Parameters
    ----------
    model : str
        What the comparison calls the workload.
    records : iterable of Record
        All of that workload.
    here : collection of Hardware
        This machine's processor and GPU.
    constants : Constants or None
        What joules of this machine's processor are estimated by where its records have none.
    fresh : container of tuple
        Keys of what this command measured: all other records say where and when.
    """
    return [_row(model, one, here, constants, fresh) for one in records]


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
    for candidate, why in reasons:
        found.setdefault(why, []).append(candidate)
    return [
        Absent(model=model, platform=platform, reason=f"{', '.join(keys)}: {why}")
        for why, keys in found.items()
    ]


def _row(
    model: str,
    record: Record,
    here: Collection[Hardware],
    constants: Constants | None,
    fresh: Container[Key],
) -> Row:
    hardware, setup, times = record.hardware, record.setup, record.times
    own = any(same(hardware, one) for one in here)
    where = "this machine" if own else f"{hardware.name} ({hardware.id})"
    transfer, words = _transfer(record)
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
        p99=tail(times.p99, times.samples),
        samples=times.samples,
        per_second=record.per_second,
        gbs=record.gbs or None,
        share=record.share or None,
        energy=energy,
        energy_note=record.energy_note,
        transfer=transfer,
        transfer_note=words,
        exactness=_exactness(record),
        load=max(record.load, 0.0) / max(hardware.cores, 1),
        source=record.command,
        recorded="" if own and key(record) in fresh else f"{where}, {record.date}",
        here=own,
    )


def _system(record: Record) -> str:
    pages = ", huge pages" if record.pages == "huge" else ""
    runtime = record.setup.runtime
    eager = ", eager" if record.setup.tier == "eager" and "eager" not in runtime else ""
    return runtime + eager + pages


def _transfer(record: Record) -> tuple[Transfer, str]:
    if record.hardware.kind == "cpu":
        return "device", "inputs and outputs lie in its own memory"
    if record.transfer:
        return "with host", "from the host's memory and back to it"
    return "device", "inputs and outputs lie in the GPU's memory"


def _exactness(record: Record) -> str:
    if record.difference is None:
        return "not compared"
    if record.difference == 0:
        return "equal to the reference"
    return f"within {record.difference:.1e} of the reference"
