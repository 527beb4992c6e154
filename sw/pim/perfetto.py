"""Traces for Perfetto and chrome://tracing, written slice by slice.

Owns ``Tally`` and ``write``. Imports the simulation's slices and the flow's helpers. A trace's
tracks are threads of one process; what a slice covers is in its arguments, in clocks, so that sums
are exact whatever the viewer makes of microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from gzip import GzipFile
from io import TextIOWrapper
from pathlib import Path
from typing import IO, BinaryIO

from gateformer.flow.files import disk_full
from gateformer.quant.replacing import replacing
from gateformer.sim.pim.parts import Slice


@dataclass(slots=True)
class Tally:
    """What was written.

    Attributes
    ----------
    slices : int
        Slices.
    clocks : dict of str to int
        Clocks on each track.
    """

    slices: int = 0
    clocks: dict[str, int] = field(default_factory=dict)


def write(path: Path, slices: Iterable[Slice], clock_ns: float, about: Mapping[str, str]) -> Tally:
    """Write a trace whole or not at all; compressed where the name ends in ``.gz``.

    Parameters
    ----------
    path : Path
        Where to.
    slices : iterable of Slice
        In any order; tracks are shown in the order of their first slice.
    clock_ns : float
        Nanoseconds a clock.
    about : mapping of str to str
        Model, device and what else the trace's reader should know.

    Raises
    ------
    RunError
        E701 where the disk is full; the file is then not there.
    """
    try:
        with replacing(path) as own, own.open("wb") as raw:
            if path.suffix == ".gz":
                # No name and no time inside: the same slices give the same bytes.
                with GzipFile("", "wb", 5, raw, mtime=0) as packed, _text(packed) as file:
                    tally = _write(file, slices, clock_ns, about)
            else:
                with _text(raw) as file:
                    tally = _write(file, slices, clock_ns, about)
    except OSError as error:
        if full := disk_full(path.parent, error):
            raise full from error
        raise
    return tally


def _text(stream: BinaryIO | GzipFile) -> TextIOWrapper:
    return TextIOWrapper(stream, encoding="utf-8", newline="\n")


def _write(
    file: IO[str], slices: Iterable[Slice], clock_ns: float, about: Mapping[str, str]
) -> Tally:
    tally, tracks = Tally(), dict[str, int]()
    name = json.dumps(about.get("model", "gateformer"))
    file.write('{"displayTimeUnit":"ns","otherData":' + json.dumps(dict(about)))
    file.write(',"traceEvents":[\n{"ph":"M","pid":1,"name":"process_name","args":{"name":')
    file.write(f"{name}}}}}")
    micro = clock_ns / 1000
    for one in slices:
        track = tracks.get(one.track)
        if track is None:
            track = tracks[one.track] = len(tracks) + 1
            for kind, value in (("name", json.dumps(one.track)), ("sort_index", str(track))):
                argument = f'"{kind}":{value}'
                file.write(
                    f',\n{{"ph":"M","pid":1,"tid":{track},"name":"thread_{kind}",'
                    f'"args":{{{argument}}}}}'
                )
        file.write(
            f',\n{{"ph":"X","pid":1,"tid":{track},"name":{json.dumps(one.name)},'
            f'"ts":{one.start * micro:.6f},"dur":{one.clocks * micro:.6f},'
            f'"args":{{"clock":{one.start},"clocks":{one.clocks}}}}}'
        )
        tally.slices += 1
        tally.clocks[one.track] = tally.clocks.get(one.track, 0) + one.clocks
    file.write("\n]}\n")
    return tally
