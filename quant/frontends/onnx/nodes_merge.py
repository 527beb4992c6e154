"""Add, Sub, Mul, Div of two tensors, and of a tensor and constants."""

from __future__ import annotations

import numpy as np

from gateformer.quant.frontends.onnx.masks import HIDDEN, masked
from gateformer.quant.frontends.onnx.model import Const
from gateformer.quant.frontends.onnx.site import Result, Site, reads
from gateformer.quant.frontends.onnx.spread import affine, paired
from gateformer.quant.frontends.onnx.tensors import Tensor
from gateformer.quant.ops.elementwise import Add, Mul

OPS = {"Add": Add(), "Sub": Add(subtract=True), "Mul": Mul()}


@reads("Add", "Sub", "Mul", "Div")
def merge(site: Site) -> Result:
    """Element by element."""
    node = site.node
    a, b = site.operand(0), site.operand(1)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if node.kind == "Div":
            raise node.unsupported(
                "it divides by a tensor", "only normalizations and softmax divide"
            )
        return paired(site, OPS[node.kind], a, b)
    constant, tensor = (a, b) if isinstance(a, Const) else (b, a)
    if not isinstance(constant, Const) or not isinstance(tensor, Tensor):
        raise node.error("its inputs are missing")
    reals = constant.reals
    if node.kind == "Add" and (reals <= HIDDEN).any():
        if ((reals != 0) & (reals > HIDDEN)).any():
            raise node.unsupported("it masks and shifts scores at once", "mask alone")
        return masked(site, tensor, reals == 0)
    if not np.isfinite(reals).all():
        raise node.error("its constant is NaN or infinite", "train again", "E105")
    one, none = np.ones(()), np.zeros(())
    if node.kind == "Add":
        return affine(site, tensor, one, reals)
    if node.kind == "Mul":
        return affine(site, tensor, reals, none)
    if node.kind == "Sub":
        return (
            affine(site, tensor, one, -reals) if tensor is a else affine(site, tensor, -one, reals)
        )
    if tensor is b or not reals.all():
        raise node.unsupported("it divides by a tensor or by zero", "multiply instead")
    return affine(site, tensor, 1.0 / reals, none)


@reads("Where")
def where(site: Site) -> Result:
    """A mask on scores: a constant condition, and minus infinity where it hides."""
    node = site.node
    condition, a, b = site.required(0), site.operand(1), site.operand(2)
    tensor, value = (a, b) if isinstance(a, Tensor) else (b, a)
    if not isinstance(tensor, Tensor) or not isinstance(value, Const):
        raise node.unsupported("it chooses between computed tensors", "multiply by a mask")
    if not (value.reals <= HIDDEN).all():
        raise node.unsupported("it writes numbers over a tensor", "multiply and add constants")
    keep = condition.array.astype(bool)
    return masked(site, tensor, keep if tensor is a else ~keep)


@reads("Neg")
def negative(site: Site) -> Result:
    """The opposite."""
    return affine(site, site.tensor(), -np.ones(()), np.zeros(()))


@reads("Sum")
def total(site: Site) -> Result:
    """All operands together, from left to right."""
    parts = [site.tensor(place) for place in range(len(site.operands))]
    result = parts[0]
    for number, part in enumerate(parts[1:], 2):
        result = paired(site, Add(), result, part, "" if number == len(parts) else f"sum{number}")
    return result
