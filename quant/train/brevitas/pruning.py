"""Weights that become zero in the course of the training and stay zero.

Owns ``share_at`` and ``Pruning``. Imports torch on demand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateformer.quant.train.brevitas.packages import load, torch

BEGIN, END = 0.25, 0.75
"""Parts of the floating-point fit between which weights are taken away."""


def share_at(done: float, final: float) -> float:
    """Return the share of zeros after a part of the fit.

    ``final (1 - (1 - t)^3)``, t from 0 to 1 between `BEGIN` and `END`: M. Zhu and S. Gupta,
    arXiv 1710.01878, section 3.
    """
    t = min(max((done - BEGIN) / (END - BEGIN), 0.0), 1.0)
    return final * (1.0 - (1.0 - t) ** 3)


@dataclass(frozen=True, slots=True)
class Pruning:
    """Zeros in the dense layers of a network.

    Attributes
    ----------
    weights
        The layers' weights by name.
    """

    weights: dict[str, Any]

    @classmethod
    def of(cls, network: Any) -> Pruning:
        """Return the pruning of all dense layers of `network`."""
        dense = load("brevitas.nn").QuantLinear
        found = network.named_modules()
        return cls({name: layer.weight for name, layer in found if isinstance(layer, dense)})

    def zeros(self) -> dict[str, Any]:
        """Return where weights are zero now."""
        return {name: weight.detach() == 0.0 for name, weight in self.weights.items()}

    def smallest(self, share: float) -> dict[str, Any]:
        """Return where the smallest weights of each layer are."""
        found = {}
        for name, weight in self.weights.items():
            size = weight.detach().abs().flatten()
            mask = torch().zeros_like(size, dtype=torch().bool)
            mask[size.argsort(stable=True)[: int(share * size.numel())]] = True
            found[name] = mask.reshape(weight.shape)
        return found

    def clear(self, where: dict[str, Any]) -> None:
        """Make weights zero."""
        with torch().no_grad():
            for name, mask in where.items():
                self.weights[name][mask] = 0.0
