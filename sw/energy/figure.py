"""A figure and what stands behind it: the words that every number beside another one carries.

Owns ``Figure``, ``Kind`` and ``Energy``. Imports pydantic alone.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["measured", "simulated", "modelled", "published"]
"""``measured``: a clock or a meter ran; ``simulated``: cycles counted in RTL or command by command;
``modelled``: a formula with named constants; ``published``: somebody else's figure."""

Boundary = Literal["chip", "package", "package and memory", "board", "wall"]
"""What a joule's count takes in."""

MOST_J = 1e12
"""More than an inference can take: 30 kW for a year."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Plain(BaseModel):
    """A record of plain values: frozen, unknown keys refused, nothing converted."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Figure(Plain):
    """A number, with its kind and where it comes from; in SI units unless its place says so."""

    value: Finite
    kind: Kind
    source: str
    """How it was had: a command, a simulation, a formula with its constants, a paper."""
    low: Finite | None = None
    """Lower end of its error bar."""
    high: Finite | None = None
    """Upper end."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        if not low <= self.value <= high:
            raise ValueError("a figure lies inside its error bar")
        return self


class Energy(Figure):
    """Joules an inference, or a token."""

    value: Annotated[Finite, Field(gt=0, le=MOST_J)]
    low: Annotated[Finite, Field(ge=0)] | None = None
    high: Annotated[Finite, Field(le=MOST_J)] | None = None
    boundary: Boundary
