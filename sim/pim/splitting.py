"""All tokens of a text at once where a head's keys are split: over channels, and over chunks.

Owns ``SplitBulk`` and ``bulk_of``. Imports the bulk decoder, the compiler, and the shares of
attention and their merge. As the bulk decoder it knows no address: only which tokens make a share,
which the order of additions hangs on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from itertools import groupby

import numpy as np

from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.functions import Alu
from gateformer.hw.pim.layout import Cache, Floats, Integers, Part
from gateformer.hw.pim.shares import Share, exponentials, merged
from gateformer.hw.pim.standing import is_split
from gateformer.sim.pim.bulk import Bulk
from gateformer.sim.pim.products import float_tiles
from gateformer.sim.pim.weights import Weights


@dataclass(frozen=True, slots=True)
class SplitBulk(Bulk):
    """A decoder whose attention merges shares of the keys.

    Attributes
    ----------
    cache : Cache
        Tells each token's share.
    parts : callable
        A token's position to the parts that its attention is cut into.
    asic_lanes : int
        Numbers that a sum of the ASIC takes at once.
    """

    cache: Cache = field(kw_only=True)
    parts: Callable[[int], tuple[Part, ...]] = field(kw_only=True)
    asic_lanes: int = field(kw_only=True)

    def _head(self, queries: Floats, keys: Floats, values: Floats, first: int) -> Floats:
        """Return what some tokens' queries get, those with the same shares of the keys together."""
        found = np.empty_like(queries)
        for start, end, shares in self._runs(first, first + len(queries)):
            own = queries[start - first : end - first]
            if shares:
                one = self._of_shares(own, keys[:end], values[:end], start, shares)
            else:
                one = Bulk._head(self, own, keys[:end], values[:end], start)
            found[start - first : end - first] = one
        return found

    def _of_shares(
        self, queries: Floats, keys: Floats, values: Floats, first: int, shares: list[Integers]
    ) -> Floats:
        tokens, shared, width = queries.shape
        flat = queries.reshape(-1, width)
        read = next(float_tiles(keys, flat, width, self.lanes, self.compiled))
        scores = to_bf16(Alu().multiply(read, to_bf16(1 / np.sqrt(width))))
        place = (first + np.arange(tokens)).repeat(shared)[:, None]
        scores[np.arange(len(keys)) > place] = -np.inf
        parts = []
        for mine in shares:
            weights, m, l = exponentials(scores[:, mine], self.asic_lanes)  # noqa: E741
            column = np.ascontiguousarray(values[mine].T)
            o = next(float_tiles(column, weights, len(mine), self.lanes, self.compiled))
            parts.append(Share(m, l, o))
        return to_bf16(merged(parts)).reshape(tokens, shared, width)

    def _runs(self, first: int, last: int) -> Iterator[tuple[int, int, list[Integers]]]:
        """Yield positions from one to behind another, and their shares: the tokens of each.

        They differ in tokens alone that come behind some of the positions. Where keys are not split
        there are none.
        """

        def alike(position: int) -> tuple[object, ...]:
            parts = self.parts(position)
            last = parts[-1]
            return tuple(one.first_token for one in parts), len(np.unique(self.cache.shares(last)))

        for _, some in groupby(range(first, last), alike):
            positions = list(some)
            parts = self.parts(positions[-1])
            shares: list[Integers] = []
            for part in parts if is_split(parts) else ():
                tokens = np.arange(part.first_token, part.first_token + part.tokens)
                owner = self.cache.shares(part)
                shares += [tokens[owner == one] for one in range(part.splits)]
            yield positions[0], positions[-1] + 1, [one for one in shares if len(one)]


def bulk_of(compiler: Compiler, weights: Weights) -> Bulk:
    """Return the decoder that a compiler's programs compute, whatever its mapping.

    Parameters
    ----------
    compiler : Compiler
        Of one sequence whose values are written at once.
    weights : Weights
        The model's numbers.
    """
    plain = Bulk.like(compiler, weights)
    cache, attention = compiler.layout.caches[0], compiler.lowering.attention
    if not is_split(attention.parts(cache, compiler.layout.tokens - 1)):
        return plain
    return SplitBulk(
        **{one.name: getattr(plain, one.name) for one in fields(plain)},
        cache=cache,
        parts=lambda position: attention.parts(cache, position),
        asic_lanes=compiler.lanes,
    )
