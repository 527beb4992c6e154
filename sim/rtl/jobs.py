"""What a bench does and what it saw, as files between the parent and the simulation's process.

Owns ``Job``, ``Record`` and their files. Imports numpy and the stall patterns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateformer.sim.rtl.streams import Beats, BoolArray, ByteArray
from gateformer.sim.stalls import StallPattern

ClockArray = NDArray[np.int64]
FOLDER = "GATEFORMER_BENCH_FOLDER"
"""Environment variable by which the bench's process is told where its jobs lie."""


@dataclass(frozen=True, slots=True)
class Watch:
    """An internal signal to record.

    Attributes
    ----------
    signal, valid : str
        Hierarchical names below the bare core ``gf_<name>``, levels joined by dots; ``signal``
        is recorded at the end of every clock in which ``valid`` is 1.
    bits : int
        Width of the signal.
    """

    signal: str
    valid: str
    bits: int


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One run from reset: beats to send, and when to stop.

    Attributes
    ----------
    inputs : mapping of str to Beats
        By the input's port name.
    outputs : mapping of str to int
        Beats that are to come, by the output's port name.
    stalls : StallPattern or None
        None: sources and sinks never stall.
    drain : int
        Clocks to watch for surplus beats after the last one expected.
    patience : int
        Clocks without any handshake after which the run ends as hung.
    abort : int or None
        Clock at which the run ends whatever is under way; the next job's reset follows.
    watches : mapping of str to Watch
        Internal signals to record, by name.
    ties : mapping of str to int
        Further inputs of the top, held at a value from reset on.
    """

    inputs: Mapping[str, Beats]
    outputs: Mapping[str, int]
    stalls: StallPattern | None = None
    drain: int = 50
    patience: int = 5000
    abort: int | None = None
    watches: Mapping[str, Watch] = field(default_factory=dict)
    ties: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What one run showed; clock 0 is the first one after reset.

    Attributes
    ----------
    sent : mapping of str to ndarray of int
        Clock of every input handshake.
    received : mapping of str to ndarray of int
        Clock of every output handshake.
    data : mapping of str to ndarray of uint8, (beats, bytes)
        ``tdata`` of every output handshake.
    last : mapping of str to ndarray of bool
        ``tlast`` of every output handshake.
    problems : tuple of str
        Breaches of the stream protocol.
    frame_error : int or None
        First clock in which ``frame_error`` was high.
    clocks : int
        Clocks run.
    watched : mapping of str to ndarray of uint8, (records, bits)
        Every record of the watched signals, bits as the characters 0, 1, x and z, highest first.
    """

    sent: Mapping[str, ClockArray]
    received: Mapping[str, ClockArray]
    data: Mapping[str, ByteArray]
    last: Mapping[str, BoolArray]
    problems: tuple[str, ...] = field(default=())
    frame_error: int | None = None
    clocks: int = 0
    watched: Mapping[str, ByteArray] = field(default_factory=dict)


def save_jobs(folder: Path, jobs: Sequence[Job]) -> None:
    """Write jobs for the bench."""
    arrays: dict[str, NDArray[np.generic]] = {}
    settings = []
    for index, job in enumerate(jobs):
        for name, beats in job.inputs.items():
            arrays[f"{index}/{name}/data"] = beats.data
            arrays[f"{index}/{name}/last"] = beats.last
            if beats.user is not None:
                arrays[f"{index}/{name}/user"] = beats.user
        settings.append(
            {
                "inputs": list(job.inputs),
                "outputs": dict(job.outputs),
                "stalls": None if job.stalls is None else asdict(job.stalls),
                "drain": job.drain,
                "patience": job.patience,
                "abort": job.abort,
                "watches": {name: asdict(watch) for name, watch in job.watches.items()},
                "ties": dict(job.ties),
            }
        )
    np.savez(folder / "jobs.npz", **arrays)  # type: ignore[arg-type]
    (folder / "jobs.json").write_text(json.dumps(settings), encoding="utf-8")


def load_jobs(folder: Path) -> list[Job]:
    """Read the jobs, in the bench."""
    jobs = []
    with np.load(folder / "jobs.npz") as arrays:
        for index, item in enumerate(json.loads((folder / "jobs.json").read_text("utf-8"))):
            inputs = {
                name: Beats(
                    arrays[f"{index}/{name}/data"],
                    arrays[f"{index}/{name}/last"],
                    arrays.get(f"{index}/{name}/user"),
                )
                for name in item["inputs"]
            }
            stalls = item["stalls"]
            jobs.append(
                Job(
                    inputs,
                    item["outputs"],
                    None if stalls is None else StallPattern(**stalls),
                    item["drain"],
                    item["patience"],
                    item["abort"],
                    {name: Watch(**watch) for name, watch in item["watches"].items()},
                    item["ties"],
                )
            )
    return jobs


def save_records(folder: Path, records: Sequence[Record]) -> None:
    """Write what the bench saw."""
    arrays: dict[str, NDArray[np.generic]] = {}
    settings = []
    for index, record in enumerate(records):
        for name, clocks in record.sent.items():
            arrays[f"{index}/{name}/clocks"] = clocks
        for name, clocks in record.received.items():
            arrays[f"{index}/{name}/clocks"] = clocks
            arrays[f"{index}/{name}/data"] = record.data[name]
            arrays[f"{index}/{name}/last"] = record.last[name]
        for name, bits in record.watched.items():
            arrays[f"{index}/{name}/bits"] = bits
        settings.append(
            {
                "inputs": list(record.sent),
                "outputs": list(record.received),
                "problems": list(record.problems),
                "frame_error": record.frame_error,
                "clocks": record.clocks,
                "watched": list(record.watched),
            }
        )
    np.savez(folder / "records.npz", **arrays)  # type: ignore[arg-type]
    (folder / "records.json").write_text(json.dumps(settings), encoding="utf-8")


def load_records(folder: Path) -> list[Record]:
    """Read what the bench saw."""
    records = []
    with np.load(folder / "records.npz") as arrays:
        for index, item in enumerate(json.loads((folder / "records.json").read_text("utf-8"))):
            inputs, outputs = item["inputs"], item["outputs"]
            records.append(
                Record(
                    {name: arrays[f"{index}/{name}/clocks"] for name in inputs},
                    {name: arrays[f"{index}/{name}/clocks"] for name in outputs},
                    {name: arrays[f"{index}/{name}/data"] for name in outputs},
                    {name: arrays[f"{index}/{name}/last"] for name in outputs},
                    tuple(item["problems"]),
                    item["frame_error"],
                    item["clocks"],
                    {name: arrays[f"{index}/{name}/bits"] for name in item["watched"]},
                )
            )
    return records
