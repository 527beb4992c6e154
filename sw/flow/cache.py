"""Where results that cost much and depend on their inputs alone are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

from gateformer.config.schema import Config


def cache_folder(config: Config, part: str) -> Path:
    """Return the folder of one kind of results: ``adders``, ``builds``, ``hls`` or ``synth``.

    Parameters
    ----------
    config : Config
        Its ``cache``, or else the user's cache folder as the desktop standard (XDG) has it.
    part : str
        The kind.
    """
    return user_cache(part) if config.cache is None else Path(config.cache) / part


def user_cache(part: str) -> Path:
    """Return the folder of one kind of results in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "gateformer" / part
