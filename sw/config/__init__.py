"""A design's configuration: its keys (`schema`), how it is read (`read`) and kept (`write`)."""

from gateformer.quant.lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Config": "gateformer.config.schema",
        "load": "gateformer.config.read",
        "to_toml": "gateformer.config.write",
    },
)
