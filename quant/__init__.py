"""Meaning: the quantized graph, its exact integer semantics, and the frontends that make it."""

from gateformer.quant.lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "GateformerError": "gateformer.quant.errors",
        "Problems": "gateformer.quant.errors",
    },
)
