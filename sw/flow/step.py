"""What a step of the flow is: a function of the configuration and of earlier steps' products.

Owns ``Step``, ``Outcome``, ``Off`` and ``View``; a step a file stands in ``gateformer.flow.steps``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from gateformer.config.schema import Config, Switch
from gateformer.quant.errors import GateformerError

Metric = int | float | str | bool | None
Metrics = Mapping[str, Metric]

Product_co = TypeVar("Product_co", covariant=True)
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What writing a step's files gave.

    Attributes
    ----------
    metrics : mapping of str to number, text or None
        Its part of ``metrics.json``: dotted keys.
    note : str
        A few words for the table at the end.
    error : GateformerError or None
        What the step found wrong: its files and metrics are kept, and what needs it is left out.
    """

    metrics: Metrics = field(default_factory=dict)
    note: str = ""
    error: GateformerError | None = None


@dataclass(frozen=True, slots=True)
class Off:
    """Why a step is left out.

    Attributes
    ----------
    reason : str
        Shown in the table and kept in ``metrics.json``.
    chosen : bool
        Whether the user switched it off; otherwise something it needs is missing.
    """

    reason: str
    chosen: bool


class View(Protocol):
    """What a step sees of the flow: the configuration and what earlier steps made."""

    @property
    def config(self) -> Config:
        """The resolved configuration."""
        ...

    @property
    def spent(self) -> Mapping[str, float]:
        """Seconds that each earlier step took, by its name."""
        ...

    @property
    def scratch(self) -> Path:
        """An empty folder for outside tools; it stays, logs and all, only where the step fails."""
        ...

    def get(self, step: type[Step[Made]]) -> Made:
        """Return what an earlier step made."""
        ...

    def has(self, step: type[Step[Any]]) -> bool:
        """Whether an earlier step was done, for those that a step wants but does not need."""
        ...

    def progress(self, done: int, total: int) -> None:
        """Tell how far the step is."""
        ...

    def say(self, line: str) -> None:
        """Tell what an outside tool does, in its own words."""
        ...


class Step(ABC, Generic[Product_co]):
    """One step; the class's docstring says what it does.

    Class attributes
    ----------------
    name : str
        Names its folder and its row.
    needs : tuple of Step classes
        Steps whose products it reads; without them it is left out.
    wants : tuple of Step classes
        Steps whose products it reads where they are there.
    fresh : bool
        It is done anew in every run.
    floors : tuple of str
        Packages whose code decides its result.
    uses : tuple of str
        Dotted keys of the configuration that decide its result.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[type[Step[Any]], ...]] = ()
    wants: ClassVar[tuple[type[Step[Any]], ...]] = ()
    fresh: ClassVar[bool] = False
    floors: ClassVar[tuple[str, ...]] = ("quant",)
    uses: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def make(self, view: View) -> Product_co:
        """Return the product, in memory alone."""

    def write(self, view: View, product: Any, folder: Path) -> Outcome:
        """Write the product's files, whole, into an empty folder."""
        return Outcome()

    def load(self, view: View, folder: Path) -> Product_co:
        """Return the product of a finished step."""
        return self.make(view)

    def files(self, config: Config) -> Iterable[Path]:
        """Yield files from outside that the step reads."""
        return ()

    def off(self, config: Config) -> Off | None:
        """Return why the step is left out, or None; raise where it must not be."""
        return None


def switched_off(switch: Switch, name: str, missing: GateformerError | None) -> Off | None:
    """Decide on a step that can be switched: off, on, or on if its tool is here.

    Parameters
    ----------
    switch : "auto" or bool
        The configuration's ``enabled``.
    name : str
        The step's table in the configuration.
    missing : GateformerError or None
        What a missing tool would raise; raised where the step is explicitly enabled.
    """
    if switch is False:
        return Off(f"{name}.enabled is false", chosen=True)
    if missing is None:
        return None
    if switch is True:
        raise missing
    return Off(str(missing), chosen=False)
