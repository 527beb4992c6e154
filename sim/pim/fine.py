"""Long bodies of loops put together from single instructions, each looked up on its own.

Owns ``FineShapes``, ``FineStretch`` and ``merged``. Imports the closed form's stretches and shapes.

A generation meets a refresh at every clock of a body, and enters segments in many states. Obeying a
body of twenty instructions anew each time is most of the work; but all that differs is the one
instruction that meets the refresh, and few behind it until the state is as ever.
"""

from __future__ import annotations

from collections import Counter

from gateformer.sim.dram.bursts import Order, Rules, Tally
from gateformer.sim.dram.shapes import Shapes
from gateformer.sim.dram.snapshot import Snapshot, Snapshots
from gateformer.sim.dram.stretches import ELSEWHERE, Passage, Place, Stretch
from gateformer.sim.dram.tables import AF_ROW


class FineShapes(Shapes):
    """Shapes whose bodies are put together from their instructions.

    Attributes
    ----------
    merging : bool
        Whether channels that have come to the same state may be taken together from then on: where
        all of them get all that follows.
    """

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self.merging = False
        self._fine: dict[tuple[Stretch, bool], FineStretch] = {}

    def stretch(
        self, orders: tuple[Order, ...], count: int, stride: int, tracked: bool
    ) -> tuple[Stretch, int, int, int]:
        """Return a loop's stretch, its count, its lowest row and its stride."""
        whole, count, origin, stride = super().stretch(orders, count, stride, tracked)
        if len(whole.orders) == 1:
            return whole, count, origin, stride
        key = (whole, self.merging)
        found = self._fine.get(key)
        if found is None:
            pieces = tuple(
                (super(FineShapes, self).stretch((one,), 1, 0, tracked)[0], _row(one))
                for one in whole.orders
            )
            found = self._fine[key] = FineStretch(whole, pieces, self.merging)
        return found, count, origin, stride


class FineStretch(Stretch):
    """A body of a loop.

    Parameters
    ----------
    whole : Stretch
        The body as one.
    pieces : tuple of (Stretch, int)
        Each instruction, and its row.
    merging : bool
        As in ``FineShapes``.
    """

    def __init__(
        self, whole: Stretch, pieces: tuple[tuple[Stretch, int], ...], merging: bool
    ) -> None:
        super().__init__(whole.orders, whole.stride, whole.rules, whole.kept, tracked=whole.tracked)
        self._pieces = pieces
        self._merging = merging

    def obey(self, place: Place, until: int) -> tuple[Passage, int]:
        """Obey all instructions once; see ``Stretch``."""
        left = [
            ELSEWHERE - label if token == ELSEWHERE else token
            for label, token in enumerate(place.tokens)
        ]
        snapshot = place.snapshot
        clocks = reach = 0
        passages: Counter[Passage] = Counter()
        for piece, origin in self._pieces:
            tokens = tuple(
                [piece.token(row - origin if 0 <= row < AF_ROW else row) for row in left]
            )
            at = piece.place(snapshot, tokens)
            passage = at.plain or at.explore()
            if until >= at.reach:
                reach = max(reach, clocks + at.reach)
                until -= passage.clocks
            else:
                passage = at.met.get(until) or at.meet(until)
                until = passage.until
            clocks += passage.clocks
            passages[passage] += 1
            left = [
                row if row >= AF_ROW else row + origin if row >= 0 else left[ELSEWHERE - row]
                for row in passage.rows
            ]
            snapshot = passage.to.snapshot
            if self._merging and len(snapshot.stills) > 1:
                snapshot = merged(snapshot, self.kept)
        of = place.snapshot.of
        tallies: tuple[Tally, ...] = tuple(Counter() for _ in place.snapshot.stills)
        firsts = [of.index(c) for c in range(len(tallies))]
        for passage, times in passages.items():
            for first, tally in zip(firsts, tallies, strict=True):
                for key, number in passage.tallies[passage.of[first]].items():
                    tally[key] += number * times
        tokens = tuple(
            self.token(row if row < 0 or row >= AF_ROW else row - self.stride) for row in left
        )
        to = self.place(snapshot, tokens)
        return Passage(clocks, to, tuple(left), until, of, tallies), reach


def merged(snapshot: Snapshot, kept: Snapshots) -> Snapshot:
    """Return a state in which classes of channels that are alike are one."""
    found: Snapshot | None = snapshot.memo.get("merged")
    if found is None:
        stills = tuple(dict.fromkeys(snapshot.stills))
        found = snapshot
        if len(stills) < len(snapshot.stills):
            of = tuple(stills.index(snapshot.stills[c]) for c in snapshot.of)
            found = kept.keep(snapshot.register, snapshot.decoded, of, stills, snapshot.settles)
        snapshot.memo["merged"] = found
    return found


def _row(order: Order) -> int:
    return order.row if order.rows and not order.activates else 0
