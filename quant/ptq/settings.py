"""What a user decides about post-training quantization.

Owns ``Recipe``. Imports errors only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from gateformer.quant.errors import ConfigError

Method = Literal["max", "percentile", "mse"]
"""How a quantizer's range is chosen: of all elements, of nearly all, or for the least error."""

Scheme = Literal["per-tensor", "per-channel"]
"""Whether each output of a matrix has a step of its own."""

Step = Literal["power-of-two", "float"]
"""Whether steps are powers of two, which cost nothing, or any number, which cost a product."""

NARROWEST, WIDEST = 2, 16
"""Bits that a quantizer may have."""

TABLE_BITS = 8
"""Least width of what indexes a table or is normalized: one sample of the result a step."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Widths and ranges of all quantizers.

    Attributes
    ----------
    weights, activations : int
        Bits of every weight and of every value that is multiplied.
    scheme : {"per-tensor", "per-channel"}
        Steps of the weights.
    step : {"power-of-two", "float"}
        Kind of the steps: of dense layers' weights, and of activations between layers.
    weight_method, activation_method : {"max", "percentile", "mse"}
        How ranges are chosen.
    percentile : float
        Per cent of the magnitudes that a range of that method holds.
    tables : int or None
        Bits of scores, table indices and normalized values; None: two more than ``activations``,
        at least ``TABLE_BITS``.
    rounding : {"compensated", "nearest"}
        Whether weights make up for each other's rounding (``rounding.compensated``).
    correct_bias : bool
        Let each bias take back the mean error of its weights (Nagel et al., arXiv 1906.04721,
        equation 17).
    widths : mapping of str to int
        Bits of single places, by name; they win.

    Raises
    ------
    ConfigError
        E022 for widths and percentiles out of range.
    """

    weights: int = 8
    activations: int = 8
    scheme: Scheme = "per-channel"
    step: Step = "power-of-two"
    weight_method: Method = "mse"
    activation_method: Method = "mse"
    percentile: float = 99.9
    tables: int | None = None
    rounding: Literal["compensated", "nearest"] = "compensated"
    correct_bias: bool = True
    widths: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        asked = {"weights": self.weights, "activations": self.activations, **self.widths}
        for name, bits in asked.items():
            if not NARROWEST <= bits <= WIDEST:
                raise ConfigError(
                    "E022",
                    f"{bits} bits of a quantizer",
                    layer=name,
                    fix=f"give it {NARROWEST} to {WIDEST} bits",
                )
        if not 50.0 < self.percentile <= 100.0:
            raise ConfigError(
                "E022",
                f"a percentile of {self.percentile:g}",
                layer="percentile",
                fix="give one above 50 and up to 100",
            )

    @property
    def table_bits(self) -> int:
        """Bits of what indexes a table or is normalized."""
        return self.tables or min(12, max(TABLE_BITS, self.activations + 2))
