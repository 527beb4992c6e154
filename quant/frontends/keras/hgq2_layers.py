"""HGQ2's layers: the operation between its input quantizer and its output quantizer.

Owns the readers of dense, normalization, merge, reduction and table layers, and ``Chain``. Meanings
follow HGQ2 0.2.0 at inference; every result without a quantizer stays exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log2
from typing import Literal

import numpy as np

from gateformer.quant.expand import Affine, Elementwise, Exact, Linear, Pool, Table
from gateformer.quant.expand.float32_functions import SINGLE
from gateformer.quant.frontends.keras.activation import ALIASES
from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.hgq2_quantizers import Grid, quantizer
from gateformer.quant.frontends.keras.layers_dense import einsum_linear
from gateformer.quant.frontends.keras.site import Apply, Site, reads
from gateformer.quant.frontends.keras.weights import LayerWeights
from gateformer.quant.frontends.plain_json import Config, shorten
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.cast import Rescale
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import FloatArray, dyadic

EXACT_BITS = 32
"""Most bits that a layer's weights may take at one step: what lowering keeps exact."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Operations one after another; the last one's value has the layer's name.

    Attributes
    ----------
    steps : tuple of (str, Op)
        A point's name and the operation there.
    """

    steps: tuple[tuple[str, Op], ...]

    def add(self, site: Site, x: str, under: str = "") -> str:
        """Append all of it behind a value; ``under`` is a part of the layer, or the whole."""
        for number, (point, op) in enumerate(self.steps, 1):
            last = number == len(self.steps)
            name = under if last else f"{under}/{point}" if under else point
            x = site.add(op, x, point=name)
        return x


def chain(*steps: tuple[str, Op | None]) -> Chain:
    """The steps that are there."""
    return Chain(tuple((point, op) for point, op in steps if op is not None))


def taken(layer: LayerConfig, weights: LayerWeights, key: str, path: str = "") -> Grid | None:
    """Quantizer ``iq`` or ``oq`` of a layer, or None where it is switched off."""
    if not layer.config.flag(f"enable_{key}", key == "iq"):
        return None
    return quantizer(layer.config, f"{key}_conf", weights, f"{path}{key}")


def opened(layer: LayerConfig, weights: LayerWeights) -> tuple[str, Op | None]:
    """The input quantizer as a chain's first step."""
    grid = taken(layer, weights, "iq")
    return "input", None if grid is None else grid.op()


def closed(layer: LayerConfig, weights: LayerWeights) -> tuple[str, Op | None]:
    """The output quantizer as a chain's last step; exact without one."""
    grid = taken(layer, weights, "oq")
    return "output", Exact() if grid is None else grid.op()


def activated(config: Config) -> tuple[str, Op | None]:
    """The activation of a layer: one that is exact on integers, or none."""
    name = config.get("activation")
    if name in (None, "linear"):
        return "activation", None
    if name == "relu":
        return "activation", Elementwise("relu")
    raise config.unsupported(
        f"its activation is {shorten(name)}, without a quantizer of its own",
        "use relu, or put QUnaryFunctionLUT behind the layer",
    )


def checked(config: Config, what: str, real: FloatArray) -> FloatArray:
    """Quantized weights as they are; E109 where no common step holds them all."""
    if dyadic(real, EXACT_BITS) is None:
        raise config.error(
            f"its {what} spans more than {EXACT_BITS} bits from its largest to its finest step",
            "limit the quantizer's fraction bits",
            "E109",
        )
    return real


def weight(
    config: Config, weights: LayerWeights, what: str, path: str = "", prefix: str = ""
) -> Callable[[FloatArray], FloatArray]:
    """Quantizer of a kernel (its configuration is ``<prefix>kq_conf``) or of a bias."""
    key = {"kernel": "kq", "bias": "bq"}[what]
    grid = quantizer(config, f"{prefix}{key}_conf", weights, f"{path}{key}")
    return lambda real: checked(config, what, grid.weights(real))


@reads("hgq>Quantizer")
def quantizer_layer(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """A quantizer alone."""
    steps = chain(("output", quantizer(layer.config, "config", weights, "").op()))
    return lambda site: steps.add(site, site.one())


@reads("hgq>QDense")
def dense(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """``activation(x kernel + bias)`` on the last axis."""
    config = layer.config
    units = config.integer("units", least=1)
    kernel = weights.take("kernel", (None, units), weight(config, weights, "kernel"))
    bias = None
    if config.flag("use_bias", True):
        bias = weights.take("bias", (units,), weight(config, weights, "bias"))
    op = Linear(kernel, bias, (units,))
    steps = chain(opened(layer, weights), ("linear", op), activated(config), closed(layer, weights))

    def apply(site: Site) -> str:
        x = site.one()
        site.rows(x)
        return steps.add(site, x)

    return apply


@reads("hgq>QBatchNormDense")
def dense_normalized(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """A dense layer whose kernel takes in the normalization of its input.

    As HGQ2 0.2.0 computes it: the kernel's rows times ``gamma / sqrt(variance + epsilon)``, and
    the bias less the means times the kernel as it was before.
    """
    config = layer.config
    units = config.integer("units", least=1)
    kernel = weights.take("kernel", (None, units))
    bias = weights.take("bias", (units,)).astype(np.float32)
    inputs = kernel.shape[0]
    gamma = weights.take("bn_gamma", (inputs,)) if config.flag("scale", True) else np.ones(inputs)
    if config.flag("enable_ebops", True):
        for name in ("beta", "ebops"):
            weights.take(name, ())
    mean, variance = (weights.take(name, (inputs,)) for name in ("moving_mean", "moving_variance"))
    scale = _scale(config, gamma, variance, config.number("epsilon", 1e-3))
    fused = (scale[:, None] * kernel.astype(np.float32)).astype(np.float64)
    offset = bias + (-(mean @ kernel)).astype(np.float32)
    op = Linear(
        weight(config, weights, "kernel")(fused),
        weight(config, weights, "bias")(offset.astype(np.float64)),
        (units,),
    )
    steps = chain(opened(layer, weights), ("linear", op), activated(config), closed(layer, weights))
    return lambda site: steps.add(site, site.one())


@reads("hgq>QEinsumDense")
def einsum_dense(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """A dense layer whose equation contracts features with a kernel, token by token."""
    config = layer.config
    bias = weight(config, weights, "bias") if config.get("bias_axes") else None
    op, flat = einsum_linear(layer, weights, weight(config, weights, "kernel"), bias)
    before = opened(layer, weights)[1]
    after = chain(("linear", op), activated(config), closed(layer, weights))

    def apply(site: Site) -> str:
        x = site.one()
        if before is not None:
            x = site.add(before, x, point="input")
        return after.add(site, flat(site, x))

    return apply


@reads("hgq>QBatchNormalization")
def batch_norm(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """``x scale + offset``, both quantized; without ``center`` HGQ2 0.2.0 adds 1, not 0."""
    config = layer.config
    epsilon = config.number("epsilon", 1e-3)
    one = np.ones(1)
    gamma = weights.take("gamma", (None,)) if config.flag("scale", True) else one
    beta = weights.take("beta", (None,)) if config.flag("center", True) else one
    mean, variance = (weights.take(f"moving_{name}", (None,)) for name in ("mean", "variance"))
    scale = _scale(config, gamma, variance, epsilon)
    offset = beta.astype(np.float32) - mean.astype(np.float32) * scale
    op = Affine(
        weight(config, weights, "kernel")(scale.astype(np.float64)),
        weight(config, weights, "bias")(offset.astype(np.float64)),
    )
    steps = chain(opened(layer, weights), ("affine", op), closed(layer, weights))

    def apply(site: Site) -> str:
        x = site.one()
        axes = config.integers("axis") if config.get("axis") is not None else (-1,)
        if axes not in ((-1,), (len(site.rows(x)),)):
            raise config.unsupported(
                f"it normalizes over axes {axes}", "normalize over the last axis"
            )
        return steps.add(site, x)

    return apply


def _scale(
    config: Config, gamma: FloatArray, variance: FloatArray, epsilon: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """``gamma / sqrt(variance + epsilon)``, each step in float32."""
    spread = variance.astype(np.float32) + np.float32(epsilon)
    if (spread <= 0).any():
        raise config.error("its moving variance is not positive", "train again", "E105")
    return gamma.astype(np.float32) / np.sqrt(spread)


MERGES: dict[str, Op] = {
    "hgq>QAdd": Add(),
    "hgq>QAveragePow2": Add(),
    "hgq>QSubtract": Add(subtract=True),
    "hgq>QMultiply": Mul(),
    "hgq>QMaximum": Add(),
    "hgq>QMinimum": Add(),
}
"""Merging layers; a maximum is ``b + relu(a - b)``, a minimum ``a - relu(a - b)``."""


@reads(*MERGES)
def merge(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Element by element from left to right, each operand through its own quantizer."""
    after = chain(closed(layer, weights))
    quantized = layer.config.flag("enable_iq", True)

    def apply(site: Site) -> str:
        tensors = site.tensors
        if len(tensors) < 2 or len({site.shape(t) for t in tensors}) != 1:
            raise layer.config.error("its operands are not of one shape", code="E112")
        parts = list(tensors)
        if quantized:
            grids = operand_grids(layer, weights, len(tensors))
            parts = [
                site.add(grid.op(), t, point=f"input{number}")
                for number, (grid, t) in enumerate(zip(grids, tensors, strict=True), 1)
            ]
        result = parts[0]
        for number, operand in enumerate(parts[1:], 2):
            result = _merged(site, layer.kind, result, operand, f"sum{number}")
        if layer.kind == "hgq>QAveragePow2":
            power = round(log2(1.0 / len(parts)))
            result = site.add(Rescale(power), result, point="mean")
        return after.add(site, result)

    return apply


def operand_grids(layer: LayerConfig, weights: LayerWeights, count: int) -> list[Grid]:
    """Input quantizers of a layer of several inputs."""
    confs = layer.config.get("iq_confs")
    if not isinstance(confs, list) or len(confs) != count:
        raise layer.config.error(f"its 'iq_confs' are not {count} quantizers")
    config = Config({f"iq {n}": conf for n, conf in enumerate(confs)}, layer.name, layer.kind)
    return [
        quantizer(config, f"iq {n}", weights, f"iq/quantizers/quantizer{f'_{n}' if n else ''}")
        for n in range(count)
    ]


def _merged(site: Site, kind: str, a: str, b: str, point: str) -> str:
    if kind not in ("hgq>QMaximum", "hgq>QMinimum"):
        return site.add(MERGES[kind], a, b, point=point)
    apart = site.add(Add(subtract=True), a, b, point=f"{point}/apart")
    excess = site.add(Elementwise("relu"), apart, point=f"{point}/excess")
    if kind == "hgq>QMaximum":
        return site.add(Add(), b, excess, point=point)
    return site.add(Add(subtract=True), a, excess, point=point)


@reads("hgq>QSum", "hgq>QMeanPow2")
def reduction(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Sum over the tokens or the features, times a power of two."""
    config = layer.config
    before, after = chain(opened(layer, weights)), chain(closed(layer, weights))
    axes, keep = config.integers("axes"), config.flag("keepdims")

    def apply(site: Site) -> str:
        x = before.add(site, site.one(), "input")
        shape = site.rows(x)
        rank = len(shape)
        places = sorted(a - 1 if a > 0 else a + rank for a in axes)
        if places not in ([0], [rank - 1]):
            raise config.unsupported(f"it sums over axes {axes}", "sum over tokens or features")
        factor = 1.0 / shape[places[0]] if "Mean" in layer.kind else config.number("scale", 1.0)
        power = log2(factor) if factor > 0 else 0.5
        if "Mean" not in layer.kind and not power.is_integer():
            raise config.error(f"its scale {factor} is no power of two", code="E109")
        tokens = rank == 2 and places == [0]
        x = site.add(Reduce("sum", "tokens" if tokens else "features"), x, point="sum")
        if tokens and keep:
            x = site.add(Reshape((1, *site.shape(x))), x, point="kept")
        elif not tokens and not keep:
            x = site.add(Reshape(shape[:-1] or (1,)), x, point="dropped")
        if round(power):
            x = site.add(Rescale(round(power)), x, point="scaled")
        return after.add(site, x)

    return apply


@reads("hgq>QGlobalAveragePooling1D", "hgq>QGlobalMaxPooling1D")
def pool(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Mean or maximum over tokens; a mean is exact for token counts that are powers of two."""
    config = layer.config
    kind: Literal["mean", "max"] = "mean" if "Average" in layer.kind else "max"
    if config.get("data_format", "channels_last") != "channels_last":
        raise config.unsupported("its data_format is channels_first", "use channels_last")
    if config.flag("keepdims"):
        raise config.unsupported("it keeps the token axis", "use keepdims=False")
    steps = chain(opened(layer, weights), ("pool", Pool(kind)), closed(layer, weights))

    def apply(site: Site) -> str:
        x = site.one()
        shape = site.rows(x)
        if len(shape) != 2:
            raise config.error("its input is one vector", "give it (tokens, features)", "E112")
        if kind == "mean" and shape[0] & (shape[0] - 1):
            raise config.unsupported(
                f"it divides by {shape[0]} tokens, which is no power of two",
                "use QSum or QMeanPow2",
            )
        return steps.add(site, x)

    return apply


@reads("hgq>QUnaryFunctionLUT")
def unary(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """A function between two quantizers: one table."""
    config = layer.config
    name = config.get("activation")
    name = ALIASES.get(name, name) if isinstance(name, str) else name
    before, after = opened(layer, weights), taken(layer, weights, "oq")
    if name in ("linear", "relu"):
        inner = None if name == "linear" else Elementwise("relu")
        steps = chain(before, ("function", inner), closed(layer, weights))
    else:
        if name not in SINGLE:
            raise config.unsupported(
                f"its function is {shorten(name)}", f"use one of {', '.join(SINGLE)}"
            )
        if after is None:
            raise config.unsupported("its table has no output quantizer", "leave enable_oq on")
        steps = chain(before, ("", table(config, after, f"{name}_float32")))
    return lambda site: steps.add(site, site.one())


def table(
    config: Config, output: Grid, function: str, parameters: Sequence[tuple[str, float]] = ()
) -> Table:
    """The table of a function and its output quantizer; E109 where results differ in type."""
    kind = output.kind()
    if kind is None:
        raise config.error(
            f"'{output.key}' gives each element a type of its own, which takes as many tables",
            "leave allow_heterogeneous_table off",
            "E109",
        )
    return Table(function, tuple(parameters), kind, output.rounding, output.overflow)
