"""gateformer: quantized transformers to hardware proven to compute the same integers.

Names load on first use, so that importing one floor never loads those above it.
"""

from gateformer.quant.lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Model": "gateformer.compiling",
        "compile": "gateformer.compiling",
        "GateformerError": "gateformer.quant.errors",
        "Problems": "gateformer.quant.errors",
        "__version__": "gateformer.quant.version",
    },
)
