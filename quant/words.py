"""Numbers and what they count, as messages say them.

Owns ``counted``. Imports nothing.
"""

from __future__ import annotations


def counted(number: int, one: str) -> str:
    """Return a number with its noun, such as ``1 token`` and ``2,048 tokens``.

    Parameters
    ----------
    number : int
        How many.
    one : str
        The noun for one; ``s`` makes it several.
    """
    return f"{number:,} {one if number == 1 else f'{one}s'}"
