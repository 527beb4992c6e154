"""Activations' quantizers in one step each way while a network is fitted: Brevitas' numbers.

Owns ``fused``. Imports torch and Brevitas on demand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

from gateformer.quant.train.brevitas.packages import load, torch


@cache
def rounding_class() -> type[Any]:
    """Return the torch function ``Rounding(x, scale, low, high)``.

    It is ``scale clip(round(x / scale), low, high)``. Forward it takes Brevitas' steps
    (``core.quant.IntQuant`` without a zero point), so the values are the same. Backward it has the
    same derivatives: x's passes where nothing is clipped, the scale's is the integer less
    ``x / scale`` there, and the integer where it is clipped (LSQ, Esser et al., arXiv 1902.08153,
    equation 3). They differ in their last digits: they are not multiplied and divided by the scale.
    """
    function: Any = torch().autograd.Function

    class Rounding(function):  # type: ignore[misc] # torch is untyped here
        """Quantizer with a step that is learned."""

        @staticmethod
        def forward(context: Any, x: Any, scale: Any, low: float, high: float) -> Any:
            """Return the nearest multiples of the scale, clipped."""
            real = x / scale
            whole = real.round().clamp_(low, high)
            context.save_for_backward(real, whole, scale)
            context.ends = low - 0.5, high + 0.5
            return whole * scale

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            """Return the derivatives by x and by the scale."""
            real, whole, scale = context.saved_tensors
            inside = torch().ops.aten.hardtanh_backward(gradient, real, *context.ends)
            by_scale = gradient.flatten().dot(whole.flatten()) - inside.flatten().dot(
                real.flatten()
            )
            return inside, by_scale.reshape(scale.shape), None, None

    return Rounding


@contextmanager
def fused(network: Any) -> Iterator[None]:
    """Let the activations' quantizers of `network` take these steps while it is trained."""
    identity = load("brevitas.nn").QuantIdentity
    with ExitStack() as undo:
        for module in network.modules():
            if isinstance(module, identity) and module.act_quant.is_quant_enabled:
                whole = module.act_quant.fused_activation_quant_proxy.tensor_quant.int_quant
                whole.forward = _forward(whole, whole.forward)
                undo.callback(delattr, whole, "forward")
        yield


def _forward(quantizer: Any, slow: Any) -> Any:
    """Return what a module does when it is called: fused in training, else `slow`."""
    ends: list[float] = []

    def forward(scale: Any, zero_point: Any, bit_width: Any, x: Any) -> Any:
        if not quantizer.training or scale.numel() != 1:
            return slow(scale, zero_point, bit_width, x)
        if not ends:  # constants: widths are not learned
            ends.extend(float(end(bit_width)) for end in (quantizer.min_int, quantizer.max_int))
        return rounding_class().apply(x, scale, *ends)

    return forward
