"""Why a text is no TOML that can be read.

Owns ``cause_of``. Imports the standard library alone.
"""

from __future__ import annotations

import tomllib


def cause_of(error: ValueError | RecursionError) -> str:
    """Return what ``tomllib.loads``, or the decoding of its text, failed at.

    Parameters
    ----------
    error : ValueError or RecursionError
        What was raised; Python's own bound on digits raises a bare ``ValueError``.
    """
    if isinstance(error, RecursionError):
        return "Nested too deeply"
    if isinstance(error, tomllib.TOMLDecodeError | UnicodeDecodeError):
        return str(error)
    return "A number has more digits than are read"
