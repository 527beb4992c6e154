"""Every combination of models and settings, in several processes, as a table in a file.

Owns ``sweep``. Imports the simulation, and the flow's helper for whole files.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gateformer.flow.files import write_whole
from gateformer.pim.places import refuse_place
from gateformer.pim.row import row
from gateformer.pim.screen import Answer, Block, Cell, percent
from gateformer.pim.waiting import waiting
from gateformer.quant.errors import ConfigError, GateformerError, Problems, ToolError
from gateformer.quant.replacing import replacing
from gateformer.quant.words import counted

WHOLE = ("channels", "batch")
"""Lists of whole numbers."""
SWITCHES = {"on": True, "off": False}
KNOWN = {"refresh": ("all-bank", "per-bank", "none"), "weights": ("bf16", "int8", "int4")}
"""What lists of names may hold."""
MOST = 10_000
"""Combinations of one sweep."""
Point = dict[str, Any]


def sweep(
    models: Sequence[str],
    lists: Mapping[str, str | None],
    *,
    tokens: int,
    processes: int | None,
    out: Path | None,
) -> Answer:
    """Simulate every combination.

    Parameters
    ----------
    models : sequence of str
        Names, or paths of ``config.json`` and GGUF files.
    lists : mapping of str to str or None
        Values of each setting, commas between them; None where the device decides.
    tokens : int
        Tokens generated in each.
    processes : int or None
        Processes at once; None for one a core.
    out : Path or None
        A ``.csv``, or a ``.parquet`` where pyarrow is installed.

    Raises
    ------
    ConfigError or Problems
        E005 for values that cannot be, E807 for names that are none and E003, E804, E805 or E811
        for files, all at once, before anything is simulated; a combination that does not fit the
        memory is a row that says so. Where no row is anything else, the exit code is the first's.
    """
    points = list(combinations(models, lists, tokens))
    if out is not None:
        prepare(out)
    found = run(points, processes or os.cpu_count() or 1)
    refusals = [one["error"] for one in found if one["error"] is not None]
    code = refusals[0].exit_code if len(refusals) == len(found) else 0
    found = [one | {"error": one["error"] and str(one["error"])} for one in found]
    if out is not None:
        store(out, found)
    varied = [key for key in (*lists, "model") if len({one[key] for one in found}) > 1]
    shown = ["model", *(key for key in lists if key in varied), *RESULTS]
    if any(one["error"] is not None for one in found):
        shown.append("error")
    rows = tuple(tuple(_cell(key, one[key]) for key in shown) for one in found)
    heads = tuple(RESULTS.get(key, key) for key in shown)
    alike = [key for key in lists if key not in varied and found[0][key] is not None]
    fixed = ", ".join(f"{key} {_cell(key, found[0][key])}" for key in alike)
    notes = [f"{counted(tokens, 'token')} each{f'; {fixed}' if fixed else ''}."]
    if any(one["batch"] > 1 for one in points):
        notes.append("With a batch, what is a token's is a step's: one token of each sequence.")
    if out is not None:
        notes.append(f"{out}: {counted(len(found), 'row')}, all columns.")
    notes += ["Nothing could be simulated."] if code else []
    notes += dict.fromkeys(map(str, refusals))
    data = {"rows": found} | ({"exit_code": code} if code else {})
    return Answer(data, (Block("Sweep", heads, rows),), tuple(notes), code)


RESULTS = {
    "ms_per_token": "ms a token",
    "mj_per_token": "mJ a token",
    "row_hit_rate": "row hits",
    "mac_utilization": "MACs in use",
}
"""Results on the screen; the file has all."""


def _cell(key: str, value: Any) -> Cell:
    if isinstance(value, bool):
        return "on" if value else "off"
    if key in ("row_hit_rate", "mac_utilization") and value is not None:
        return percent(value, 2)
    found: Cell = value.partition(" ")[0] if key == "error" and value else value
    return found


def combinations(
    models: Sequence[str], lists: Mapping[str, str | None], tokens: int
) -> Iterator[Point]:
    """Yield every combination, in the order given."""
    problems: list[GateformerError] = []
    values: dict[str, list[Any]] = {"model": list(models)}
    for key, text in lists.items():
        values[key] = [None] if text is None else list(_values(key, text, problems))
    problems += _strangers(values)
    Problems.raise_if_any(problems)
    count = 1
    for several in values.values():
        count *= len(several)
    if count > MOST:
        raise ConfigError(
            "E005", "too many combinations", layer=f"{count:,}", fix=f"At most {MOST:,} at once"
        )
    for combination in itertools.product(*values.values()):
        yield dict(zip(values, combination, strict=True), tokens=tokens)


def _strangers(values: Mapping[str, Sequence[Any]]) -> Iterator[GateformerError]:
    """Yield what is wrong with models, devices and mappings, before hours of simulation."""
    from gateformer.hw.pim import device, mapping
    from gateformer.quant.frontends.decoders import decoder_of

    looks = {"model": decoder_of, "device": device.load, "mapping": mapping.policy}
    for key, look in looks.items():
        for one in dict.fromkeys(values.get(key, ())):
            try:
                look(one)
            except Problems as several:
                yield from several.errors
            except GateformerError as error:
                yield error


def _values(key: str, text: str, problems: list[GateformerError]) -> Iterator[Any]:
    for word in text.split(","):
        one = word.strip()
        if key in WHOLE:
            if one.isdecimal() and len(one) < 7 and int(one) > 0:
                yield int(one)
                continue
            cause = "It takes whole numbers from 1 on, commas between them"
        elif key == "overlap":
            if one in SWITCHES:
                yield SWITCHES[one]
                continue
            cause = "It takes off, on or off,on"
        elif key in KNOWN and one:
            if one in KNOWN[key]:
                yield one
                continue
            cause = f"It takes {', '.join(KNOWN[key][:-1])} and {KNOWN[key][-1]}"
        elif one:
            yield one
            continue
        else:
            cause = "A value between two commas is missing"
        problems.append(ConfigError("E005", f"invalid --{key}", layer=one or text, cause=cause))


def run(points: Sequence[Point], processes: int) -> list[Point]:
    """Simulate all points; returns their rows in the same order."""
    with waiting(f"{len(points)} combinations", len(points)) as advance:
        if processes == 1 or len(points) == 1:
            found = []
            for point in points:
                found.append(row(point))
                advance(1)
            return found
        # A process that is forked while others hold locks may hang; a fresh one cannot.
        workers = min(processes, len(points))
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            waiting_for: dict[Future[Point], int] = {
                pool.submit(row, point): place for place, point in enumerate(points)
            }
            rows: list[Point | None] = [None] * len(points)
            try:
                for done in as_completed(waiting_for):
                    rows[waiting_for[done]] = done.result()
                    advance(1)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [one for one in rows if one is not None]


def prepare(out: Path) -> None:
    """Refuse a file that could not be written, before hours of simulation.

    Raises
    ------
    ConfigError
        E005 where its name ends in neither ``.csv`` nor ``.parquet``, else as ``refuse_place``.
    ToolError
        E505 for Parquet without pyarrow.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise ConfigError("E005", "invalid --out", layer=str(out), fix="Name a .csv or a .parquet")
    if out.suffix == ".parquet":
        _parquet()
    refuse_place(out)


def store(out: Path, rows: Sequence[Point]) -> None:
    """Write the rows, whole or not at all."""
    heads = list(dict.fromkeys(key for one in rows for key in one))
    if out.suffix == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, heads, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(out, text.getvalue())
        return
    arrow, parquet = _parquet()
    with replacing(out) as own:
        parquet.write_table(
            arrow.table({key: [one.get(key) for one in rows] for key in heads}), own
        )


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow  # type: ignore[import-not-found] # optional, and the only one that writes it
        import pyarrow.parquet  # type: ignore[import-not-found]
    except ImportError as error:
        raise ToolError(
            "E505",
            "Python package not installed",
            layer="pyarrow",
            fix="Install it, or write a .csv",
        ) from error
    return pyarrow, pyarrow.parquet
