"""What every meter offers: whether it can be read here, and joules over a window.

Owns ``Meter`` and ``Reading``. Imports the figures' words and the errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateformer.energy.figure import Boundary
from gateformer.quant.errors import BaselineError


@dataclass(frozen=True, slots=True)
class Reading:
    """Joules of one window.

    Attributes
    ----------
    joules : float
        Over the window, inside the boundary.
    seconds : float
        How long the window was.
    boundary : str
        What is counted in.
    kind : {"measured", "modelled"}
        ``measured`` only where a counter was read.
    method : str
        Which counter, or which constants.
    parts : mapping of str to float
        Joules of each counter, those outside the boundary among them.
    tolerance : float
        The meter's own error as a share of the joules, where somebody checked it; 0: not known.
    """

    joules: float
    seconds: float
    boundary: Boundary
    kind: Literal["measured", "modelled"]
    method: str
    parts: Mapping[str, float] = field(default_factory=dict)
    tolerance: float = 0.0

    @property
    def watts(self) -> float:
        """Mean power."""
        return self.joules / self.seconds


class Meter(Protocol):
    """Counts joules between ``start`` and ``stop``."""

    name: str
    """Such as ``RAPL``."""
    seconds: float
    """Shortest window whose reading means something."""

    def available(self) -> str | None:
        """Return why it cannot be read here, or None; it has been read where it is None."""

    def start(self) -> None:
        """Begin a window.

        Raises
        ------
        BaselineError
            E854 where the counter cannot be read.
        """

    def stop(self) -> Reading:
        """End the window.

        Raises
        ------
        BaselineError
            E854 where the counter cannot be read, stands still, or may have wrapped unseen.
        """


def failed(name: str, cause: str, fix: str = "") -> BaselineError:
    """Return the error of a meter that gave no joules."""
    return BaselineError("E854", "energy meter failed", layer=name, cause=cause, fix=fix)
