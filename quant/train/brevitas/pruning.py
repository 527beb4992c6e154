"""Weights of torch networks that become zero in the course of the training and stay zero.

Owns ``Pruning``. Imports torch on demand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateformer.quant.train.brevitas.packages import load, torch
from gateformer.quant.train.pruning import smallest


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
        return {
            name: torch().from_numpy(smallest(weight.detach().numpy(), share))
            for name, weight in self.weights.items()
        }

    def clear(self, where: dict[str, Any]) -> None:
        """Make weights zero."""
        with torch().no_grad():
            for name, mask in where.items():
                self.weights[name][mask] = 0.0
