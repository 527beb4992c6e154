"""Where a node meets the graph: its operands, its result, and views made into values.

Owns ``Site``, the registry of readers and ``reads``. Imports the builder, layout operations and
views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from gateformer.quant.errors import ModelError
from gateformer.quant.frontends.keras.site import MAX_VALUE
from gateformer.quant.frontends.onnx.model import Const, Node
from gateformer.quant.frontends.onnx.tensors import BATCH, Tensor
from gateformer.quant.graph import Builder
from gateformer.quant.ops.base import Op, Shape
from gateformer.quant.ops.layout import Reshape, Transpose
from gateformer.quant.types import FloatArray

Operand = Tensor | Const | None
Result = Tensor | Const
Quantizers = dict[str, tuple[FloatArray, FloatArray]]
Groups = Sequence[Sequence[int]]
"""Atoms of each axis that a value shall have."""


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """One node, in the graph under construction.

    Attributes
    ----------
    builder : Builder
        The graph.
    node : Node
        The node.
    operands : tuple of Tensor, Const or None
        Its inputs; None where one is left out.
    quantizers : dict of str to (scale, zero point)
        Tensors of integers that a QuantizeLinear made.
    """

    builder: Builder
    node: Node
    operands: tuple[Operand, ...]
    quantizers: Quantizers

    def operand(self, place: int) -> Operand:
        """Input by place; None where it is absent."""
        return self.operands[place] if place < len(self.operands) else None

    def tensor(self, place: int = 0) -> Tensor:
        """Input that the network computes."""
        found = self.operand(place)
        if not isinstance(found, Tensor):
            raise self.node.unsupported(
                f"its input {place} is a constant", "give it a tensor that the network computes"
            )
        return found

    def const(self, place: int) -> Const | None:
        """Input known at import, or None where it is absent; E114 for a computed one."""
        found = self.operand(place)
        if isinstance(found, Tensor):
            raise self.node.error(
                f"its input {place} is computed by the network", "make it a constant", "E114"
            )
        return found

    def required(self, place: int) -> Const:
        """Input known at import."""
        found = self.const(place)
        if found is None:
            raise self.node.error(f"its input {place} is missing")
        return found

    def integers(self, place: int, key: str | None = None) -> tuple[int, ...] | None:
        """Integers of a constant input, or of an attribute in older versions; None if absent."""
        found = self.const(place)
        if found is None:
            return None if key is None else self.node.integers(key)
        return tuple(int(n) for n in found.array.ravel())

    def axis(self, tensor: Tensor, axis: int) -> int:
        """An axis of a tensor counted from zero."""
        found = tensor.axis(axis)
        if found is None:
            raise self.node.error(f"its axis {axis} is not there in {tensor.dims}", code="E112")
        return found

    def shape(self, value: str) -> Shape:
        """Shape of a value, without the batch axis."""
        return self.builder.values[value].shape

    def add(self, op: Op, *inputs: str, point: str = "") -> str:
        """Append the result, or a value ``<name>/<point>`` on the way to it."""
        name = f"{self.node.name}/{point}" if point else self.node.name
        value = self.builder.add(op, *inputs, name=name, layer=self.node.name)
        if prod(self.shape(value)) > MAX_VALUE:
            raise self.node.error(
                f"its result has {prod(self.shape(value))} elements", "make it smaller", "E112"
            )
        return value

    def apply(self, op: Op, tensor: Tensor, point: str = "") -> Tensor:
        """Append an operation that keeps a value's shape; the view stays."""
        return replace(tensor, value=self.add(op, tensor.value, point=point))

    def atoms(self, tensor: Tensor, axes: Sequence[int]) -> tuple[int, ...]:
        """Atoms of some ONNX axes, outermost first; E114 where samples are among them."""
        found = tuple(atom for axis in axes for atom in tensor.axes[axis])
        if BATCH in found:
            raise self.node.error(
                f"it mixes the samples of a batch (axis 0 of {tensor.dims})",
                "export with a batch axis that is dynamic or of size 1",
                "E114",
            )
        return found

    def boxed(self, tensor: Tensor, groups: Groups, loose: bool = False) -> Tensor:
        """The same tensor over a value whose axes are groups of atoms, in this order.

        Parameters
        ----------
        tensor : Tensor
            A view.
        groups : sequence of sequences of int
            All of its atoms.
        loose : bool
            Leave the axes behind the first as they are, where only they differ.

        Returns
        -------
        Tensor
            Its atoms are in the order given.
        """
        order = [atom for group in groups for atom in group]
        shape = tuple(prod(tensor.atoms[atom] for atom in group) for group in groups)
        value = tensor.value
        if order != sorted(order):
            runs = _runs(order)
            straight = sorted(runs)
            value = self._reshaped(value, [prod(tensor.atoms[a] for a in run) for run in straight])
            moved = Transpose(tuple(straight.index(run) for run in runs))
            value = self.add(moved, value, point="moved")
        have = self.shape(value)
        if not (loose and len(have) > 1 and len(shape) > 1 and have[0] == shape[0]):
            value = self._reshaped(value, shape)
        place = {atom: new for new, atom in enumerate(order)} | {BATCH: BATCH}
        axes = tuple(tuple(place[atom] for atom in axis) for axis in tensor.axes)
        return Tensor(value, tuple(tensor.atoms[a] for a in order), axes, tensor.batch)

    def rows(self, tensor: Tensor, features: Sequence[int]) -> list[list[int]]:
        """Groups with some atoms last: tokens, the other rows as heads, then the features."""
        others = [atom for atom in range(len(tensor.atoms)) if atom not in features]
        groups = [[*others[:1]], [*others[1:]], [*features]]
        return [group for place, group in enumerate(groups) if group or place == 2]

    def _reshaped(self, value: str, shape: Sequence[int]) -> str:
        shape = tuple(shape) or (1,)
        if self.shape(value) == shape:
            return value
        return self.add(Reshape(shape), value, point="shaped")


def _runs(order: Sequence[int]) -> list[tuple[int, ...]]:
    """Atoms that stay beside each other, together."""
    runs: list[list[int]] = []
    for atom in order:
        if runs and runs[-1][-1] + 1 == atom:
            runs[-1].append(atom)
        else:
            runs.append([atom])
    return [tuple(run) for run in runs]


Reader = Callable[[Site], Result | tuple[Result, ...]]
"""Adds one node to the graph; returns the view of its result, or of its results."""

READERS: dict[tuple[str, str], Reader] = {}
"""(domain, kind) -> reader, filled as the ``nodes_*`` modules are imported."""

QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
"""Domains that QONNX nodes have had (qonnx.custom_op.registry)."""


def reads(*kinds: str, domains: Sequence[str] = ("",)) -> Callable[[Reader], Reader]:
    """Register a reader for kinds of nodes."""

    def register(reader: Reader) -> Reader:
        READERS.update({(domain, kind): reader for domain in domains for kind in kinds})
        return reader

    return register


def refused(node: Node, known: Mapping[tuple[str, str], Reader] = READERS) -> ModelError:
    """E102 for a kind without a reader."""
    near = [d for d, kind in known if kind == node.kind]
    cause = (
        "gateformer reads dense, attention, normalization, activation, quantizer and layout nodes"
    )
    if near:
        cause = f"its domain is '{node.domain}', known is '{near[0] or 'ai.onnx'}'"
    return node.unsupported(
        cause, HINTS.get(node.kind, "replace it, or add a reader (docs/onnx.md)")
    )


HINTS = {
    "If": "export without control flow",
    "Loop": "export without control flow",
    "Scan": "export without control flow",
    "LSTM": "use an encoder; recurrent layers are not generated",
    "GRU": "use an encoder; recurrent layers are not generated",
    "Conv": "use a dense layer on the flattened window (a Conv of kernel 1 is one)",
}
"""What to do about kinds that people try."""
