"""How attention over the KV cache becomes steps of a program.

Owns ``Attention``. Imports the decoder's operations, the layout, what stands in the ASIC's memory,
and programs.

A token's attention is cut into parts. Their steps come in the order score 0, softmax 0, score 1,
softmax 1, values 0, score 2, ..., so that the ASIC can work on one part's softmax while the memory
scores the next, and at most two parts' scores stand in the ASIC's memory. Where keys are split, all
shares stand there too until they are merged.

With ``v_batch`` > 1 the values of up to that many tokens wait to be written together; the ASIC
weights and sums those that wait.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from gateformer.hw.pim.device import Asic
from gateformer.hw.pim.drafting import Drafts, Lifted
from gateformer.hw.pim.grid import segment
from gateformer.hw.pim.layout import Cache, Layout, Part, Striped
from gateformer.hw.pim.program import Loop, Segment
from gateformer.hw.pim.standing import before, bytes_of, is_split, shares_of
from gateformer.quant.decoder import Operation
from gateformer.quant.errors import PimError


class Attention:
    """Lowers the attention of one token.

    Parameters
    ----------
    layout : Layout
        Where everything stands.
    free : int
        Bytes of the ASIC's memory for scores, and for shares of the keys.
    v_batch, parts : int
        As ``Compiler`` says.
    asic : Asic
        Its lanes, and the most shares that it merges.
    """

    def __init__(self, layout: Layout, free: int, v_batch: int, parts: int, asic: Asic) -> None:
        self.layout = layout
        self.decoder = layout.decoder
        self.grid = layout.grid
        self.free = free
        self.v_batch = v_batch
        self.wanted = parts
        self.lanes = asic.lanes
        self.most = asic.most("merge")
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
        stored = self._stored(position)
        parts = self.parts(cache, position)
        weights: list[int] = []
        results: list[int] = []

        def weight(number: int) -> None:
            if number == 0:
                drafts.end(values.name, *self._store(cache, drafts, position, sequence, values))
            part = before(parts[number], stored)
            if part.tokens > 0:
                key = ("values", sequence, *part[:2], *_span(part, self.grid.lanes))
                work = self._keep(key, weighted, partial(cache.values, part))
                after = (weights[number], *drafts.ends[values.name])
                results.append(drafts.add(work, after, self._macs(part)))

        split = is_split(parts)
        unit = "share" if split else "softmax"
        for number, part in enumerate(parts):
            key = ("score", sequence, *part[:2], *_span(part, self.grid.units))
            work = self._keep(key, score, partial(cache.score, part))
            done = drafts.add(work, ready, self._macs(part))
            heads = self.queries * part.heads
            vectors = heads * (sum(shares_of(cache, part, stored)) if split else 1)
            weights.append(drafts.asic(softmax.name, unit, heads * part.tokens, (done,), vectors))
            if number:
                weight(number - 1)
        weight(len(parts) - 1)
        drafts.end(weighted.name, *self._sum(drafts, parts, position, weights, results))

    def _macs(self, part: Part) -> int:
        return self.queries * part.heads * part.tokens * self.decoder.d_head

    def _stored(self, position: int) -> int:
        return (position + 1) // self.v_batch * self.v_batch

    def parts(self, cache: Cache, position: int) -> tuple[Part, ...]:
        """Return as few parts as are wanted and fit the ASIC's memory.

        Where keys are split, fewer than are wanted if only those fit: each part has shares of its
        own.

        Raises
        ------
        PimError
            E806 where no number of parts fits, or more shares are to be merged than the ASIC can.
        """
        wanted, least = self.wanted, sys.maxsize
        while True:
            parts = cache.parts(position, wanted)
            need = self.bytes_of(cache, parts, position)
            if need <= self.free and self._merges(self.shares(cache, parts, position)):
                return parts
            least = min(least, need)
            if need <= self.free or len(parts) < wanted:
                break
            wanted = max(wanted + 1, wanted * need // max(1, self.free))
        for wanted in range(self.wanted - 1 if is_split(parts) else 0, 0, -1):
            parts = cache.parts(position, wanted)
            need = self.bytes_of(cache, parts, position)
            if need <= self.free and self._merges(self.shares(cache, parts, position)):
                return parts
            least = min(least, need)
        if least > self.free:
            raise self._larger(position, least, is_split(parts))
        raise self._unmerged(position, len(parts), self.shares(cache, parts, position))

    def shares(self, cache: Cache, parts: Sequence[Part], position: int) -> int:
        """Return the shares of the keys that are merged; 0 where they are not split."""
        if not is_split(parts):
            return 0
        stored = self._stored(position)
        return sum(sum(shares_of(cache, part, stored)) for part in parts)

    def _merges(self, shares: int) -> bool:
        return not self.most or shares <= self.most

    def bytes_of(self, cache: Cache, parts: Sequence[Part], position: int) -> int:
        """Return the most of the ASIC's memory that a token's scores and shares take at once."""
        return bytes_of(cache, parts, self._stored(position), self.decoder, self.lanes)

    def _larger(self, position: int, need: int, split: bool) -> PimError:
        what = "scores and the shares of the keys" if split else "scores"
        other = "take fewer channels" if split else "try mapping stream-k"
        return PimError(
            "E806",
            f"{what} larger than the ASIC's memory",
            layer=self.decoder.name,
            cause=(
                f"At {position + 1} tokens the {what} that are worked on take {need} bytes "
                f"of {self.free} that vectors leave free"
            ),
            fix=f"Take fewer tokens or a larger sram_bytes in [asic] of the device, or {other}",
        )

    def _unmerged(self, position: int, parts: int, shares: int) -> PimError:
        return PimError(
            "E806",
            "more shares than the ASIC merges",
            layer=self.decoder.name,
            cause=(
                f"At {position + 1} tokens, in {parts} part{'s' if parts > 1 else ''} on "
                f"{self.grid.channels} channels, a head's keys make {shares} shares; the device's "
                f"unit merge takes {self.most} at most"
            ),
            fix=(
                "Take fewer channels or tokens, v_batch 1, mapping pim-gpt, or a device whose "
                "unit takes more"
            ),
        )

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
        position: int,
        weights: list[int],
        results: list[int],
    ) -> tuple[int, ...]:
        """Add what tiles, shares of the keys and waiting values contribute; returns the last."""
        heads, width = self.decoder.heads, self.decoder.d_head
        stored = self._stored(position)
        waiting = position + 1 - stored
        done = tuple(results)
        if waiting:
            elements = heads * width * waiting
            after = (*weights, *drafts.ends["attention/append_values"])
            done += (drafts.asic("attention/waiting", "accumulate", elements, after, heads),)
        cache = self.layout.caches[0]
        if is_split(parts):
            shares = self.shares(cache, parts, position)
            return (
                drafts.asic(
                    "attention/merge", "merge", heads * width * shares, done, heads * shares, heads
                ),
            )
        used = [one for one in (before(part, stored) for part in parts) if one.tokens > 0]
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


def _span(part: Part, unit: int) -> tuple[int, int]:
    """Return the first and the last group of ``unit`` tokens of a part."""
    return part.first_token // unit, (part.first_token + part.tokens - 1) // unit
