"""QONNX's Quant and BipolarQuant, and ONNX's QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import numpy as np

from gateformer.quant.errors import GateformerError
from gateformer.quant.expand import Elementwise, LogSqrt2
from gateformer.quant.expand.scaled import quantizer
from gateformer.quant.frontends.onnx.model import Const, Node, Steps
from gateformer.quant.frontends.onnx.site import QONNX, Result, Site, reads
from gateformer.quant.frontends.onnx.spread import affine, by_feature
from gateformer.quant.frontends.onnx.tensors import Tensor
from gateformer.quant.types import FloatArray, Rounding

ROUNDINGS = {
    "ROUND": Rounding.RND_CONV,
    "HALF_EVEN": Rounding.RND_CONV,
    "FLOOR": Rounding.TRN,
}
"""Rounding modes of QONNX that a Cast has; names in capitals (qonnx, resolve_rounding_mode)."""


@reads("Quant", "IntQuant", domains=QONNX)
def quant(site: Site) -> Result:
    """``scale (clip(round(x / scale + zero_point)) - zero_point)``, QONNX's Quant."""
    node = site.node
    scale, zero, bits = (site.required(place).array for place in (1, 2, 3))
    name = node.text("rounding_mode", "ROUND").upper()
    if name not in ROUNDINGS:
        raise node.error(
            f"its rounding mode is {name}", f"use one of {', '.join(ROUNDINGS)}", "E109"
        )
    low, high = limits(node, bits, bool(node.integer("signed", 1)), bool(node.integer("narrow", 0)))
    if low == -high == -1 and np.all(bits == 1):
        return bipolar(site, scale)
    x = site.operand(0)
    if isinstance(x, Const):
        return rounded_constant(x, scale, zero, low, high, ROUNDINGS[name])
    return quantized(site, site.tensor(), scale, zero, (low, high), ROUNDINGS[name])


def limits(node: Node, bits: FloatArray, signed: bool, narrow: bool) -> tuple[int, int]:
    """Smallest and largest step of a width; one signed bit is -1 and 1, as QONNX has it."""
    width = float(bits.flat[0]) if bits.size else 0.0
    if (
        not bits.size
        or (bits != bits.flat[0]).any()
        or not width.is_integer()
        or not 1 <= width <= 32
    ):
        raise node.error(
            f"its bit width is {bits.tolist()}", "use one whole width of 1 to 32", "E109"
        )
    n = int(width)
    if not signed:
        return 0, 2**n - 1 - narrow
    return (-1, 1) if n == 1 else (-(2 ** (n - 1)) + narrow, 2 ** (n - 1) - 1)


def rounded_constant(
    x: Const, scale: FloatArray, zero: FloatArray, low: int, high: int, rounding: Rounding
) -> Const:
    """Quantized weights; divided in the file's own number type, so that ties fall as there."""
    with np.errstate(all="ignore"):
        real = x.array / scale + zero
    real = np.clip(real, low, high)
    steps = np.floor(real) if rounding is Rounding.TRN else np.rint(real)
    raw = steps.astype(np.float64) - zero.astype(np.float64)
    return stepped(raw, scale)


def stepped(raw: FloatArray, scale: FloatArray) -> Const:
    """Constants of whole steps."""
    wide = scale.astype(np.float64)
    wide = wide.reshape((1,) * max(0, raw.ndim - wide.ndim) + wide.shape)
    wide = wide.reshape(()) if raw.ndim == 0 else wide
    return Const(raw * wide, Steps(raw, wide))


def quantized(
    site: Site,
    tensor: Tensor,
    scale: FloatArray,
    zero: FloatArray,
    steps: tuple[int, int],
    rounding: Rounding,
) -> Tensor:
    """A uniform quantizer of one scale, or of one a feature."""
    if (zero != np.rint(zero)).any():
        raise site.node.error("its zero point is not whole", "use a whole one", "E109")
    found = by_feature(site, tensor, scale.astype(np.float64), zero.astype(np.float64))
    if found is None:
        raise site.node.error(
            "its scale differs from token to token", "give one scale a tensor or a feature", "E109"
        )
    boxed, (by, offset) = found
    if (by == by.flat[0]).all():
        by = by.reshape(-1)[:1].reshape(())
    try:
        op = quantizer(by, offset.astype(np.int64), *steps, rounding)
    except GateformerError as error:
        raise error.at(site.node.name) from None
    return site.apply(op, boxed)


@reads("LogQuant", domains=("gateformer",))
def log_quant(site: Site) -> Result:
    """Shares on powers of sqrt(2)."""
    node = site.node
    if node.text("base", "sqrt2") != "sqrt2":
        raise node.error(f"its base is {node.text('base')}", "use sqrt2", "E109")
    return site.apply(LogSqrt2(node.integer("bits", 4)), site.tensor())


@reads("Trunc", domains=QONNX)
def trunc(site: Site) -> Result:
    """Low bits of whole steps dropped (Trunc of the QONNX standard, versions 1 and 2).

    ``floor(q 2^-k) = round((q - (2^k - 1) / 2) 2^-k)`` for whole q, and never a tie: what float
    arithmetic adds to q does no harm.
    """
    node, tensor = site.node, site.tensor()
    given = [site.required(place).array for place in range(1, len(site.operands))]
    if node.text("rounding_mode", "FLOOR").upper() != "FLOOR" or any(g.size != 1 for g in given):
        raise node.error("it rounds, or has more than one scale", "use FLOOR and one", "E109")
    numbers = [float(g.reshape(-1)[0]) for g in given]
    scale, zero, bits = numbers[:3]
    if len(numbers) == 4:
        drop, kept = bits - numbers[3], int(numbers[3])
        low, high, step = -(1 << kept), (1 << kept) - 1, scale
    else:
        drop = float(np.rint(np.log2(numbers[3] / scale)))
        width = np.array(numbers[4])
        signed, narrow = bool(node.integer("signed", 1)), bool(node.integer("narrow", 0))
        (low, high), step = limits(node, width, signed, narrow), numbers[3]
    if not drop.is_integer() or not 1 <= drop <= 32 or zero != 0 or scale <= 0:
        raise node.error(f"it drops {drop} bits at zero point {zero}", "use zero point 0", "E109")
    coarse = scale * 2.0**drop
    middle = np.array(-scale * (2.0**drop - 1.0) / 2.0)
    moved = affine(site, tensor, np.ones(()), middle, "middle")
    op = quantizer(np.array(coarse), np.array(0), low, high)
    if step == coarse:
        return site.apply(op, moved)
    return affine(site, site.apply(op, moved, "steps"), np.array(step / coarse), np.zeros(()))


@reads("BipolarQuant", domains=QONNX)
def bipolar_quant(site: Site) -> Result:
    """``scale`` from 0 on, ``-scale`` below."""
    return bipolar(site, site.required(1).array)


def bipolar(site: Site, scale: FloatArray) -> Result:
    """One bit: a sign times a scale."""
    x = site.operand(0)
    if isinstance(x, Const):
        return stepped(np.where(x.array >= 0, 1.0, -1.0), scale)
    if scale.size != 1:
        raise site.node.error("it has a scale a channel", "give it one scale", "E109")
    top = float(scale.ravel()[0])
    return site.apply(Elementwise("step", (("low", -top), ("high", top))), site.tensor())


TYPES = {"u1": (0, 255), "i1": (-128, 127), "u2": (0, 65535), "i2": (-32768, 32767)}
"""numpy's integer types -> range of a QuantizeLinear to them."""

OUTPUT_TYPES = {0: "u1", 2: "u1", 3: "i1", 4: "u2", 5: "i2"}
"""``output_dtype`` (TensorProto.DataType) -> numpy's type, where no zero point says it."""


@reads("QuantizeLinear")
def quantize_linear(site: Site) -> Result:
    """To integers; the view then holds reals, and DequantizeLinear reads them as they are."""
    node = site.node
    scale, zero = site.required(1), site.const(2)
    named = node.integer("output_dtype", 0)
    kind = zero.array.dtype.str[1:] if zero is not None else OUTPUT_TYPES.get(named, str(named))
    if named not in OUTPUT_TYPES or kind not in TYPES:
        raise node.error(f"it quantizes to {kind}", "quantize to 8 or 16 bits", "E109")
    x = site.operand(0)
    rank = len(x.axes) if isinstance(x, Tensor) else x.array.ndim if x is not None else 0
    by = _placed(node, scale.array, rank)
    offset = _placed(node, np.zeros_like(scale.array) if zero is None else zero.array, rank)
    if isinstance(x, Const):
        steps = np.clip(np.rint(x.array / by) + offset, *TYPES[kind])
        return Const(steps.astype(np.dtype(kind)))
    site.quantizers[node.outputs[0]] = (by.astype(np.float64), offset.astype(np.float64))
    return quantized(site, site.tensor(), by, offset, TYPES[kind], Rounding.RND_CONV)


@reads("DequantizeLinear")
def dequantize_linear(site: Site) -> Result:
    """From integers, of a constant or of the QuantizeLinear in front of it."""
    node, x = site.node, site.operand(0)
    scale, zero = site.required(1).array, site.const(2)
    rank = len(x.axes) if isinstance(x, Tensor) else x.array.ndim if x is not None else 0
    by = _placed(node, scale, rank)
    offset = _placed(node, np.zeros_like(scale) if zero is None else zero.array, rank)
    if isinstance(x, Const):
        return stepped(x.reals - offset.astype(np.float64), by)
    same = site.quantizers.get(node.inputs[0])
    if same is None or not (np.array_equal(same[0], by) and np.array_equal(same[1], offset)):
        raise node.unsupported(
            "it does not undo a QuantizeLinear of the same scale and zero point",
            "export with pairs of QuantizeLinear and DequantizeLinear (QDQ)",
        )
    return site.tensor()


def _placed(node: Node, array: FloatArray, rank: int) -> FloatArray:
    """Scales along their axis."""
    if array.size == 1:
        return array.reshape(())
    axis = node.integer("axis", 1)
    if array.ndim != 1 or not -rank <= axis < rank or node.integer("block_size", 0):
        raise node.error(
            "its scales come in blocks", "give one scale a tensor or a channel", "E109"
        )
    shape = [1] * rank
    shape[axis] = array.size
    return array.reshape(shape)
