"""How attention over the KV cache becomes steps of a program.

Owns ``Attention`` and ``is_split``. Imports the decoder's operations, the layout and programs.

A token's attention is cut into parts. Their steps come in the order score 0, softmax 0, score 1,
softmax 1, values 0, score 2, ..., so that the ASIC can work on one part's softmax while the memory
scores the next, and at most two parts' scores stand in the ASIC's memory.

With ``v_batch`` > 1 the values of up to that many tokens wait to be written together; the ASIC
weights and sums those that wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from gateformer.hw.pim.drafting import Drafts, Lifted
from gateformer.hw.pim.grid import segment
from gateformer.hw.pim.layout import Cache, Layout, Part, Striped
from gateformer.hw.pim.program import Loop, Segment
from gateformer.quant.decoder import Operation
from gateformer.quant.errors import PimError


class Attention:
    """Lowers the attention of one token.

    Parameters
    ----------
    layout : Layout
        Where everything stands.
    free : int
        Bytes of the ASIC's memory for scores.
    v_batch, parts : int
        As ``Compiler`` says.
    """

    def __init__(self, layout: Layout, free: int, v_batch: int, parts: int) -> None:
        self.layout = layout
        self.decoder = layout.decoder
        self.grid = layout.grid
        self.free = free
        self.v_batch = v_batch
        self.wanted = parts
        self.queries = self.decoder.heads // self.decoder.kv_heads
        self._lifted = Lifted(layout.grid)
        self._kept: dict[tuple[object, ...], Segment] = {}

    def lower(self, ops: Sequence[Operation], drafts: Drafts, position: int, sequence: int) -> None:
        """Add the steps of all of ``attention/...``."""
        keys, score, softmax, values, weighted = ops
        cache = self.layout.caches[sequence]
        wrote, row = self._lifted.of(keys.name, cache.append_keys(position))
        drafts.end(keys.name, drafts.add(wrote, drafts.behind(keys), rows=row))
        ready = drafts.behind(score)
        stored = (position + 1) // self.v_batch * self.v_batch
        parts = self.parts(cache, position)
        weights: list[int] = []
        results: list[int] = []

        def weight(number: int) -> None:
            if number == 0:
                drafts.end(values.name, *self._store(cache, drafts, position, sequence, values))
            part = _before(parts[number], stored)
            if part.tokens > 0:
                key = ("values", sequence, *part[:2], *_span(part, self.grid.lanes))
                work = self._keep(key, weighted, partial(cache.values, part))
                after = (weights[number], *drafts.ends[values.name])
                results.append(drafts.add(work, after, self._macs(part)))

        unit = "share" if is_split(parts) else "softmax"
        for number, part in enumerate(parts):
            key = ("score", sequence, *part[:2], *_span(part, self.grid.units))
            work = self._keep(key, score, partial(cache.score, part))
            done = drafts.add(work, ready, self._macs(part))
            heads = self.queries * part.heads
            weights.append(
                drafts.asic(softmax.name, unit, heads * part.tokens, (done,), heads * part.splits)
            )
            if number:
                weight(number - 1)
        weight(len(parts) - 1)
        waiting = position + 1 - stored
        drafts.end(weighted.name, *self._sum(drafts, parts, stored, waiting, weights, results))

    def _macs(self, part: Part) -> int:
        return self.queries * part.heads * part.tokens * self.decoder.d_head

    def parts(self, cache: Cache, position: int) -> tuple[Part, ...]:
        """Return as few parts as are wanted and fit the ASIC's memory.

        Raises
        ------
        PimError
            E806 where even the smallest do not fit.
        """
        wanted = self.wanted
        while True:
            parts = cache.parts(position, wanted)
            largest = max(part.heads * part.tokens for part in parts)
            need = 2 * self.queries * largest * min(2, len(parts))
            if need <= self.free:
                return parts
            if len(parts) < wanted:
                raise PimError(
                    "E806",
                    "scores larger than the ASIC's memory",
                    layer=self.decoder.name,
                    cause=(
                        f"At {position + 1} tokens the scores that are worked on take {need} bytes "
                        f"of {self.free} that vectors leave free"
                    ),
                    fix=(
                        "Take fewer tokens, mapping stream-k, or a larger sram_bytes in [asic] of "
                        "the device"
                    ),
                )
            wanted = max(wanted + 1, wanted * need // max(1, self.free))

    def _store(
        self, cache: Cache, drafts: Drafts, position: int, sequence: int, values: Operation
    ) -> tuple[int, ...]:
        """Write the token's values, or let them wait; returns what the waiting ones come from."""
        ready = drafts.behind(values)
        turn = position % self.v_batch
        full = turn == self.v_batch - 1
        staging = self.layout.staging
        if staging is not None:
            base = sequence * self.v_batch
            if turn:
                read = self._staged("RD_SBK", staging, base, turn)
                ready += (drafts.add(read, ()),)
            if not full:
                ready += (drafts.add(self._staged("WR_SBK", staging, base + turn, 1), ready),)
        if full:
            key = ("append", sequence, position // self.grid.lanes)
            work = self._keep(key, values, partial(cache.append_values, position))
            return (drafts.add(work, ready),)
        return ready

    def _staged(self, op: str, staging: Striped, first: int, vectors: int) -> Segment:
        verb = "read" if op == "RD_SBK" else "write"
        name = f"attention/{verb}_waiting_values"
        key = (op, first, vectors)
        if key not in self._kept:
            loop = Loop(tuple(staging.accesses(op, first, vectors)))
            self._kept[key] = segment(self.grid, name, (loop,))
        return self._kept[key]

    def _sum(
        self,
        drafts: Drafts,
        parts: tuple[Part, ...],
        stored: int,
        waiting: int,
        weights: list[int],
        results: list[int],
    ) -> tuple[int, ...]:
        """Add what tiles, shares of the keys and waiting values contribute; returns the last."""
        heads, width = self.decoder.heads, self.decoder.d_head
        done = tuple(results)
        if waiting:
            elements = heads * width * waiting
            after = (*weights, *drafts.ends["attention/append_values"])
            done += (drafts.asic("attention/waiting", "accumulate", elements, after, heads),)
        used = [one for one in (_before(part, stored) for part in parts) if one.tokens > 0]
        if is_split(parts):
            shares = sum(part.splits for part in used) + bool(waiting)
            return (
                drafts.asic(
                    "attention/merge", "merge", heads * width * shares, done, heads * shares, heads
                ),
            )
        cache = self.layout.caches[0]
        sums = sum(self.queries * part.heads * width * (cache.partials(part) - 1) for part in used)
        if used and waiting:
            sums += heads * width
        if sums:
            vectors = max(1, sums // (heads * width))
            done = (drafts.asic("attention/sum", "add", sums, done, vectors),)
        return done

    def _keep(
        self, key: tuple[object, ...], one: Operation, loops: Callable[[], Iterable[Loop]]
    ) -> Segment:
        """Return the segment of a key, made only once."""
        if key not in self._kept:
            self._kept[key] = segment(self.grid, one.name, loops())
        return self._kept[key]


def is_split(parts: Sequence[Part]) -> bool:
    """Return whether no part has all tokens of a head, so that shares are merged."""
    return parts[0].splits > 1 or parts[-1].first_token > 0


def _before(part: Part, stored: int) -> Part:
    """Return a part without the tokens whose values are not stored."""
    return part._replace(tokens=max(0, min(part.tokens, stored - part.first_token)))


def _span(part: Part, unit: int) -> tuple[int, int]:
    """Return the first and the last group of ``unit`` tokens of a part."""
    return part.first_token // unit, (part.first_token + part.tokens - 1) // unit
