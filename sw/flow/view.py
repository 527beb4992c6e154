"""What steps see of the flow: in memory alone, or with a run's folder behind it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar, cast

from gateformer.config.schema import Config
from gateformer.flow.files import discard
from gateformer.flow.progress import Watcher
from gateformer.flow.step import Step

Made = TypeVar("Made")
SCRATCH = "scratch"


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

    def has(self, step: type[Step[Any]]) -> bool:
        """Whether a step was made already."""
        return step in self._made

    def progress(self, done: int, total: int) -> None:
        """Tell nobody."""

    def say(self, line: str) -> None:
        """Tell nobody."""


class Held(Memory):
    """A view of a run's folder: finished steps are loaded."""

    def __init__(self, config: Config, folder: Path, watcher: Watcher) -> None:
        super().__init__(config)
        self.progress = watcher.progress  # type: ignore[method-assign] # the watcher's own
        self.say = watcher.say  # type: ignore[method-assign] # likewise
        self.finished: dict[type[Step[Any]], Path] = {}
        self._scratch = folder / SCRATCH / "none"

    @property
    def scratch(self) -> Path:
        """The present step's folder for outside tools."""
        return self._scratch

    def renew_scratch(self, step: str) -> None:
        """Give a step an empty folder for outside tools."""
        self._scratch = self._scratch.parent / step
        if self._scratch.parent.is_symlink():
            discard(self._scratch.parent)
        discard(self._scratch)
        self._scratch.mkdir(parents=True)

    def drop_scratch(self) -> None:
        """Remove it: the step found nothing wrong."""
        discard(self._scratch)
        with suppress(OSError):
            self._scratch.parent.rmdir()

    def get(self, step: type[Step[Made]]) -> Made:
        """Return what a step makes, or made."""
        if step in self.finished and step not in self._made:
            made = step().load(self, self.finished[step])
            self._made[step] = made
        return super().get(step)

    def has(self, step: type[Step[Any]]) -> bool:
        """Whether a step was done, in this run or an earlier one."""
        return step in self.finished

    def keep(self, step: type[Step[Any]], product: object) -> None:
        """Keep what a step has just made."""
        self._made[step] = product
