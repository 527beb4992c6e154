"""What attention keeps in the ASIC's memory while a token is worked on.

Owns ``bytes_of``, ``is_split`` and ``shares_of``. Imports the layout and the decoder.

A score, a weight and a number of o are BF16; a share's m and l take a word of the ASIC, as
``gf_pim_asic.v`` writes them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateformer.hw.pim.layout import Cache, Part
from gateformer.quant.decoder import Decoder

NUMBER = 2
"""Bytes of a BF16 number."""
TRIPLE = 3
"""Halves of a word that m, BF16, and l, FP32, take."""


def is_split(parts: Sequence[Part]) -> bool:
    """Return whether no part has all tokens of a head, so that shares are merged."""
    return parts[0].splits > 1 or parts[-1].first_token > 0


def shares_of(cache: Cache, part: Part, stored: int) -> tuple[int, int]:
    """Return a part's shares of the keys: of the tokens in the cache, and of those that wait.

    A channel without a token of the part has no share. Tokens whose values wait make one of their
    own, which the ASIC weights itself.

    Parameters
    ----------
    cache : Cache
        Tells which share a token belongs to.
    part : Part
        Of one token's attention.
    stored : int
        Tokens whose values are written.
    """
    short = before(part, stored)
    kept = len(np.unique(cache.shares(short))) if short.tokens else 0
    return kept, int(part.first_token + part.tokens > stored)


def before(part: Part, stored: int) -> Part:
    """Return a part without the tokens whose values are not stored."""
    return part._replace(tokens=max(0, min(part.tokens, stored - part.first_token)))


def bytes_of(cache: Cache, parts: Sequence[Part], stored: int, decoder: Decoder, lanes: int) -> int:
    """Return the most that a token's scores and shares take at once.

    At most two parts' scores stand there. Where keys are split, all shares stay until they are
    merged, and while a part's values are multiplied the next part's scores are there too. A head's
    weights are sent before its o is read, and o takes their place, so of one part no more stands
    there than the larger of both. Weights of tokens whose values wait are sent nowhere: they stay
    beside o.

    Parameters
    ----------
    cache, stored
        As for ``shares_of``.
    parts : sequence of Part
        All of a token's attention, in their order.
    decoder : Decoder
        The model.
    lanes : int
        Numbers of a word of the ASIC.
    """
    queries = decoder.heads // decoder.kv_heads
    weights = [NUMBER * queries * part.heads * part.tokens for part in parts]
    if not is_split(parts):
        return max(weights) * min(2, len(parts))
    o, word = NUMBER * decoder.d_head, NUMBER * lanes * -(-TRIPLE // lanes)
    most = kept = 0
    for part, own, following in zip(parts, weights, [*weights[1:], 0], strict=True):
        shares, late = shares_of(cache, part, stored)
        waiting = NUMBER * (part.tokens - before(part, stored).tokens)
        heads = queries * part.heads
        kept += heads * (word * (shares + late) + o * late)
        most = max(most, kept + max(own, heads * (o * shares + waiting)) + following)
        kept += heads * o * shares
    return most
