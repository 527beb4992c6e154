"""JapaneseVowels: real speech as 16 tokens of 12 cepstral coefficients, nine speakers to tell.

Nine men say /ae/; each utterance is 7 to 29 frames of 12 LPC cepstrum coefficients (M. Kudo,
J. Toyama and M. Shimbo, *Multidimensional Curve Classification Using Passing-Through Regions*,
Pattern Recognition Letters 20, 1999; UCI Machine Learning Repository, doi:10.24432/C5NS47,
CC BY 4.0).  aeon ships them inside its package: nothing is downloaded.  Imports `labelled`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.datasets.labelled import Labelled, Sample
from gateformer.quant.errors import ToolError

FEATURES = 12
"""Cepstral coefficients of a frame."""

TOKENS = 16
"""Frames kept, the first ones: two utterances in three have no more."""

SPEAKERS = tuple(f"speaker {number}" for number in range(1, 10))
"""What the labels 0 to 8 mean."""


def frames(series: NDArray[np.floating], tokens: int = TOKENS) -> NDArray[np.float32]:
    """Return the first frames of an utterance [12, length] as tokens [tokens, 12], zeros behind.

    >>> frames(np.ones((12, 7)), 9).any(axis=1).tolist()
    [True, True, True, True, True, True, True, False, False]
    """
    out = np.zeros((tokens, FEATURES), np.float32)
    kept = series.T[:tokens]
    out[: len(kept)] = kept
    return out


def sample(tokens: int = TOKENS, seed: int = 0, valid: float = 0.2) -> Sample:
    """Return the utterances in their published parts: 270 to train on, 370 to test.

    Parameters
    ----------
    tokens:
        Frames kept an utterance.
    seed, valid:
        The share `valid` of each speaker's 30 training utterances is dealt out with the seed to
        choose the best epoch with.

    Raises
    ------
    ToolError
        E505 without aeon.
    """
    known, test = _published("train", tokens), _published("test", tokens)
    rng = np.random.default_rng(seed)
    held = np.zeros(len(known), bool)
    for speaker in range(len(SPEAKERS)):
        own = np.flatnonzero(known.y == speaker)
        held[rng.permutation(own)[: round(valid * own.size)]] = True
    return Sample(known[~held], known[held], test, SPEAKERS)


def _published(part: str, tokens: int) -> Labelled:
    try:
        from aeon.datasets import load_japanese_vowels
    except ImportError as error:
        raise ToolError(
            "E505",
            "cannot read JapaneseVowels: Python package not installed",
            layer=error.name,
            fix="Install the data extra: pip install -e '.[data]'",
        ) from error
    series, names = load_japanese_vowels(split=part)
    x = np.stack([frames(np.asarray(one), tokens) for one in series])
    return Labelled(x, np.asarray(names).astype(np.int64) - 1)
