"""Studies from their files to the page: what is recorded is kept, the rest is run.

Owns ``study``. Imports points, running, rows and the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from gateformer.flow.files import write_whole
from gateformer.quant.errors import GateformerError, Problems
from gateformer.study import page, pareto
from gateformer.study.points import Point, points
from gateformer.study.rows import Row, read_rows, rows_text
from gateformer.study.running import TOOLS, Place, point_key, run_point
from gateformer.study.schema import Study, read
from gateformer.study.training import PACKAGES, training_key, versions

Say = Callable[[str], None]


def study(
    files: Sequence[Path], out: Path, work: Path, jobs: int, say: Say, *, recorded: bool = False
) -> list[Row]:
    """Run studies and write their page.

    ``OUT/<name>.json`` holds the rows of a study, written after each point, ``OUT/<name>.svg`` its
    plot; ``OUT.md`` is the page.

    Parameters
    ----------
    files : sequence of Path
        The studies' files, in the order of the page.
    out, work : Path
        The page's folder; the one of trainings and runs.
    jobs : int
        Processes.
    say : callable
        Takes lines about the progress.
    recorded : bool
        Run nothing: write the page of the rows that there are.

    Returns
    -------
    list of Row
        Those without figures.

    Raises
    ------
    Problems or GateformerError
        All that is wrong with any study, before anything runs; E705 for damaged rows.
    """
    wanted = _checked(files)
    out.mkdir(parents=True, exist_ok=True)
    done: list[tuple[Study, list[Row], dict[str, str]]] = []
    for one, todo in wanted:
        place = Place(Path(one.data), work)
        store = out / f"{one.name}.json"
        rows, made_with = read_rows(store)
        if not recorded:
            rows = _run(todo, place, rows, store, jobs, say)
            made_with = versions(PACKAGES + TOOLS)
        done.append((one, rows, made_with))
        write_whole(out / f"{one.name}.svg", pareto.plot(one, rows))
    write_whole(out.with_suffix(".md"), page.markdown(done, out.name))
    return [row for _, rows, _ in done for row in rows if row.failed]


def _checked(files: Sequence[Path]) -> list[tuple[Study, list[Point]]]:
    """Return the studies with their points; all faults at once."""
    wrong: list[GateformerError] = []
    found = []
    for path in files:
        try:
            one = read(path)
            found.append((one, points(one)))
        except Problems as several:
            wrong += several.errors
        except GateformerError as error:
            wrong.append(error)
    Problems.raise_if_any(wrong)
    return found


def _run(
    todo: Sequence[Point], place: Place, known: Sequence[Row], store: Path, jobs: int, say: Say
) -> list[Row]:
    """Return a row a point; what is recorded under the same key is not run again."""
    keys = {point.slug: point_key(point, place) for point in todo}
    by_key = {row.key: row for row in known if not row.failed}
    rows: dict[str, Row] = {}
    left = []
    for point in todo:
        if (row := by_key.get(keys[point.slug])) is not None:
            rows[point.slug] = row
            say(f"{point.study}/{point.slug}: recorded")
        else:
            left.append(point)
    for point, row in _made(left, keys, place, jobs, say):
        rows[point.slug] = row
        told = row.failed or f"{row['integer']} right, {row['lut']} LUT, {row['latency']} clocks"
        say(f"{point.study}/{point.slug}: {told}")
        # Written after each point, so that an interrupted study loses none.
        kept = [rows[one.slug] for one in todo if one.slug in rows]
        write_whole(store, rows_text(kept, versions(PACKAGES + TOOLS)))
    found = [rows[point.slug] for point in todo]
    write_whole(store, rows_text(found, versions(PACKAGES + TOOLS)))
    return found


def _made(
    left: Sequence[Point], keys: dict[str, str], place: Place, jobs: int, say: Say
) -> Iterator[tuple[Point, Row]]:
    """Yield points with their rows; points of one training stay in one process."""
    groups: dict[str, list[Point]] = {}
    for point in left:
        groups.setdefault(training_key(point, place.data), []).append(point)
    if jobs == 1:
        for group in groups.values():
            for point in group:
                yield point, run_point(point, keys[point.slug], place, say)
        return
    # Spawned, not forked: torch has threads.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        started = [pool.submit(_group, group, keys, place) for group in groups.values()]
        for future in started:
            yield from future.result()


def _group(group: list[Point], keys: dict[str, str], place: Place) -> list[tuple[Point, Row]]:
    return [(point, run_point(point, keys[point.slug], place, _nothing)) for point in group]


def _nothing(line: str) -> None:
    """Say nothing: lines of several processes would mix."""
