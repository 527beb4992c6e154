"""The engine: runs steps in order, reuses those whose inputs are unchanged, resumes the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from gateformer.config.schema import Config
from gateformer.config.write import to_toml
from gateformer.flow.files import digest_tree, disk_full, write_whole
from gateformer.flow.keys import closure, key_of
from gateformer.flow.progress import Quiet, Watcher
from gateformer.flow.result import Result, Row, Status
from gateformer.flow.state import Record, RunFolder, save_record, write_metrics
from gateformer.flow.step import Outcome, Step
from gateformer.flow.view import Held
from gateformer.quant.errors import GateformerError, MismatchError, ToolError

RESOLVED = "config.resolved.toml"


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
    view = Held(config, folder, watcher)
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
    view: Held,
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
    key = key_of(doer, view.config, digests)
    record = place.record(folder)
    if record is not None and record.key == key and not (record.failed or step.fresh):
        status = "reused"
    else:
        watcher.started(step.name)
        try:
            record, error = _make(place, view, doer, folder, key)
        except (MismatchError, ToolError) as raised:
            note = f"{raised.code} {raised.what}"
            record, error = Record(step.name, key, 0.0, note=note, failed=True), raised
            with place.staged(folder) as partial:
                save_record(partial, record)
        status = "failed" if error else "done"
        result.errors += [error] if error else []
    place.took(record)
    view.spent[step.name] = record.seconds
    if status != "failed":
        view.finished[step] = place.path / folder
        digests[step] = record.digest
    result.metrics.update(record.metrics)
    result.rows.append(Row(step.name, status, record.seconds, record.note))
    watcher.ended(result.rows[-1])


def _make(
    place: RunFolder, view: Held, doer: Step[Any], folder: str, key: str
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
