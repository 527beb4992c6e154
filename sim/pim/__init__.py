"""Transformers generated on a memory that computes: ``simulate`` and what it returns."""

from typing import TYPE_CHECKING

from gateformer.quant.lazy import lazy_exports

if TYPE_CHECKING:
    from gateformer.sim.pim.generation import simulate as simulate
    from gateformer.sim.pim.results import Generation as Generation
    from gateformer.sim.pim.tornado import sensitivity as sensitivity

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Generation": "gateformer.sim.pim.results",
        "sensitivity": "gateformer.sim.pim.tornado",
        "simulate": "gateformer.sim.pim.generation",
    },
)
