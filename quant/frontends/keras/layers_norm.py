"""Layer, RMS and batch normalization, plain and quantized, and Rescaling."""

from __future__ import annotations

import numpy as np

from gateformer.quant.expand import Affine, LayerNorm, RMSNorm
from gateformer.quant.frontends.keras.activation import read_activation
from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.qkeras import weight_quantizer
from gateformer.quant.frontends.keras.site import Apply, Site, reads
from gateformer.quant.frontends.keras.weights import LayerWeights
from gateformer.quant.types import FloatArray


@reads("LayerNormalization", "QLayerNormalization", "RMSNormalization")
def layer_norm(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Normalization over each token's features.

    Keras's ``rms_scaling`` is refused: it divides by the standard deviation and leaves the mean
    where it is, which is neither layer nor RMS normalization (keras-team/keras issue 21234).
    """
    config = layer.config
    rms = layer.kind == "RMSNormalization"
    if config.flag("rms_scaling"):
        raise config.unsupported(
            "rms_scaling divides by the standard deviation, not by the root mean square",
            "use RMSNormalization",
        )
    epsilon = config.number("epsilon", 1e-6 if rms else 1e-3)
    if epsilon < 0:
        raise config.error(f"'epsilon' is {epsilon}, not a positive number")
    gamma = beta = None
    if rms or config.flag("scale", True):
        name = "scale" if rms else "gamma"
        gamma = weights.take(name, (None,), weight_quantizer(config, "gamma"))
    if not rms and config.flag("center", True):
        beta = weights.take("beta", (None,), weight_quantizer(config, "beta"))
    activation = read_activation(layer)

    def apply(site: Site) -> str:
        x = site.one()
        shape = site.rows(x)
        _last_axis(layer, len(shape))
        ones = np.ones(shape[-1])
        scale = ones if gamma is None else gamma
        if rms:
            return activation.after(site, RMSNorm(scale, epsilon), x)
        offset = np.zeros(shape[-1]) if beta is None else beta
        return activation.after(site, LayerNorm(scale, offset, epsilon), x)

    return apply


@reads("BatchNormalization", "QBatchNormalization")
def batch_norm(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """``(x - mean) / sqrt(variance + epsilon) gamma + beta`` as one scale and offset a feature."""
    config = layer.config
    epsilon = config.number("epsilon", 1e-3)

    def part(role: str, name: str, used: bool, default: float) -> FloatArray | float:
        return weights.take(name, (None,), weight_quantizer(config, role)) if used else default

    gamma = part("gamma", "gamma", config.flag("scale", True), 1.0)
    beta = part("beta", "beta", config.flag("center", True), 0.0)
    mean = np.asarray(part("mean", "moving_mean", True, 0.0))
    spread = np.asarray(part("variance", "moving_variance", True, 1.0)) + epsilon
    if (spread <= 0).any() or mean.shape != spread.shape:
        raise config.error("its moving variance is not positive", "train again", "E105")
    scale = np.asarray(gamma) / np.sqrt(spread)
    op = Affine(scale, np.asarray(beta - mean * scale))

    def apply(site: Site) -> str:
        x = site.one()
        _last_axis(layer, len(site.rows(x)))
        return site.add(op, x)

    return apply


@reads("Rescaling")
def rescaling(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """``scale x + offset``, numbers or one a feature."""
    scale, offset = (
        _numbers(layer, key, value) for key, value in (("scale", 1.0), ("offset", 0.0))
    )

    def apply(site: Site) -> str:
        x = site.one()
        features = site.rows(x)[-1]
        if any(v.size not in (1, features) for v in (scale, offset)):
            raise layer.config.error(f"its scale does not fit {features} features", code="E112")
        return site.add(
            Affine(np.broadcast_to(scale, features), np.broadcast_to(offset, features)), x
        )

    return apply


def _numbers(layer: LayerConfig, key: str, default: float) -> FloatArray:
    value = layer.config.get(key, default)
    if isinstance(value, dict):
        value = value.get("config", {}).get("value")
    try:
        found = np.asarray(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if not found.size or not np.isfinite(found).all():
        raise layer.config.error(f"'{key}' is not a finite number")
    return found


def _last_axis(layer: LayerConfig, rank: int) -> None:
    axes = layer.config.integers("axis") if layer.config.get("axis") is not None else (-1,)
    if axes not in ((-1,), (rank,)):
        raise layer.config.unsupported(
            f"it normalizes over axes {axes}", "normalize over the last axis"
        )
