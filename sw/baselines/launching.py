"""A network that is too small for a GPU: it takes the time of its launches, as a model.

Owns ``kernels`` and ``launching``. Imports the meaning of operations and the machines' constants.
What is counted is the float network as the torch module runs it: the module's words are said once
more, to a kit that only counts.
"""

# A kit's words are told once, in `Kit`.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gateformer.baselines.machines import Tier, launches
from gateformer.baselines.networks.meaning import Heads, translate
from gateformer.baselines.networks.quantizers import floating
from gateformer.energy.figure import Figure
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Shape
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding

FUSED, UNFUSED = 1, 5
"""Launches of scaled dot-product attention: one kernel, or two scalings, scores, softmax and
context, where torch has no kernel for the heads' sizes."""
LOOKUP = 6
"""Launches of a table: index made whole, two comparisons, their union, the choice, the rows."""


def kernels(graph: Graph, *, fused: bool = True) -> int:
    """Return the kernels that torch launches for one inference of the float network.

    Parameters
    ----------
    graph : Graph
        Imported, or folded. Its activation quantizers launch nothing: nobody runs them in float.
    fused : bool
        Whether attention is one kernel.
    """
    kit = _Counting(FUSED if fused else UNFUSED)
    translate(kit, floating(graph), {name: _Tensor(kit) for name in graph.inputs})
    return kit.count


def launching(graph: Graph, tier: Tier) -> Figure:
    """Return the seconds of one inference on a GPU, whichever it is.

    Weights stay in its caches and the batch is one, so neither bandwidth nor peak rate binds.
    Copies to the device and back are not in it. The value and the low end have attention in one
    kernel, the high end has not.

    Parameters
    ----------
    graph : Graph
        Imported, or folded.
    tier : str
        ``eager``: each operation launched on its own; otherwise from a captured graph.
    """
    count, most, one = kernels(graph), kernels(graph, fused=False), launches(tier)
    return Figure(
        value=count * one.us * 1e-6,
        low=count * one.low * 1e-6,
        high=most * one.high * 1e-6,
        kind="modelled",
        source=f"float network, quantizers left out: {count} operations x {one.us:g} us "
        f"({one.source})",
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Tensor:
    """Nothing but a tensor of its own: arithmetic with it is a launch."""

    kit: _Counting

    def _next(self, other: object) -> _Tensor:
        return self.kit.launched()

    __add__ = __sub__ = __mul__ = __truediv__ = _next


class _Counting:
    """Says a kit's words by counting them, as `TorchKit` says them."""

    def __init__(self, attention: int) -> None:
        self.count, self.each = 0, attention

    def launched(self, count: int = 1) -> _Tensor:
        self.count += count
        return _Tensor(self)

    def constant(self, reals: FloatArray) -> _Tensor:
        return _Tensor(self)

    def linear(
        self, x: Any, kernel: FloatArray, bias: FloatArray | None, given: Shape, made: Shape
    ) -> _Tensor:
        return self.launched()

    def attention(self, heads: Heads, query: Any, key: Any, value: Any, mask: Any) -> _Tensor:
        # Of one operand, all projections are one product.
        one = query is value and (heads.wk is None or query is key)
        self.launched(1 if one else 2 + (heads.wk is not None))
        # Under a mask: scores, the mask twice changed and added, softmax, the mask again, context.
        self.launched(self.each if mask is None else 7 + heads.causal)
        # Heads laid side by side and joined, or summed.
        return self.launched(2 if heads.wo is not None else 1 + (heads.bo is not None))

    def layer_norm(self, x: Any, gamma: FloatArray, beta: FloatArray, epsilon: float) -> _Tensor:
        return self.launched()

    def rms_norm(self, x: Any, gamma: FloatArray, epsilon: float) -> _Tensor:
        return self.launched()

    def softmax(self, x: Any) -> _Tensor:
        return self.launched()

    def matmul(self, a: Any, b: Any, contract: Literal["features", "tokens"]) -> _Tensor:
        return self.launched()

    def rows(self, x: Any, table: FloatArray, tokens: int) -> _Tensor:
        return self.launched(LOOKUP)

    def reshape(self, x: Any, shape: Shape) -> _Tensor:
        return _Tensor(self)

    def transpose(self, x: Any, order: tuple[int, ...]) -> _Tensor:
        return _Tensor(self)

    def slice(self, x: Any, start: int, stop: int) -> _Tensor:
        return _Tensor(self)

    def concat(self, parts: list[Any], given: list[Shape]) -> _Tensor:
        return self.launched()

    def reduce(self, x: Any, kind: str, axis: Literal["features", "tokens"]) -> _Tensor:
        return self.launched()

    def quantize(self, x: Any, to: Fixed, rounding: Rounding, overflow: Overflow) -> _Tensor:
        return self.launched()

    def keep(self, x: Any) -> Any:
        return x

    def where(self, condition: Any, yes: Any, no: Any) -> _Tensor:
        return self.launched()

    def at_least(self, a: Any, b: Any) -> _Tensor:
        return self.launched()

    def minimum(self, a: Any, b: Any) -> _Tensor:
        return self.launched()

    def maximum(self, a: Any, b: Any) -> _Tensor:
        return self.launched()

    def unary(self, name: str, x: Any) -> _Tensor:
        return self.launched()
