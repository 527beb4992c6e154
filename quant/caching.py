"""The user's cache: results that cost much and can be made again.

Owns ``user_cache``. Imports the standard library alone.
"""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(part: str) -> Path:
    """Return the folder of one kind of results in the user's cache, as the standard XDG has it.

    A relative ``XDG_CACHE_HOME`` counts for nothing, as the standard says.

    Parameters
    ----------
    part : str
        The kind.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or ".")
    return (home if home.is_absolute() else Path.home() / ".cache") / "gateformer" / part
