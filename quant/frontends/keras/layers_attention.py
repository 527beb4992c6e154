"""Multi-head attention of Keras 2 and 3, and of the QKeras fork of Ultra Fast Transformers."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from gateformer.quant.expand import Attention
from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.layers_mask import given_mask
from gateformer.quant.frontends.keras.qkeras import weight_quantizer
from gateformer.quant.frontends.keras.site import Apply, Mask, Site, Tensor, reads
from gateformer.quant.frontends.keras.weights import LayerWeights
from gateformer.quant.types import FloatArray

Quantizer = Callable[[FloatArray], FloatArray] | None


@reads("MultiHeadAttention", "QMultiHeadAttention")
def attention(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """``softmax(q k^T / sqrt(key_dim)) v``; QMultiHeadAttention quantizes kernels and biases."""
    config = layer.config
    _refuse_variants(layer)
    heads, key_dim = config.integer("num_heads", least=1), config.integer("key_dim", least=1)
    value_dim = key_dim if config.get("value_dim") is None else config.integer("value_dim", least=1)
    quantizer, bias_quantizer = weight_quantizer(config, "kernel"), weight_quantizer(config, "bias")
    has_bias = config.flag("use_bias", True)

    def pair(
        name: str, shape: tuple[int | None, ...], bias_shape: tuple[int | None, ...]
    ) -> tuple[FloatArray, FloatArray | None]:
        kernel = weights.take(f"{name}/kernel", shape, quantizer)
        if not has_bias:
            return kernel, None
        return kernel, weights.take(f"{name}/bias", bias_shape, bias_quantizer)

    wq, bq = pair("query", (None, heads, key_dim), (heads, key_dim))
    wk, bk = pair("key", (None, heads, key_dim), (heads, key_dim))
    wv, bv = pair("value", (None, heads, value_dim), (heads, value_dim))
    wo, bo = pair("attention_output", (heads, value_dim, None), (None,))

    def apply(site: Site) -> str:
        query, value, key = _operands(site)
        for tensor in (query, value, key):
            site.rows(tensor)
        mask = _mask(site, value, key)
        causal = site.argument("use_causal_mask") is True
        op = Attention(
            heads, wq, bq, wk, bk, wv, bv, wo, bo, 1.0 / sqrt(key_dim), causal, mask is not None
        )
        extra = () if mask is None else (site.mask_value(mask),)
        return site.add(op, query, key, value, *extra)

    return apply


def _refuse_variants(layer: LayerConfig) -> None:
    config = layer.config
    axes = config.get("attention_axes")
    if axes is not None and config.integers("attention_axes") not in ((1,), (-2,)):
        raise config.unsupported(f"attention over axes {axes}", "attend over the token axis")
    for key in ("use_gate", "sliding_window"):
        if config.get(key):
            raise config.unsupported(f"'{key}' is set", "use plain multi-head attention")
    shape = config.get("output_shape")
    if isinstance(shape, list) and len(shape) > 1:
        raise config.unsupported(f"its output_shape is {shape}", "use one feature axis")


def _operands(site: Site) -> tuple[str, str, str]:
    """Names of query, value and key; the key is the value unless given."""
    query = site.argument("query", 0)
    value = site.argument("value", 1)
    key = site.argument("key", 2)
    if key is None:
        key = value
    if not all(isinstance(t, Tensor) for t in (query, value, key)):
        raise site.config.error("it is not called with query and value", code="E114")
    if site.argument("return_attention_scores"):
        raise site.config.unsupported(
            "it returns its attention scores", "call it with return_attention_scores=False"
        )
    return query.name, value.name, key.name


def _mask(site: Site, value: str, key: str) -> Mask | None:
    """Padding mask of the keys: given, or travelling with value and key."""
    given = given_mask(site, site.shape(key)[0], "attention_mask", "value_mask", "key_mask")
    carried = site.mask_of(value, key)
    if given is not None and carried is not None and given != carried:
        raise site.config.error("it has two padding masks", "use one mask", "E114")
    return given or carried
