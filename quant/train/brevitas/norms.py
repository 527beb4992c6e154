"""Normalization in torch, and the kind that training turns into an affine function.

Owns ``norm``, ``affine_norm_class``, ``set_share``, ``reread`` and ``fix``. Imports torch on
demand.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from gateformer.quant.train.brevitas.packages import torch
from gateformer.quant.train.brevitas.recipe import Norm


def norm(kind: Norm, width: int) -> Any:
    """Return a module on [n, tokens, width]."""
    if kind == "none":
        return torch().nn.Identity()
    if kind == "layer":
        return torch().nn.LayerNorm(width)
    return affine_norm_class()(width, layer=kind == "prepbn")


@cache
def affine_norm_class() -> type[Any]:
    """Return the torch module class ``AffineNorm``.

    SLAB's PRepBN (arXiv 2405.11582, section 3.1): ``lambda LN(x) + (1 - lambda) RepBN(x)`` with
    ``RepBN(x) = BN(x) + alpha x``; lambda falls from 1 to 0 in the course of the training. Without
    its LayerNorm it is a batch normalization. Where lambda is 0 and nothing is trained, both are
    ``a x + b`` a feature.
    """
    nn: Any = torch().nn

    class AffineNorm(nn.Module):  # type: ignore[misc] # torch is untyped here
        """Batch normalization of each feature, blended out of a LayerNorm."""

        def __init__(self, width: int, layer: bool) -> None:
            super().__init__()
            self.batch = nn.BatchNorm1d(width)
            self.layer = nn.LayerNorm(width) if layer else None
            self.alpha = nn.Parameter(torch().zeros(())) if layer else None
            self.register_buffer("share", torch().tensor(1.0 if layer else 0.0))
            self.fixed = False

        def affine(self) -> tuple[Any, Any]:
            """Return a and b of ``a x + b``, [width] each."""
            batch = self.batch
            scale = batch.weight / torch().sqrt(batch.running_var + batch.eps)
            shift = batch.bias - scale * batch.running_mean
            return (scale if self.alpha is None else scale + self.alpha), shift

        def forward(self, x: Any) -> Any:
            """Normalize; the running means are used where nothing is trained."""
            share = float(self.share)
            if (self.fixed or not self.training) and share == 0.0:
                scale, shift = self.affine()
                return x * scale + shift
            y = self.batch(x.transpose(1, 2)).transpose(1, 2)
            if self.alpha is not None:
                y = y + self.alpha * x
            if self.layer is not None and share > 0.0:
                y = share * self.layer(x) + (1.0 - share) * y
            return y

    return AffineNorm


def set_share(network: Any, share: float) -> None:
    """Set lambda, LayerNorm's share, in all norms of a network that have one."""
    for module in network.modules():
        if isinstance(module, affine_norm_class()) and module.layer is not None:
            module.share.fill_(max(share, 0.0))


def reread(network: Any, batches: Iterable[Any]) -> None:
    """Make the means of all batch normalizations those over some batches, trained as they are.

    The means that training leaves are of its last ten batches: a network of few bits may lose more
    by their noise than by its bits.
    """
    norms = [module for module in network.modules() if isinstance(module, affine_norm_class())]
    network.eval()
    kept = [module.batch.momentum for module in norms]
    for module in norms:
        module.fixed = False
        module.batch.reset_running_stats()
        module.batch.momentum = None  # torch: the plain mean over all batches
        module.train()
    with torch().no_grad():
        for batch in batches:
            network(batch)
    for module, momentum in zip(norms, kept, strict=True):
        module.batch.momentum = momentum


def fix(network: Any) -> None:
    """Let batch normalizations keep their means while the network is trained on."""
    for module in network.modules():
        if isinstance(module, affine_norm_class()):
            module.fixed = True
