"""Matrices of a decoder in eight bits: weights alone, or activations too.

Owns ``quantized``, ``weight_only`` and ``both``. Imports torch where it is used. Each row of a
matrix has its own scale, its largest weight becomes 127; in ``both`` each token's activations have
one too, found anew in each step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LEAST_ROWS = 32
"""``torch._int_mm`` takes more than 16 rows on a GPU: a smaller batch is filled up with zeros."""
MULTIPLE = 8
"""It takes matrices whose sides are multiples of this: others are filled up with zeros."""
SMALLEST = 1e-12
"""A row of zeros has a scale, too."""

Product = Callable[[Any, Any, Any, Any], Any]


def quantized(module: Any, product: Product) -> Any:
    """Return a decoder's module with its matrices in eight bits; biases and tables stay.

    Parameters
    ----------
    module : torch.nn.Module
        Of `gateformer.baselines.decoders.torch_model`; changed in place.
    product : callable
        ``weight_only`` or ``both``.
    """
    for held in module.modules():
        matrices = [
            name.removesuffix("_weight")
            for name, one in held.named_buffers(recurse=False)
            if name.endswith("_weight") and one.dim() == 2
        ]
        for name in matrices:
            weight, scale = rows(getattr(held, f"{name}_weight"))
            setattr(held, f"{name}_weight", weight)
            held.register_buffer(f"{name}_scale", scale)
        if matrices:
            held.product = product
    return module


def rows(weight: Any) -> tuple[Any, Any]:
    """Return a matrix as int8 and its rows' scales: float32 (outputs,)."""
    import torch
    from torch.nn import functional

    real = weight.to(torch.float32)
    scale = (real.abs().amax(dim=1) / 127).clamp(min=SMALLEST)
    whole = (real / scale[:, None]).round().to(torch.int8)
    missing = [-side % MULTIPLE for side in whole.shape]
    return functional.pad(whole, (0, missing[1], 0, missing[0])), scale


def weight_only(x: Any, weight: Any, scale: Any, bias: Any) -> Any:
    """Multiply by weights that become floats on their way: half of bfloat16's bytes are read."""
    from torch.nn import functional

    wide = functional.pad(x, (0, weight.shape[1] - x.shape[-1]))
    found = functional.linear(wide, weight.to(x.dtype))[..., : len(scale)]
    return _scaled(found, scale, bias, x.dtype)


def both(x: Any, weight: Any, scale: Any, bias: Any) -> Any:
    """Multiply integers by integers, summed up in int32."""
    import torch
    from torch.nn import functional

    token = (x.abs().amax(dim=-1, keepdim=True).to(torch.float32) / 127).clamp(min=SMALLEST)
    whole = (x / token).round().to(torch.int8)
    more = max(LEAST_ROWS - len(x), 0), weight.shape[1] - x.shape[-1]
    wide = functional.pad(whole, (0, more[1], 0, more[0]))
    found = torch._int_mm(wide, weight.t())[: len(x), : len(scale)]
    return _scaled(found * token, scale, bias, x.dtype)


def _scaled(found: Any, scale: Any, bias: Any, dtype: Any) -> Any:
    real = found * scale
    return (real if bias is None else real + bias).to(dtype)
