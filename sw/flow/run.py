"""The engine: runs steps in order, reuses those whose inputs are unchanged, resumes the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeVar, cast

from gateformer.config.schema import Config
from gateformer.config.write import to_toml
from gateformer.flow.progress import Quiet, Watcher
from gateformer.flow.state import (
    Record,
    RunFolder,
    digest_file,
    digest_of,
    digest_tree,
    discard,
    disk_full,
    save_record,
    write_metrics,
    write_whole,
)
from gateformer.flow.step import Metric, Outcome, Step
from gateformer.quant.errors import GateformerError, MismatchError, Problems, ToolError

Made = TypeVar("Made")
Status = Literal["done", "reused", "skipped", "off", "failed"]
RESOLVED = "config.resolved.toml"
SCRATCH = "scratch"
SOURCES = frozenset({".py", ".v", ".toml", ".cpp", ".j2", ".tcl", ".html", ".css", ".js"})


@dataclass(frozen=True, slots=True)
class Row:
    """One step of a run, for the table at the end.

    Attributes
    ----------
    step : str
        Its name.
    status : str
        ``done``, ``reused``, ``skipped`` (something is missing), ``off`` or ``failed``.
    seconds : float
        How long it took, now or when it was made.
    note : str
        What it found, or why it was left out.
    """

    step: str
    status: Status
    seconds: float
    note: str


@dataclass(slots=True)
class Result:
    """A run so far.

    Attributes
    ----------
    folder : Path
        Where it is.
    rows : list of Row
        Steps in order.
    metrics : dict
        All metrics.
    errors : list of GateformerError
        What steps found wrong.
    """

    folder: Path
    rows: list[Row] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    errors: list[GateformerError] = field(default_factory=list)

    @property
    def error(self) -> GateformerError | None:
        """What was found wrong, all together; None where nothing was."""
        if len(self.errors) > 1:
            return Problems(self.errors)
        return self.errors[0] if self.errors else None


class Memory:
    """A view in memory alone: products are made when they are first asked for."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.spent: dict[str, float] = {}
        self._made: dict[type[Step[Any]], object] = {}

    @property
    def scratch(self) -> Path:
        """No folder: nothing is written."""
        raise RuntimeError("a flow in memory has no scratch folder")

    def get(self, step: type[Step[Made]]) -> Made:
        """Return what a step makes."""
        if step not in self._made:
            start = perf_counter()
            made = step().make(self)
            self._made[step] = made
            self.spent[step.name] = perf_counter() - start
        return cast(Made, self._made[step])

    def progress(self, done: int, total: int) -> None:
        """Tell nobody."""


class _Held(Memory):
    """A view of a run's folder: finished steps are loaded."""

    def __init__(self, config: Config, folder: Path, watcher: Watcher) -> None:
        super().__init__(config)
        self.progress = watcher.progress  # type: ignore[method-assign] # the watcher's own
        self.finished: dict[type[Step[Any]], Path] = {}
        self._scratch = folder / SCRATCH / "none"

    @property
    def scratch(self) -> Path:
        return self._scratch

    def renew_scratch(self, step: str) -> None:
        self._scratch = self._scratch.parent / step
        discard(self._scratch)
        self._scratch.mkdir(parents=True)

    def drop_scratch(self) -> None:
        discard(self._scratch)
        with suppress(OSError):
            self._scratch.parent.rmdir()

    def get(self, step: type[Step[Made]]) -> Made:
        if step in self.finished and step not in self._made:
            made = step().load(self, self.finished[step])
            self._made[step] = made
        return super().get(step)

    def keep(self, step: type[Step[Any]], product: object) -> None:
        self._made[step] = product


def run(
    config: Config,
    steps: Sequence[type[Step[Any]]],
    folder: Path,
    targets: Iterable[str] = (),
    watcher: Watcher | None = None,
) -> Result:
    """Run steps into a folder, reusing what is finished there.

    Parameters
    ----------
    config : Config
        The resolved configuration.
    steps : sequence of Step classes
        All steps of the flow; a step's number is its place.
    folder : Path
        The run's folder.
    targets : iterable of str
        Names of the steps to run, with all that they need; all steps where empty.
    watcher : Watcher, optional
        Told of each step.

    Returns
    -------
    Result
        With the mismatches and the failures of tools, if any; steps that do not need the one that
        failed are done all the same. Other errors are raised, and finished steps stay.
    """
    watcher = watcher or Quiet()
    result, folder = Result(folder), folder.absolute()
    place = RunFolder(folder)
    view = _Held(config, folder, watcher)
    wanted = closure(steps, targets)
    for step in steps:
        if step in wanted:
            step().off(config)
    digests: dict[type[Step[Any]], str] = {}
    try:
        with place.held():
            write_whole(folder / RESOLVED, to_toml(config))
            write_metrics(folder, {})
            for number, step in enumerate(steps, 1):
                if step in wanted:
                    _one(place, view, step, f"{number:02}-{step.name}", digests, watcher, result)
                    write_metrics(folder, result.metrics)
    except Exception as error:
        if full := disk_full(folder, error):
            raise full from error
        raise
    return result


def _one(
    place: RunFolder,
    view: _Held,
    step: type[Step[Any]],
    folder: str,
    digests: dict[type[Step[Any]], str],
    watcher: Watcher,
    result: Result,
) -> None:
    """Run, reuse or leave out one step."""
    doer = step()
    missing = [need.name for need in step.needs if need not in digests]
    off = doer.off(view.config)
    if off or missing:
        reason = off.reason if off else f"it needs {', '.join(missing)}"
        status: Status = "off" if off and off.chosen else "skipped"
        result.metrics[f"{step.name}.skipped"] = reason
        result.rows.append(Row(step.name, status, 0.0, reason))
        watcher.ended(result.rows[-1])
        return
    key = _key(doer, view.config, digests)
    record = place.record(folder)
    if record is not None and record.key == key and not (record.failed or step.fresh):
        status = "reused"
    else:
        watcher.started(step.name)
        try:
            record, error = _make(place, view, doer, folder, key)
        except (MismatchError, ToolError) as raised:
            discard(place.path / folder)
            note = f"{raised.code} {raised.what}"
            record, error = Record(step.name, key, 0.0, note=note, failed=True), raised
        status = "failed" if error else "done"
        result.errors += [error] if error else []
    view.spent[step.name] = record.seconds
    if status != "failed":
        view.finished[step] = place.path / folder
        digests[step] = record.digest
    result.metrics.update(record.metrics)
    result.rows.append(Row(step.name, status, record.seconds, record.note))
    watcher.ended(result.rows[-1])


def _make(
    place: RunFolder, view: _Held, doer: Step[Any], folder: str, key: str
) -> tuple[Record, GateformerError | None]:
    start = perf_counter()
    view.renew_scratch(doer.name)
    with place.staged(folder) as partial:
        product = doer.make(view)
        view.spent[doer.name] = perf_counter() - start
        outcome: Outcome = doer.write(view, product, partial)
        record = Record(
            step=doer.name,
            key=key,
            seconds=round(perf_counter() - start, 3),
            outputs=digest_tree(partial),
            metrics=dict(outcome.metrics),
            note=outcome.note,
            failed=outcome.error is not None,
        )
        save_record(partial, record)
    view.keep(type(doer), product)
    if outcome.error is None:
        view.drop_scratch()
    return record, outcome.error


def _key(doer: Step[Any], config: Config, digests: Mapping[type[Step[Any]], str]) -> str:
    tree = config.model_dump(mode="json")
    return digest_of(
        {
            "step": doer.name,
            "settings": {key: _dig(tree, key) for key in doer.uses},
            "files": [digest_file(path) for path in doer.files(config)],
            "needs": {n.name: digests.get(n) for n in (*doer.needs, *doer.wants)},
            "code": [code_digest(floor) for floor in ("sw/flow", *doer.floors)],
        }
    )


def _dig(tree: Any, key: str) -> object:
    for part in key.split("."):
        tree = tree[part]
    return cast(object, tree)


@cache
def code_digest(floor: str) -> str:
    """Return the hash of a package's sources: ``quant``, ``hw``, ``sim`` or ``sw/<package>``."""
    name = floor.replace("sw/", "gateformer/") if floor != "sw" else "gateformer"
    name = name.replace("/", ".") if "/" in name or name == "gateformer" else f"gateformer.{name}"
    root = Path(str(files(name)))
    paths = (path for path in root.rglob("*") if path.suffix in SOURCES)
    return digest_of([(str(path.relative_to(root)), digest_file(path)) for path in sorted(paths)])


def closure(steps: Sequence[type[Step[Any]]], targets: Iterable[str]) -> frozenset[type[Step[Any]]]:
    """Return the steps of the given names and all that they need; all where none is given."""
    names = set(targets)
    wanted = {step for step in steps if not names or step.name in names}
    for step in reversed(steps):
        if step in wanted:
            wanted.update(step.needs)
    return frozenset(wanted)
