"""Layers with the Brevitas quantizers of a recipe, or with none: what the networks are made of.

Owns ``Quantized``, which makes layers, ``bounded`` and ``plain``. Imports torch and Brevitas on
demand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateformer.quant.train.brevitas.packages import load
from gateformer.quant.train.brevitas.recipe import Bits


@dataclass(frozen=True, slots=True)
class Quantized:
    """Makes torch modules; the weights have the same names and shapes either way.

    Attributes
    ----------
    bits
        Widths and scales; None quantizes nothing.
    accumulator_bits
        Width that a layer's sums must fit, by A2Q; None bounds nothing.
    """

    bits: Bits | None
    accumulator_bits: int | None = None

    def cast(self, width: str, *, signed: bool = True) -> Any:
        """Return a module that rounds to a kind of number: `width` names one of Bits."""
        nn = load("brevitas.nn")
        if self.bits is None:
            return nn.QuantIdentity(act_quant=None)
        module, end = self._scale()
        sign = "Int8" if signed else "Uint8"
        return nn.QuantIdentity(
            act_quant=getattr(module, f"{sign}ActPerTensor{end}"),
            bit_width=self.bits.of(width),
            return_quant_tensor=True,
        )

    def linear(self, inputs: int, outputs: int) -> Any:
        """Return a dense layer; its bias has the scale of its sums, so that it adds exactly."""
        nn = load("brevitas.nn")
        if self.bits is None:
            return nn.QuantLinear(inputs, outputs, bias=True, weight_quant=None)
        module, end = self._scale()
        options: dict[str, Any] = {}
        if self.accumulator_bits is not None:
            # A2Q (arXiv 2308.13504): scales and norms are learned a channel, in float.
            quantizer = load("brevitas.quant.scaled_int").Int8AccumulatorAwareWeightQuant
            options["weight_accumulator_bit_width"] = self.accumulator_bits
        else:
            channel = "Channel" if self.bits.per_channel else "Tensor"
            quantizer = getattr(module, f"Int8WeightPer{channel}{end}")
        return nn.QuantLinear(
            inputs,
            outputs,
            bias=True,
            weight_quant=quantizer,
            weight_bit_width=self.bits.weight,
            bias_quant=load("brevitas.quant.scaled_int").Int32Bias,
            **options,
        )

    def _scale(self) -> tuple[Any, str]:
        """Return the module of Brevitas' quantizers and how the names of this kind end."""
        if self.bits is not None and self.bits.scale == "power_of_two":
            return load("brevitas.quant.fixed_point"), "FixedPoint"
        return load("brevitas.quant.scaled_int"), "Float"


def bounded(layer: Any) -> bool:
    """Tell whether A2Q bounds the sums of a dense layer."""
    kinds = load("brevitas.proxy.parameter_quant")
    return isinstance(layer.weight_quant, kinds.DecoupledWeightQuantWithInputProxyFromInjector)


def plain(x: Any) -> Any:
    """Return a torch tensor: Brevitas' own with a scale beside it, or a tensor as it is."""
    return x.value if isinstance(x, load("brevitas.quant_tensor").QuantTensor) else x
