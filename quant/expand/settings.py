"""What a user decides about a lowering: types by name, and options; what it reports back.

Owns ``Types``, ``Options``, ``Note`` and the widths that hardware allows. Imports types only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from gateformer.quant.types import Fixed

LIMITS: Mapping[str, int] = MappingProxyType(
    {
        "query": 18,
        "key": 18,
        "value": 18,
        "context": 18,
        "centred": 18,
        "normalized": 18,
        "score": 12,
        "distance": 10,
        "index": 12,
    }
)
"""Widest type of an internal point: a DSP multiplies 25 or 27 by 18 bits, a table has 12."""

TABLE_BITS = 14
"""Widest index that a user may give a table: 16,384 entries."""

GIVEN_LIMITS: Mapping[str, int] = MappingProxyType(
    {"score": 18, "distance": TABLE_BITS, "index": TABLE_BITS}
)
"""Limits of a given type where they are wider; a score may index no table."""

DYADIC_BITS = 24
"""Weights that are integers of at most this many bits times a power of two stay exact."""


@dataclass(frozen=True, slots=True)
class Options:
    """How composites become primitives.

    Attributes
    ----------
    softmax : {"auto", "direct", "max"}
        ``direct`` tables exp of the raw score, ``max`` subtracts the row's largest score;
        ``auto`` takes ``direct`` where calibration has bounded the scores.
    direct_span : float
        Widest span of the scaled scores' type, in nats, for which ``auto`` takes ``direct``.
    table_bits : int
        Index bits of the reciprocal table; the reciprocal square root has one more.
    reciprocal_bits : int
        Bits of an entry of either.
    exp_bits : int
        Bits of an unsigned softmax weight.
    numerator_bits : int
        Bits of the shifted numerator that meets the reciprocal; at most 25.
    index_bits : int
        Widest operand that an activation's table takes without a Cast.
    weight_bits : int
        Width of weights that the file does not hold quantized.
    multiplier_bits : int
        A real scale is m 2^-n within a relative error of 2^-this: of a step of 8 bits, 1/512 at
        most. Quantizers to fewer bits take as many fewer.
    """

    softmax: Literal["auto", "direct", "max"] = "auto"
    direct_span: float = 12.0
    table_bits: int = 8
    reciprocal_bits: int = 16
    exp_bits: int = 17
    numerator_bits: int = 18
    index_bits: int = 12
    weight_bits: int = 8
    multiplier_bits: int = 16


@dataclass(frozen=True, slots=True)
class Types:
    """The type of every named point: given by the user, calibrated on data, or the default.

    Attributes
    ----------
    given : mapping of str to Fixed
        By value name or ``<layer>/<point>``; wins always.
    calibrated : mapping of str to Fixed
        Chosen from data.
    default : Fixed or None
        For all else; narrowed to a point's limit by dropping fraction bits.
    """

    given: Mapping[str, Fixed] = field(default_factory=lambda: MappingProxyType({}))
    calibrated: Mapping[str, Fixed] = field(default_factory=lambda: MappingProxyType({}))
    default: Fixed | None = None

    def find(self, name: str, also: str | None = None) -> tuple[Fixed, str] | None:
        """Return a point's type and its origin: ``given``, ``calibrated`` or ``default``.

        Parameters
        ----------
        name : str
            The point.
        also : str, optional
            A point whose calibrated type is preferred to this one's.
        """
        if name in self.given:
            return self.given[name], "given"
        for key in (also, name):
            if key is not None and key in self.calibrated:
                return self.calibrated[key], "calibrated"
        if self.default is None:
            return None
        limit = LIMITS.get(name.rsplit("/", 1)[-1], self.default.width)
        return narrowed(self.default, limit), "default"


def narrowed(kind: Fixed, width: int) -> Fixed:
    """Return a type of at most some bits over the same range: fraction bits are dropped."""
    excess = max(0, kind.width - width)
    return Fixed(kind.signed, kind.width - excess, kind.frac - excess)


@dataclass(frozen=True, slots=True)
class Note:
    """A choice made while lowering, for the report.

    Attributes
    ----------
    layer : str
        Where.
    choice : str
        What was decided: ``softmax``, ``weights``, ``table``, ``fold``.
    detail : str
        The outcome and why, as a sentence.
    """

    layer: str
    choice: str
    detail: str
