"""Studies from their files to the page: what is recorded is kept, the rest is run.

Owns ``study``. Imports points, running, rows and the page.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path

from gateformer.flow.files import write_whole
from gateformer.quant.errors import GateformerError, Problems
from gateformer.quant.train.held import locked
from gateformer.study import page, pareto
from gateformer.study.points import Point, points
from gateformer.study.rows import Row, read_rows, rows_text
from gateformer.study.running import TOOLS, Place, point_key, run_point
from gateformer.study.schema import Study, read
from gateformer.study.training import PACKAGES, training_key, versions
from gateformer.study.workers import rows_of

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
        All that is wrong with any study, before anything runs; E704 where another study works in
        a folder, E705 for damaged rows.
    """
    wanted = _checked(files)
    alone = "Another study works in it"
    with (
        locked(out / ".rows.lock", alone, "Wait for it, or choose another folder with --out"),
        nullcontext()
        if recorded
        else locked(
            work / ".study.lock", alone, "Wait for it, or choose another folder with --work"
        ),
    ):
        return _study(wanted, out, work, jobs, say, recorded)


def _study(
    wanted: Sequence[tuple[Study, list[Point]]],
    out: Path,
    work: Path,
    jobs: int,
    say: Say,
    recorded: bool,
) -> list[Row]:
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
    with closing(_made(left, keys, place, jobs, say)) as made:
        for point, row in made:
            rows[point.slug] = row
            figures = f"{row['integer']} right, {row['lut']} LUT, {row['latency']} clocks"
            say(f"{point.study}/{point.slug}: {row.failed or figures}")
            # Written after each point, so that an interrupted study loses none.
            kept = [rows[one.slug] for one in todo if one.slug in rows]
            write_whole(store, rows_text(kept, versions(PACKAGES + TOOLS)))
    found = [rows[point.slug] for point in todo]
    write_whole(store, rows_text(found, versions(PACKAGES + TOOLS)))
    return found


def _made(
    left: Sequence[Point], keys: dict[str, str], place: Place, jobs: int, say: Say
) -> Generator[tuple[Point, Row]]:
    """Yield points with their rows; points of one training stay in one process."""
    groups: dict[str, list[Point]] = {}
    for point in left:
        groups.setdefault(training_key(point, place.data), []).append(point)
    if jobs == 1:
        for group in groups.values():
            for point in group:
                yield point, run_point(point, keys[point.slug], place, say)
        return
    with closing(rows_of([*groups.values()], keys, place, jobs, run_point)) as rows:
        yield from rows
