"""Precisions as hls4ml writes them, and the types here.

Owns ``Precision`` and ``read_precision``. Imports the types and the errors only. The forms are
those of hls4ml 1.3's ``convert_precision_string``: ``ap_`` with or without its prefix, ``ac_``,
``auto``, and floats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateformer.quant.errors import ConfigError, GateformerError
from gateformer.quant.types import Fixed

FORM = re.compile(r"(ap_|ac_)?(u?)(fixed|int)\s*<([^<>]{1,80})>")
FLOATS = (
    "float",
    "double",
    "half",
    "bfloat16",
    "ap_float",
    "std_float",
    "ac_std_float",
    "ac_float",
)
UNSIGNED = ("false", "0")
MODES = re.compile(r"(?:AP_|AC_)?([A-Z_]{2,12})")
NEUTRAL = frozenset({"", "RND", "RND_CONV", "SAT", "0"})
"""Modes that a Cast here has, or as good as has: to the nearest step, saturating."""


@dataclass(frozen=True, slots=True)
class Precision:
    """What a precision asks for.

    Attributes
    ----------
    type : Fixed or None
        None for ``auto`` and for floats.
    auto : bool
        Whether the tool is to choose.
    modes : str
        Rounding and overflow modes that a Cast here does not have.
    """

    type: Fixed | None
    auto: bool = False
    modes: str = ""


def read_precision(text: str) -> Precision:
    """Read a precision.

    Parameters
    ----------
    text : str
        Such as ``ap_fixed<16,6,AP_RND,AP_SAT>``, ``ac_int<8,false>`` or ``auto``.

    Raises
    ------
    ConfigError
        E020 for what is no precision, E021 for widths beyond what a type may have.
    """
    text = text.strip()
    if text.lower() == "auto":
        return Precision(None, auto=True)
    if text.startswith(FLOATS):
        return Precision(None)
    found = FORM.fullmatch(text)
    if found is None:
        raise _no_precision(text)
    family, unsigned, kind, inside = found.groups()
    fields = [part.strip() for part in inside.split(",")]
    numbers = 2 if kind == "fixed" else 1
    signed = not unsigned
    rest = fields[numbers:]
    if family == "ac_" and rest:
        signed = signed and rest[0].lower() not in UNSIGNED
        rest = rest[1:]
    try:
        width, *whole = (int(part) for part in fields[:numbers])
    except ValueError:
        raise _no_precision(text) from None
    if len(whole) != numbers - 1 or any(abs(n) > 9999 for n in (width, *whole)):
        raise _no_precision(text)
    made = Fixed(signed, width, width - (whole[0] if whole else width))
    return Precision(made, modes=", ".join(_foreign(rest)))


def _foreign(modes: list[str]) -> list[str]:
    plain = [found[1] if (found := MODES.fullmatch(mode)) else mode for mode in modes]
    return [mode for mode in plain if mode not in NEUTRAL]


def _no_precision(text: str) -> GateformerError:
    return ConfigError(
        "E020",
        f"not a precision: {text[:60]!r}",
        fix="Write ap_fixed<W,I>, ap_int<W>, their ac_ forms, or auto",
    )
