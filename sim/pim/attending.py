"""One token's attention on numbers: its cache written, scores read, values weighted and summed.

Owns ``Attender``. Imports the banks, the layout and the ASIC's functions and arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gateformer.hw.pim import functions
from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.functions import Alu
from gateformer.hw.pim.layout import Address, Floats, Integers, Layout, Part
from gateformer.hw.pim.program import Step
from gateformer.hw.pim.shares import Share, exponentials, merged
from gateformer.hw.pim.standing import is_split
from gateformer.sim.pim import words
from gateformer.sim.pim.banks import Banks

Where = Callable[[Integers, Integers, Integers], Address]
"""Tokens, heads and numbers of a head to where they stand."""


class Attender:
    """Does what the steps of ``attention/...`` do, in their order.

    Parameters
    ----------
    layout : Layout
        Where everything stands.
    banks : Banks
        The numbers.
    v_batch : int
        Tokens whose values are written together.
    lanes : int
        Numbers that a sum of the ASIC takes at once.
    """

    def __init__(self, layout: Layout, banks: Banks, v_batch: int, lanes: int) -> None:
        self.layout = layout
        self.cache = layout.caches[0]
        self.banks = banks
        self.v_batch = v_batch
        self.lanes = lanes
        self.queries = layout.decoder.heads // layout.decoder.kv_heads
        self.scale = to_bf16(1 / np.sqrt(layout.decoder.d_head))
        self._held: dict[int, list[Floats]] = {}

    def run(self, steps: list[Step], qkv: Floats, position: int, block: int) -> Floats:
        """Return attention's result, heads side by side.

        Parameters
        ----------
        steps : list of Step
            The segments among them.
        qkv : array of float32
            Queries, keys and values of the token.
        position, block : int
            Which token, which block.
        """
        decoder, cache = self.layout.decoder, self.cache
        width = decoder.d_head
        query = qkv[: decoder.queries].reshape(-1, width)
        keys, values = qkv[decoder.queries :].reshape(2, -1, width)
        stored = (position + 1) // self.v_batch * self.v_batch
        count = sum(step.work.name == "attention/score" for step in steps)
        parts = cache.parts(position, count)
        split = is_split(parts)
        scored = iter(parts)
        weighted = iter([part for part in parts if part.first_token < stored])
        scores: dict[Part, Floats] = {}
        sums: dict[Part, Floats] = {}
        waiting = [*self._held.pop(block, []), values]
        for step in steps:
            match step.work.name:
                case "attention/append_keys":
                    self._write(step, cache.where_key, position, keys[None], block)
                case "attention/append_values":
                    first = position + 1 - len(waiting)
                    self._write(step, cache.where_value, first, np.array(waiting), block)
                    waiting = []
                case "attention/read_waiting_values":
                    waiting = [*self._staged(step, position % self.v_batch, block), values]
                case "attention/write_waiting_values":
                    self._stage(step, position % self.v_batch, values, block)
                case "attention/score":
                    part = next(scored)
                    reads = self.banks.run(step.expand(), cache.queries_sent(part, query))
                    scaled = Alu().multiply(cache.scores_read(part, reads), self.scale)
                    scores[part] = to_bf16(scaled)
                case "attention/values":
                    part = next(weighted)
                    tokens = min(part.tokens, stored - part.first_token)
                    weights = self._weights(part, scores[part], stored, split)[:, :tokens]
                    short = part._replace(tokens=tokens)
                    reads = self.banks.run(step.expand(), cache.weights_sent(short, weights))
                    sums[part] = cache.sums_read(short, reads)
                case name:
                    raise ValueError(f"no meaning for {name}")
        if waiting and self.layout.staging is None:
            self._held[block] = waiting
        late = np.array(waiting, np.float32).reshape(-1, decoder.kv_heads, width)
        if split:
            return self._merged(scores, sums, stored, late)
        return self._summed(scores, sums, stored, late)

    def _write(self, step: Step, where: Where, first: int, numbers: Floats, block: int) -> None:
        """Write tokens x heads x width numbers from token ``first`` on."""
        tokens, heads, dims = (one.ravel() for one in np.indices(numbers.shape))
        self._prepare(where(tokens + first, heads, dims), numbers, block)
        self.banks.run(step.expand(), iter(()))
        self.banks.settle()

    def _stage(self, step: Step, turn: int, values: Floats, block: int) -> None:
        staging = self.layout.staging
        if staging is None:
            raise ValueError("no staging area")
        where = staging.where(np.full(values.size, turn), np.arange(values.size))
        self._prepare(where, values, block)
        self.banks.run(step.expand(), iter(()))
        self.banks.settle()

    def _staged(self, step: Step, turn: int, block: int) -> Floats:
        staging, decoder = self.layout.staging, self.layout.decoder
        if staging is None:
            raise ValueError("no staging area")
        self.banks.run(step.expand(), iter(()))
        firsts = np.arange(0, staging.width, staging.grid.lanes)
        where = staging.where(np.arange(turn).repeat(len(firsts)), np.tile(firsts, turn))
        found = self.banks.gather(where._replace(row=where.row + block * self.layout.stride))
        values = words.floats(found).reshape(turn, -1)[:, : staging.width]
        return values.reshape(turn, decoder.kv_heads, decoder.d_head)

    def _prepare(self, where: Address, numbers: Floats, block: int) -> None:
        where = where._replace(row=where.row + block * self.layout.stride)
        self.banks.prepare(where, numbers)

    def _weights(self, part: Part, scores: Floats, stored: int, split: bool) -> Floats:
        """Return each token's weight; where keys are split, against its own share's maximum."""
        if not split:
            return self._softmax(scores)
        owner = self._owners(part, stored)
        weights = np.zeros_like(scores)
        for share in np.unique(owner):
            mine = owner == share
            weights[:, mine] = exponentials(scores[:, mine], self.lanes)[0]
        return weights

    def _softmax(self, scores: Floats) -> Floats:
        return to_bf16(functions.softmax(scores, self.lanes))

    def _owners(self, part: Part, stored: int) -> Integers:
        """Return the share of each token; those that wait make one of their own, -1."""
        tokens = np.arange(part.first_token, part.first_token + part.tokens)
        return np.where(tokens < stored, self.cache.shares(part), -1)

    def _summed(
        self, scores: dict[Part, Floats], sums: dict[Part, Floats], stored: int, late: Floats
    ) -> Floats:
        """Add tiles' sums and that of what waits, in FP32; round once."""
        found = []
        for part, own in scores.items():
            tiles = [*sums[part]] if part in sums else []
            if len(late):
                tiles.append(self._late(part, self._softmax(own)[:, stored:], late))
            total = tiles[0]
            for one in tiles[1:]:
                total = Alu().add(total, one)
            found.append(to_bf16(total).ravel())
        return np.concatenate(found)

    def _merged(
        self, scores: dict[Part, Floats], sums: dict[Part, Floats], stored: int, late: Floats
    ) -> Floats:
        """Merge the shares of the keys, ascending; those that wait come last."""
        shares = []
        for part, own in scores.items():
            owner = self._owners(part, stored)
            for share in (*range(part.splits), -1):
                mine = owner == share
                if mine.any():
                    weights, m, total = exponentials(own[:, mine], self.lanes)
                    o = sums[part][share] if share >= 0 else self._late(part, weights, late)
                    shares.append(Share(m, total, o))
        return to_bf16(merged(shares)).ravel()

    def _late(self, part: Part, weights: Floats, late: Floats) -> Floats:
        """Weight and sum values that wait, in FP32, tokens ascending; round once."""
        heads = late[:, part.first_head : part.first_head + part.heads].repeat(self.queries, 1)
        return to_bf16(functions.accumulate(weights, heads.swapaxes(0, 1)))
