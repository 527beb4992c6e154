"""The meanings that quantizers share, on weights and in a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import frexp
from typing import Protocol

import numpy as np

from gateformer.quant.errors import ModelError, TypeRangeError
from gateformer.quant.expand import Elementwise, Quantize
from gateformer.quant.expand.functions import FUNCTIONS
from gateformer.quant.frontends.keras.site import Site
from gateformer.quant.frontends.plain_json import Config
from gateformer.quant.ops.cast import Rescale
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding

PIN_BITS = 40
"""Widest grid of values to which a non-uniform quantizer's result is held."""


class Meaning(Protocol):
    """What a quantizer does to weights, and how it is added to a graph."""

    def weights(self, w: FloatArray) -> FloatArray:
        """Quantized weights."""

    def add(self, site: Site, x: str) -> str:
        """Append the quantizer; returns its result."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """Round half to even to a type, clip, times ``2^power``."""

    type: Fixed
    overflow: Overflow
    power: int = 0

    def weights(self, w: FloatArray) -> FloatArray:
        """Quantized weights."""
        raw = self.type.from_real(w, Rounding.RND_CONV, self.overflow)
        return np.ldexp(self.type.to_real(raw), self.power)

    def add(self, site: Site, x: str) -> str:
        """Append a Quantize, and a Rescale where there is a scale."""
        op = Quantize(self.type, Rounding.RND_CONV, self.overflow)
        if self.power == 0:
            return site.add(op, x)
        return site.add(Rescale(self.power), site.add(op, x, point="steps"))


@dataclass(frozen=True, slots=True)
class Named:
    """A function by name; ``grid`` holds all of its values where a type can."""

    function: str
    parameters: tuple[tuple[str, float], ...]
    grid: Fixed | None = None

    def weights(self, w: FloatArray) -> FloatArray:
        """Quantized weights."""
        return FUNCTIONS[self.function](w, **dict(self.parameters))

    def add(self, site: Site, x: str) -> str:
        """Append an Elementwise, and a Quantize that loses nothing but gives the type."""
        op = Elementwise(self.function, self.parameters)
        if self.grid is None or self.grid.width > PIN_BITS:
            return site.add(op, x)
        return site.add(Quantize(self.grid), site.add(op, x, point=self.function))


@dataclass(frozen=True, slots=True)
class Built:
    """Activations by a few exact nodes; weights by a function equal to them."""

    named: Named
    build: Callable[[Site, str], str]

    def weights(self, w: FloatArray) -> FloatArray:
        """Quantized weights."""
        return self.named.weights(w)

    def add(self, site: Site, x: str) -> str:
        """Append the nodes."""
        return self.build(site, x)


@dataclass(frozen=True, slots=True)
class Computed:
    """Values under scales computed from the weights themselves."""

    config: Config
    values: Callable[[FloatArray], tuple[FloatArray, FloatArray]]

    def weights(self, w: FloatArray) -> FloatArray:
        """Quantized weights; E208 where a scale is no power of two."""
        found, scales = self.values(w)
        for scale in np.unique(scales):
            if not scale > 0 or frexp(scale)[0] != 0.5:
                raise no_power(self.config, float(scale))
        return found

    def add(self, site: Site, x: str) -> str:
        """Refuse activations, whose scale would change with every batch."""
        raise unsupported(
            self.config, f"alpha is {self.config['alpha']!r} on activations", "use alpha=1"
        )


def unsupported(config: Config, cause: str, fix: str) -> ModelError:
    """E109 about a layer's quantizer."""
    return ModelError(
        "E109", "unsupported quantizer", layer=config.layer, kind=config.kind, cause=cause, fix=fix
    )


def no_power(config: Config, scale: float) -> TypeRangeError:
    """E208: a scale that hardware would have to multiply by."""
    return TypeRangeError(
        "E208",
        "scale is not a power of two",
        layer=config.layer,
        kind=config.kind,
        cause=f"alpha={config.get('alpha')!r} gives a scale of {scale:.6g}",
        fix="train with alpha=1 or alpha='auto_po2'",
    )
