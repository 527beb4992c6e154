"""From a decoder's graph to a program: instructions for the memory, and work for the ASIC.

Owns ``Compiler`` and ``compile_token``. Imports the decoder, devices, layouts, mappings and how
operations become steps.

All blocks share their segments, each at its own row offset, and so do all tokens for which nothing
differs; a token of a long generation costs little more than the steps that depend on its position.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

from gateformer.hw.pim import asic
from gateformer.hw.pim.device import Device
from gateformer.hw.pim.drafting import Draft
from gateformer.hw.pim.layout import Cache, Layout
from gateformer.hw.pim.lowering import Lowering
from gateformer.hw.pim.placing import fullest, largest_scales, lay
from gateformer.hw.pim.program import Program, Step
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, PimError


class Compiler:
    """Compiles the tokens of a generation.

    Parameters
    ----------
    decoder : Decoder
        The model.
    device : Device
        The memory.
    mapping : str
        A policy's name.
    tokens : int or None
        Tokens of a sequence that the cache has room for; None for the model's context.
    batch : int
        Sequences, all at the same position.
    weights : {"bf16", "int8", "int4"}
        Format of the matrices.
    v_batch : int
        Tokens whose values are written together: 1, or a divisor of an access' numbers. Those that
        wait stand in the ASIC's memory, or row by row in the memory where that is too small, and
        the ASIC weights and sums them itself.
    parts : int
        Into how many parts attention and the feed-forward network are cut, so that the ASIC can
        work on one while the memory works on the next; from 2 on, sequences of a batch take turns
        step by step. 1 where nothing overlaps.
    ffn_keep : float
        Share of the feed-forward network's hidden vector that is multiplied with ``down``, 0 to 1.
        Of the columns of each tile the ASIC keeps those whose numbers have the largest sum of
        magnitudes, so a token takes the same clocks whatever its numbers are; the others are
        neither sent to the memory nor read from its rows. 1: all, and nothing is selected.

    Raises
    ------
    PimError or ConfigError
        As ``lay``; E806 also where the ASIC's memory is too small.
    """

    def __init__(
        self,
        decoder: Decoder,
        device: Device,
        mapping: str = "pim-gpt",
        *,
        tokens: int | None = None,
        batch: int = 1,
        weights: str = "bf16",
        v_batch: int = 1,
        parts: int = 1,
        ffn_keep: float = 1.0,
    ) -> None:
        if not 0 < ffn_keep <= 1:
            raise ConfigError(
                "E022",
                "setting out of range",
                layer="ffn_keep",
                cause=f"It is {ffn_keep}; it is a share, above 0 and at most 1",
            )
        self.decoder = decoder
        self.lanes = device.asic.lanes if device.asic else 1
        self.layout: Layout = lay(decoder, device, mapping, tokens, batch, weights, v_batch)
        own = asic.of(device)
        free = asic.free_bytes(decoder, device)
        if v_batch > 1 and self.layout.staging is None:
            free -= asic.value_bytes(decoder, v_batch * batch)
        scales = 2 * largest_scales(decoder, weights)  # of one matrix, while no scores are there
        if free < scales:
            need = asic.vector_bytes(decoder) + scales
            raise PimError(
                "E806",
                "vectors larger than the ASIC's memory",
                layer=decoder.name,
                cause=f"A block's vectors take {need} bytes, {scales - free} more than there are",
                fix="Give [asic] of the device a larger sram_bytes",
            )
        each = (free - asic.vector_bytes(decoder)) // 2
        cache, tokens = self.layout.caches[0], self.layout.tokens
        scores = fullest(decoder, device, cache, tokens, v_batch)
        self.parts, self.v_batch = parts, v_batch
        self.turns = parts > 1 and batch > 1 and each >= scores
        if self.turns:
            free = each
        self.lowering = Lowering(self.layout, free, v_batch, parts, ffn_keep, own)
        self._blocks = [_Blocks(self.layout) for _ in range(batch)]

    def token(self, position: int, *, logits: bool = True, word: int = 0) -> Program:
        """Compile one token of each sequence.

        Parameters
        ----------
        position : int
            Tokens in front of it.
        logits : bool
            Whether the LM head is part of it; not for the prompt's tokens but the last.
        word : int
            The token's number, the same for all sequences. It decides where its vector is read; the
            clock does not know it but where that vector crosses a row's end.

        Returns
        -------
        Program
            Steps whose ``macs`` add up to ``decoder.macs(position, logits=logits)`` a sequence.

        Raises
        ------
        ConfigError
            E022 for a position that the cache has no room for, or a token that is not known.
        """
        if not 0 <= position < self.layout.tokens:
            raise ConfigError(
                "E022",
                "setting out of range",
                layer="position",
                cause=f"It is {position}; the cache has room for {self.layout.tokens} tokens",
                fix="Lay the model out for more tokens",
            )
        if not 0 <= word < self.decoder.vocab:
            raise ConfigError(
                "E022",
                "setting out of range",
                layer="word",
                cause=f"It is {word}; {self.decoder.name} knows {self.decoder.vocab} tokens",
                fix="Choose a token from 0 on",
            )
        each = [
            self._sequence(position, logits, word, number) for number in range(self.layout.batch)
        ]
        if not self.turns:
            return Program(self.decoder.name, _behind(each))
        pairs = [_alternating(each[i : i + 2]) for i in range(0, len(each), 2)]
        return Program(self.decoder.name, _behind(pairs))

    def foresee(self, positions: range) -> None:
        """Raise now what would end a run at a later token.

        Attention grows with the tokens in front, so the last token's is looked at; where that does
        not fit, what is raised is of the first token whose attention does not.

        Raises
        ------
        PimError
            E806 as ``token``.
        """
        find = self.lowering.attention.parts
        for cache in self.layout.caches:

            def fails(position: int, cache: Cache = cache) -> bool:
                try:
                    find(cache, position)
                except PimError:
                    return True
                return False

            if positions and fails(positions[-1]):
                find(cache, positions[bisect_left(positions, True, key=fails)])

    def _sequence(self, position: int, logits: bool, word: int, number: int) -> tuple[Step, ...]:
        low = self.lowering
        first = low.first(position, word)
        steps = [Step(work, after, -1, rows, macs) for work, after, macs, rows in first]
        steps += self._blocks[number].steps(low.block(position, number), len(first))
        if logits:
            base = len(steps)
            for work, after, macs, rows in low.last():
                steps.append(Step(work, tuple(base + one for one in after), -1, rows, macs))
        return tuple(steps)


class _Blocks:
    """The steps of all blocks of one sequence; kept from token to token where nothing changed.

    Parameters
    ----------
    layout : Layout
        For the number of blocks and the rows between them.
    """

    def __init__(self, layout: Layout) -> None:
        self.layers = layout.decoder.layers
        self.stride = layout.stride
        self.drafts: list[Draft] = []
        self.base = -1
        self.columns: list[list[Step]] = []

    def steps(self, drafts: list[Draft], base: int) -> Iterable[Step]:
        """Return the blocks' steps, the first of them being number ``base`` of its sequence."""
        if len(drafts) != len(self.drafts) or base != self.base:
            self.drafts, self.columns = [], [[] for _ in drafts]
        kept: Sequence[Draft | None] = self.drafts or [None] * len(drafts)
        for place, (old, new) in enumerate(zip(kept, drafts, strict=True)):
            if old is None or old[0] is not new[0] or old[1:] != new[1:]:
                self.columns[place] = self._column(new, base, len(drafts))
        self.drafts, self.base = drafts, base
        return chain.from_iterable(zip(*self.columns, strict=True))

    def _column(self, draft: Draft, base: int, length: int) -> list[Step]:
        work, after, macs, rows = draft
        return [
            Step(
                work,
                tuple(base + layer * length + one for one in after),
                layer,
                layer * self.stride + rows,
                macs,
            )
            for layer in range(self.layers)
        ]


def compile_token(
    decoder: Decoder,
    device: Device,
    mapping: str,
    position: int,
    *,
    logits: bool = True,
    batch: int = 1,
    weights: str = "bf16",
    tokens: int | None = None,
    v_batch: int = 1,
    parts: int = 1,
    ffn_keep: float = 1.0,
) -> Program:
    """Compile one token; see ``Compiler``, which is faster for many of them."""
    compiler = Compiler(
        decoder,
        device,
        mapping,
        tokens=tokens,
        batch=batch,
        weights=weights,
        v_batch=v_batch,
        parts=parts,
        ffn_keep=ffn_keep,
    )
    return compiler.token(position, logits=logits)


def _moved(step: Step, places: list[int]) -> Step:
    after = tuple(places[one] for one in step.after)
    return Step(step.work, after, step.block, step.offset, step.macs)


def _behind(each: list[tuple[Step, ...]]) -> tuple[Step, ...]:
    """Return several sequences' steps, one sequence after another."""
    if len(each) == 1:
        return each[0]
    found: list[Step] = []
    for steps in each:
        places = list(range(len(found), len(found) + len(steps)))
        found += [_moved(step, places) for step in steps]
    return tuple(found)


def _alternating(each: list[tuple[Step, ...]]) -> tuple[Step, ...]:
    """Return several sequences' steps in turns."""
    order = [
        (number, place)
        for place, row in enumerate(zip_longest(*each))
        for number, step in enumerate(row)
        if step is not None
    ]
    places: list[list[int]] = [[0] * len(steps) for steps in each]
    for at, (number, place) in enumerate(order):
        places[number][place] = at
    return tuple(_moved(each[number][place], places[number]) for number, place in order)
