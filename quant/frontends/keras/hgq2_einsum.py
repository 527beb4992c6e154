"""HGQ2's QEinsum: tensor x tensor products as attention has them, scores and contexts.

Owns its reader. Imports the readers' tools and the product of tokens x heads x features.
"""

from __future__ import annotations

from typing import Literal

from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.hgq2_layers import chain, closed, operand_grids
from gateformer.quant.frontends.keras.site import Apply, Site, reads
from gateformer.quant.frontends.keras.weights import LayerWeights
from gateformer.quant.frontends.plain_json import Config
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.ops.matmul import MatMul


@reads("hgq>QEinsum")
def einsum(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """``bthk,bshk->bths`` or ``bths,bshk->bthk``, with heads or without, under any letters."""
    config = layer.config
    contract, heads = _contraction(config)
    after = chain(closed(layer, weights))
    grids = operand_grids(layer, weights, 2) if config.flag("enable_iq", True) else None

    def apply(site: Site) -> str:
        tensors = site.tensors
        if len(tensors) != 2 or any(len(site.shape(t)) != 2 + heads for t in tensors):
            raise config.error("its operands do not fit its equation", code="E112")
        parts = []
        for number, x in enumerate(tensors, 1):
            if grids is not None:
                x = site.add(grids[number - 1].op(), x, point=f"input{number}")
            if not heads:
                tokens, features = site.shape(x)
                x = site.add(Reshape((tokens, 1, features)), x, point=f"head{number}")
            parts.append(x)
        result = site.add(MatMul(contract), *parts, point="product")
        if not heads:
            tokens, _, features = site.shape(result)
            result = site.add(Reshape((tokens, features)), result, point="joined")
        return after.add(site, result)

    return apply


def _contraction(config: Config) -> tuple[Literal["features", "tokens"], bool]:
    """Axis of the second operand that is summed over, and whether there are heads."""
    text = config.text("equation").replace(" ", "")
    left, _, out = text.partition("->")
    a, _, b = left.partition(",")
    sides = (a, b, out)
    alike = {side[:1] for side in sides} == {a[:1]} and {len(side) for side in sides} <= {3, 4}
    if alike and len({len(side) for side in sides}) == 1 and text.count(",") == 1:
        heads = len(a) == 4
        same_heads = not heads or len({side[2] for side in sides}) == 1
        if same_heads and a[1] == out[1] and all(len(set(s)) == len(s) for s in sides):
            if a[-1] == b[-1] and b[1] == out[-1] and a[-1] not in out:
                return "features", heads
            if a[-1] == b[1] and b[-1] == out[-1] and b[1] not in out:
                return "tokens", heads
    raise config.unsupported(
        f"its equation {text!r} is no product of attention",
        "write it as 'bthk,bshk->bths' or 'bths,bshk->bthk', or without h",
    )
