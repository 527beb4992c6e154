"""Where results that cost much and depend on their inputs alone are kept between runs."""

from __future__ import annotations

from pathlib import Path

from gateformer.config.schema import Config
from gateformer.quant.caching import user_cache


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
