"""Decoders known by name: data, in ``decoders.toml``.

Owns ``load``, ``names`` and ``notes``. Imports the decoder and the errors.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import PimError

VOCABULARY = 50257
"""Tokens of GPT-2's byte-pair encoding, which GPT-3 uses too."""


@cache
def _all() -> dict[str, dict[str, Any]]:
    return tomllib.loads((resources.files(__name__) / "decoders.toml").read_text(encoding="utf-8"))


def names() -> tuple[str, ...]:
    """Return all known decoders."""
    return tuple(_all())


def notes(name: str) -> str:
    """Return what must be said wherever the decoder's figures are shown; mostly nothing."""
    return str(_all().get(name, {}).get("note", ""))


def load(name: str) -> Decoder:
    """Return a decoder.

    Parameters
    ----------
    name : str
        A known name; ``name@n`` is that decoder cut to its first n layers.

    Raises
    ------
    PimError
        E807 for an unknown name, or a cut that it does not have.
    """
    whole, cut, layers = name.partition("@")
    if cut and whole in _all():
        return _cut(load(whole), layers)
    if name not in _all():
        near = get_close_matches(name, names(), 1)
        raise PimError(
            "E807",
            "unknown model",
            layer=name,
            cause=f"Known are {', '.join(names())}",
            fix=f"Did you mean '{near[0]}'?" if near else "Or give a path: config.json or GGUF",
        )
    found = _all()[name]
    width, heads = found["d_model"], found["heads"]
    return Decoder(
        name=name,
        layers=found["layers"],
        d_model=width,
        heads=heads,
        kv_heads=heads,
        d_head=width // heads,
        d_ff=4 * width,
        vocab=VOCABULARY,
        context=found["context"],
        source=found["source"],
    )


def _cut(whole: Decoder, layers: str) -> Decoder:
    known = [str(one) for one in range(1, whole.layers + 1)]
    if layers not in known:
        raise PimError(
            "E807",
            "unknown model",
            layer=f"{whole.name}@{layers}",
            cause=f"{whole.name} can be cut to 1 to {whole.layers} layers",
            fix=f"Such as {whole.name}@{max(1, whole.layers // 3)}",
        )
    return replace(whole, name=f"{whole.name}@{layers}", layers=int(layers))
