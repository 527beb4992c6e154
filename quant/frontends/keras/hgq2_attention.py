"""HGQ2's softmax and multi-head attention: two tables, and a quantizer at every step between.

Owns their readers. Meanings follow HGQ2 0.2.0 (hgq.layers.softmax, hgq.layers.attn.mha); scores are
heads x queries x keys there and queries x heads x keys here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt

from gateformer.quant.expand import Causal, Exact, Linear, Parameter, Table
from gateformer.quant.expand.causal import seen
from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.hgq2_layers import Chain, chain, table, weight
from gateformer.quant.frontends.keras.hgq2_quantizers import quantizer
from gateformer.quant.frontends.keras.layers_mask import MASK_ARGUMENTS
from gateformer.quant.frontends.keras.site import Apply, Site, Tensor, reads
from gateformer.quant.frontends.keras.weights import LayerWeights
from gateformer.quant.frontends.plain_json import Config
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.reduce import Reduce

BY_QUERY = (1, 0, 2)
"""From HGQ2's order of a score's axes to ours."""

SHARED: dict[str, tuple[str, ...]] = {
    "none": (),
    "kv": ("key", "value"),
    "qkv": ("key", "query", "value"),
}
"""``fuse`` -> projections with one input quantizer."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The quantizers and tables of a softmax over the last axis.

    Attributes
    ----------
    stable : bool
        Whether the row's largest score is subtracted first.
    before : Op or None
        Quantizer of the scores.
    distance : Op or None
        Quantizer of the exponential's argument.
    exponential : Table
        With its output quantizer.
    sum : Op
        Quantizer of the row's sum.
    inverse : Table
        With its output quantizer.
    after : Op
        Output quantizer.
    """

    stable: bool
    before: Op | None
    distance: Op | None
    exponential: Table
    sum: Op
    inverse: Table
    after: Op

    def add(self, site: Site, x: str, under: str = "", causal: bool = False) -> str:
        """Append it behind a value; ``under`` is a part of the layer, or the whole."""

        def at(point: str) -> str:
            return f"{under}/{point}" if under else point

        if self.before is not None:
            x = site.add(self.before, x, point=at("score"))
        if causal and self.stable:
            placed = site.add(Causal(), x, point=at("placed"))
            x = site.add(Exact(), placed, point=at("causal"))
        if self.stable:
            top = site.add(Reduce("max", "features"), x, point=at("largest"))
            x = site.add(Add(subtract=True), top, x, point=at("apart"))
        if self.distance is not None:
            x = site.add(self.distance, x, point=at("distance"))
        weight = site.add(self.exponential, x, point=at("weight"))
        if causal:
            queries, _, keys = site.shape(weight)
            mask = site.add(Parameter(seen(queries, keys)), point=at("seen"))
            mask = site.add(Exact(), mask, point=at("mask"))
            kept = site.add(Mul(), weight, mask, point=at("kept"))
            weight = site.add(Exact(), kept, point=at("masked"))
        total = site.add(Reduce("sum", "features"), weight, point=at("total"))
        total = site.add(self.sum, total, point=at("sum"))
        inverse = site.add(self.inverse, total, point=at("inverse"))
        share = site.add(Mul(), weight, inverse, point=at("share"))
        return site.add(self.after, share, point=under)


def shares(
    config: Config,
    weights: LayerWeights,
    path: str,
    prefix: str,
    factor: float,
    order: tuple[int, ...] | None,
) -> Shares:
    """Read a softmax.

    Parameters
    ----------
    config : Config
        Holds the quantizers' configurations under ``<prefix>exp_iq_conf`` and so on.
    weights : LayerWeights
        Of the layer.
    path : str
        Attributes from the layer to the softmax, with a slash at the end.
    prefix : str
        Of the configuration's keys.
    factor : float
        On the scores, inside the exponential.
    order : tuple of int, optional
        Of a score's axes here.
    """

    def read(key: str, at: str, axes: tuple[int, ...] | None = order) -> Op:
        return quantizer(config, f"{prefix}{key}", weights, f"{path}{at}").op(axes)

    def tabled(key: str, at: str, function: str, *parameters: tuple[str, float]) -> Table:
        grid = quantizer(config, f"{prefix}{key}", weights, f"{path}{at}")
        return table(config, grid, function, parameters)

    stable = config.flag("stable_softmax" if prefix else "stable", True)
    sign = -1.0 if stable else 1.0
    alone = not prefix
    quantized = alone and config.flag("enable_iq", False)
    output = not alone or config.flag("enable_oq", False)
    return Shares(
        stable=stable,
        before=read("iq_conf", "iq") if quantized else None,
        distance=read("exp_iq_conf", "exp_table/iq") if stable else None,
        exponential=tabled("exp_oq_conf", "exp_table/oq", "exp_float32", ("factor", sign * factor)),
        sum=read("inv_iq_conf", "inv_table/iq"),
        inverse=tabled("inv_oq_conf", "inv_table/oq", "reciprocal_float32"),
        after=read("oq_conf", "oq") if output else Exact(),
    )


@reads("hgq>QSoftmax")
def softmax(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Softmax over the last axis."""
    config = layer.config
    axes = config.integers("axes")
    steps = shares(config, weights, "", "", config.number("input_scaler", 1.0), None)

    def apply(site: Site) -> str:
        x = site.one()
        if site.argument("mask") is not None or x in site.masks:
            raise config.unsupported("a softmax with a mask", "use it without")
        if axes not in ((-1,), (len(site.shape(x)),)):
            raise config.unsupported(f"softmax over axes {axes}", "use axis=-1")
        return steps.add(site, x)

    return apply


@reads("hgq>QMultiHeadAttention")
def attention(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Projections, scores, shares, context and output, each behind its quantizers."""
    config = layer.config
    _refuse_variants(config)
    heads, key_dim = config.integer("num_heads", least=1), config.integer("key_dim", least=1)
    value_dim = key_dim if config.get("value_dim") is None else config.integer("value_dim", least=1)
    sizes = {"query": key_dim, "key": key_dim, "value": value_dim}
    projections = {
        name: _projection(config, weights, name, (heads, size)) for name, size in sizes.items()
    }
    steps = shares(config, weights, "_softmax/", "softmax_", 1.0 / sqrt(key_dim), BY_QUERY)
    output = _output(config, weights, heads, value_dim)

    def apply(site: Site) -> str:
        query, value, key = _operands(site)
        query = projections["query"].add(site, query, "query")
        key = projections["key"].add(site, key, "key")
        value = projections["value"].add(site, value, "value")
        product = site.add(MatMul("features"), query, key, point="product")
        score = site.add(Exact(), product, point="score")
        causal = site.argument("use_causal_mask") is True
        share = steps.add(site, score, "shares", causal)
        context = site.add(MatMul("tokens"), share, value, point="context")
        return output.add(site, context)

    return apply


def _projection(
    config: Config, weights: LayerWeights, name: str, features: tuple[int, int]
) -> Chain:
    """From tokens to heads; keys have no bias in HGQ2, whatever ``use_bias`` says."""
    before = None
    if config.flag("enable_iq", True):
        before = quantizer(config, "qkvo_iq_conf", weights, _input(config, weights, name)).op()
    return chain(
        ("input", before),
        ("linear", _linear(config, weights, name, (None, *features), 1, name != "key")),
        ("output", quantizer(config, "qkvo_oq_conf", weights, f"{name}_dense/oq").op()),
    )


def _input(config: Config, weights: LayerWeights, name: str) -> str:
    """Path of a projection's input quantizer; a shared one is in the file once."""
    fuse = config.text("fuse", "none")
    if fuse not in SHARED:
        raise config.error(f"'fuse' is {fuse!r}")
    parts = SHARED[fuse] if name in SHARED[fuse] else (name,)
    paths = [f"{part}_dense/iq" for part in parts]
    return next((p for p in paths if weights.at(f"{p}/quantizer", 0) is not None), paths[0])


def _output(config: Config, weights: LayerWeights, heads: int, value_dim: int) -> Chain:
    """From heads to tokens."""
    name, path = "attention_output", "output_dense/"
    return chain(
        ("output_input", quantizer(config, "qkvo_iq_conf", weights, f"{path}iq").op()),
        ("output_linear", _linear(config, weights, name, (heads, value_dim, None), 2, True)),
        ("output", Exact()),
    )


def _linear(
    config: Config,
    weights: LayerWeights,
    name: str,
    shape: tuple[int | None, ...],
    contracted: int,
    biased: bool,
) -> Linear:
    path = f"{'output' if name == 'attention_output' else name}_dense/"
    quantize = weight(config, weights, "kernel", path, "qkvo_")
    kernel = weights.take(f"{name}/kernel", shape, quantize)
    features, bias = kernel.shape[contracted:], None
    if biased and config.flag("use_bias", True):
        quantize = weight(config, weights, "bias", path, "qkvo_")
        bias = weights.take(f"{name}/bias", features, quantize).reshape(-1)
    return Linear(kernel.reshape(prod(kernel.shape[:contracted]), -1), bias, features)


def _refuse_variants(config: Config) -> None:
    axes = config.get("attention_axes")
    if axes is not None and config.integers("attention_axes") not in ((1,), (-2,)):
        raise config.unsupported(f"attention over axes {axes}", "attend over the token axis")
    if config.flag("enable_oq"):
        raise config.unsupported("its output quantizer is on", "HGQ2 0.2.0 cannot build that")
    shape = config.get("output_shape")
    if isinstance(shape, list) and len(shape) > 1:
        raise config.unsupported(f"its output_shape is {shape}", "use one feature axis")


def _operands(site: Site) -> tuple[str, str, str]:
    """Names of query, value and key; the value is the query, the key the value unless given."""
    found = [site.argument(name, place) for place, name in enumerate(("query", "value", "key"))]
    query, value, key = found
    value = query if value is None else value
    key = value if key is None else key
    if not all(isinstance(t, Tensor) for t in (query, value, key)):
        raise site.config.error("it is not called with query and value", code="E114")
    for option in ("return_attention_scores", *MASK_ARGUMENTS):
        if site.argument(option) not in (None, False):
            raise site.config.unsupported(f"it is called with '{option}'", "call it without")
    for tensor in (query, value, key):
        site.rows(tensor.name)
    if site.mask_of(query.name, value.name, key.name) is not None:
        raise site.config.unsupported("a padding mask reaches it", "use it without")
    return query.name, value.name, key.name
