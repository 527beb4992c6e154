"""What a run did, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateformer.flow.step import Metric
from gateformer.quant.errors import GateformerError, Problems

Status = Literal["done", "reused", "skipped", "off", "failed"]


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
