"""The host's side of a board: quantize, pack, transfer, unpack.

What `gateformer.host.driver` imports needs Python 3.10 and numpy alone, as it runs on the board;
`gateformer.host.bundle` names these files.
"""

from gateformer.quant.lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Accelerator": "gateformer.host.driver",
        "Description": "gateformer.host.description",
        "simulated": "gateformer.host.simulating",
    },
)
