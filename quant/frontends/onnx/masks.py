"""Masks that a file holds as constants: those on attention scores.

Owns ``masked`` and ``HIDDEN``. Imports sites and views.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.frontends.onnx.site import Site
from gateformer.quant.frontends.onnx.tensors import Tensor

HIDDEN = -1e4
"""Offset from which a score counts as hidden: exp(-1e4) is 0 in float64; exporters write minus
infinity, the least float, or -1e9 (-1e4 in half precision)."""

READERS = ("Softmax", "Identity", "Cast", "Dropout")
"""Kinds of nodes that may read masked scores."""


def masked(site: Site, tensor: Tensor, keep: NDArray[Any]) -> Tensor:
    """Scores of which some do not count.

    Parameters
    ----------
    site : Site
        The node that masks.
    tensor : Tensor
        Scores, queries and keys last.
    keep : ndarray of bool
        Which ones count; broadcasts to the tensor.
    """
    try:
        whole = np.broadcast_to(keep, tensor.dims)
    except ValueError:
        raise site.node.error(
            f"a mask of shape {keep.shape} does not fit {tensor.dims}", code="E112"
        ) from None
    if whole.all():
        return tensor
    if len(tensor.dims) < 2 or (whole != _earlier(*tensor.dims[-2:])).any():
        raise site.node.error(
            "its mask hides other keys than those after each token",
            "use a causal mask; padding is masked in the host",
            "E114",
        )
    return replace(tensor, causal=True)


def _earlier(queries: int, keys: int) -> NDArray[Any]:
    return np.arange(keys) <= np.arange(queries)[:, None]
