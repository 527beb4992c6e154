"""What an expansion may ask for: types by name, options, and nodes to add.

Owns ``Lowering``. Imports the settings, the graph, primitives and types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gateformer.quant.errors import GateformerError, TypeRangeError
from gateformer.quant.expand.multiplier import multiplier, wires
from gateformer.quant.expand.settings import (
    DYADIC_BITS,
    GIVEN_LIMITS,
    LIMITS,
    TABLE_BITS,
    Note,
    Options,
    Types,
)
from gateformer.quant.graph import Builder
from gateformer.quant.ops.base import Inferred, Primitive, Value
from gateformer.quant.ops.cast import Cast, Constant, Rescale
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Mul
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow, Rounding, dyadic

if TYPE_CHECKING:
    from gateformer.quant.expand.quantize import Quantize
    from gateformer.quant.expand.requantize import Requantize

__all__ = ["LIMITS", "TABLE_BITS", "Lowering", "Note", "Options", "Types", "lossless"]


class Lowering:
    """A graph of primitives under construction, as a composite's ``expand`` sees it.

    Parameters
    ----------
    builder : Builder
        Takes the primitives.
    types : Types
        Types of named points.
    options : Options
        How composites are expanded.
    casts : set of str
        Imported values that must leave their expansion in their own type.
    fused : mapping of str to Quantize or Requantize
        Result of a quantizer -> it, where the elementwise function before it takes it in.
    """

    def __init__(
        self,
        builder: Builder,
        types: Types,
        options: Options,
        casts: frozenset[str],
        fused: Mapping[str, Quantize | Requantize],
    ) -> None:
        self.builder = builder
        self.types = types
        self.options = options
        self.casts = casts
        self.fused = fused
        self.layer = ""
        self.notes: list[Note] = []
        self.faults: list[GateformerError] = []
        self.asked: set[str] = set()
        self.rounded: list[str] = []
        self._missing: set[str] = set()

    def value(self, name: str) -> Value:
        """A value made so far."""
        return self.builder.values[name]

    def note(self, choice: str, detail: str) -> None:
        """Report a choice about the present layer."""
        self.notes.append(Note(self.layer, choice, detail))

    def known(self, name: str, also: str | None = None) -> tuple[Fixed, str] | None:
        """Type and origin of a point, as `Types.find`; the point counts as one of the layer's."""
        self.asked.add(name)
        return self.types.find(name, also)

    def given(self, name: str) -> Fixed | None:
        """Type that the user gave a point."""
        self.asked.add(name)
        return self.types.given.get(name)

    def find(self, name: str, also: str | None = None) -> tuple[Fixed, str]:
        """Type and origin of a point; a missing one is reported with all others at the end."""
        found = self.known(name, also)
        if found is None:
            self._miss(name)
            return Fixed(True, LIMITS.get(name.rsplit("/", 1)[-1], 16), 6), "missing"
        kind, origin = found
        point = name.removeprefix(f"{self.layer}/")
        limit = max(GIVEN_LIMITS.get(point, 0), LIMITS.get(point, 0))
        if origin == "given" and limit and kind.width > limit:
            self.faults.append(
                TypeRangeError(
                    "E202",
                    f"{kind} is too wide for '{name}'",
                    layer=self.layer,
                    cause=f"hardware multiplies or looks up at most {limit} bits there",
                    fix=f"give '{name}' a type of at most {limit} bits",
                )
            )
        return kind, origin

    def type(self, name: str) -> Fixed:
        """Type of a point, as ``find``."""
        return self.find(name)[0]

    def chosen(self, point: str) -> Fixed | None:
        """Given or calibrated type of ``<layer>/<point>``; None where only a default applies."""
        found = self.known(f"{self.layer}/{point}")
        return found[0] if found is not None and found[1] != "default" else None

    def add(self, op: Primitive, *inputs: str, point: str) -> str:
        """Append a primitive as ``<layer>/<point>``; returns the value's name."""
        return self.builder.add(op, *inputs, name=f"{self.layer}/{point}", layer=self.layer)

    def finish(self, op: Primitive, *inputs: str, output: str) -> str:
        """Append a composite's last primitive; one Cast follows where the value needs its type."""
        if output not in self.casts:
            return self.builder.add(op, *inputs, name=output, layer=self.layer)
        return self.finish_as(op, *inputs, output=output, kind=self.type(output))

    def finish_as(self, op: Primitive, *inputs: str, output: str, kind: Fixed) -> str:
        """Like ``finish``, always to the type given."""
        layer = self.layer
        result = op.infer(*(self.value(n) for n in inputs))
        if lossless(result, kind):
            return self.builder.add(op, *inputs, name=output, layer=layer)
        whole = self.builder.add(op, *inputs, name=f"{output}/exact", layer=layer)
        return self.builder.add(Cast(kind), whole, name=output, layer=layer)

    def point(self, op: Primitive, *inputs: str, point: str, kind: Fixed | None = None) -> str:
        """Append a primitive whose result has the type of ``<layer>/<point>``, by a Cast if needed.

        Where no type is known, a result inside the point's limit stays exact.

        Parameters
        ----------
        op : Primitive
            Makes the exact result.
        *inputs : str
            Its operands.
        point : str
            Names the result, and its type unless ``kind`` is given.
        kind : Fixed, optional
            The type.
        """
        name = f"{self.layer}/{point}"
        if kind is None and self.known(name) is None:
            kind = op.infer(*(self.value(n) for n in inputs)).type
            kind = kind if kind.width <= LIMITS[point] else None
        return self.finish_as(op, *inputs, output=name, kind=kind or self.type(name))

    def cast(self, name: str, point: str) -> str:
        """Cast (RND, SAT) a value to the type of ``<layer>/<point>`` unless it fits already.

        Where no type is known, a value inside the point's limit stays as it is.
        """
        name_of_type, narrow = (
            f"{self.layer}/{point}",
            self.value(name).fixed.width <= LIMITS[point],
        )
        if narrow and self.known(name_of_type) is None:
            return name
        kind = self.type(name_of_type)
        return self.cast_to(name, kind, point)

    def cast_to(self, name: str, kind: Fixed, point: str) -> str:
        """Cast (RND, SAT) a value to a type unless it fits already."""
        x = self.value(name)
        if lossless(Inferred(x.fixed, *x.bounds), kind):
            return name
        return self.add(Cast(kind, Rounding.RND, Overflow.SAT), name, point=point)

    def entries(self, output: str, reals: FloatArray) -> tuple[IntArray, int]:
        """Entries of a table as ``(raw, frac)``: as the quantizer that it takes in makes them."""
        quantizer = self.fused.get(output)
        if quantizer is None:
            kind = self.type(output)
            return kind.from_real(reals).astype(np.int64), kind.frac
        made = quantizer.reference(reals, probe=lambda *_: None)
        return np.ldexp(made, quantizer.fraction).astype(np.int64), quantizer.fraction

    def dense(
        self,
        kernel: FloatArray,
        bias: FloatArray | None,
        features: tuple[int, ...],
        at: str = "",
        exact_bits: int = DYADIC_BITS,
    ) -> Dense:
        """Dense of real weights (inputs, outputs); quantized where they are not dyadic.

        Parameters
        ----------
        kernel : ndarray of float64, (inputs, outputs)
            Weights.
        bias : ndarray of float64, (outputs,), or None
            Bias.
        features : tuple of int
            Shape of one token's result.
        at : str
            Prefix of the types' names: ``<layer>/<at>kernel`` and ``<layer>/<at>bias``.
        exact_bits : int
            Dyadic weights of at most so many bits stay exact.
        """
        raw, frac = self.integers(kernel, f"{at}kernel", exact_bits=exact_bits)
        offset = np.zeros(kernel.shape[1]) if bias is None else bias
        wide = 2 * self.options.weight_bits
        bias_raw, bias_frac = self.integers(offset, f"{at}bias", wide, exact_bits)
        return Dense(np.ascontiguousarray(raw.T), frac, bias_raw, bias_frac, features)

    def integers(
        self,
        real: FloatArray,
        point: str,
        width: int | None = None,
        exact_bits: int = DYADIC_BITS,
    ) -> tuple[IntArray, int]:
        """Constants as ``(raw, frac)``: exact if dyadic, else in the best type of few bits.

        Parameters
        ----------
        real : ndarray of float64
            The constants.
        point : str
            ``<layer>/<point>`` names their type if given.
        width : int, optional
            Bits where no type is given; ``weight_bits`` if left out.
        exact_bits : int
            Dyadic constants of at most so many bits stay exact.
        """
        found = dyadic(real, exact_bits)
        name = f"{self.layer}/{point}"
        given = self.given(name)
        if found is not None and given is None:
            return found
        self.rounded.append(name)
        kind = given or best_type(real, width or self.options.weight_bits)
        raw = kind.from_real(real)
        error = float(np.abs(kind.to_real(raw) - real).max(initial=0.0))
        self.note("weights", f"{point} quantized to {kind}, largest error {error:.3g}")
        return raw, kind.frac

    def constant(self, real: FloatArray, point: str, width: int | None = None) -> str:
        """A constant tensor, as ``integers`` quantizes it."""
        raw, frac = self.integers(real, point, width)
        return self.add(Constant(raw, frac), point=point)

    def scaled(self, x: str, factor: FloatArray, output: str, bits: int | None = None) -> str:
        """Append ``x factor`` for real factors: a product with m 2^-n, or wires.

        Parameters
        ----------
        x : str
            A typed value.
        factor : ndarray of float64
            Positive, repeated over the axes of x that it lacks; powers of two are exact.
        output : str
            Name of the result, which is cast to its type where the imported graph wants it.
        bits : int, optional
            Relative error 2^-bits at most; ``multiplier_bits`` if left out.
        """
        power = wires(factor)
        if power is not None:
            return self.finish(Rescale(power), x, output=output)
        raw, frac = multiplier(factor, bits or self.options.multiplier_bits)
        error = float(np.abs(np.ldexp(raw.astype(np.float64), -frac) / factor - 1.0).max())
        self.note("scale", f"{raw.size} factors m 2^-{frac}, largest relative error {error:.3g}")
        shape = (1,) * (len(self.value(x).shape) - raw.ndim) + raw.shape
        constant = Constant(raw.reshape(shape), frac)
        made = self.builder.add(constant, name=f"{output}/factor", layer=self.layer)
        return self.finish(Mul(), x, made, output=output)

    def _miss(self, name: str) -> None:
        if name in self._missing:
            return
        self._missing.add(name)
        self.faults.append(
            TypeRangeError(
                "E204",
                f"no type for '{name}'",
                layer=self.layer,
                fix="give calibration data, a default such as fixed<17,7>, or this type",
            )
        )


def lossless(found: Inferred, kind: Fixed) -> bool:
    """Whether a Cast to ``kind`` would change no value and save no bit."""
    if found.type.frac > kind.frac or found.type.width > kind.width:
        return False
    grow = kind.frac - found.type.frac
    return int(found.lo.min()) << grow >= kind.min and int(found.hi.max()) << grow <= kind.max


def best_type(real: FloatArray, width: int) -> Fixed:
    """The signed type of a width with the least squared error on the values given."""
    top = float(np.abs(real).max(initial=0.0))
    whole = int(np.floor(np.log2(top))) + 2 if top > 0 else 1
    kinds = [Fixed(True, width, width - whole + extra) for extra in (0, 1, 2)]
    return min(kinds, key=lambda k: float(((k.to_real(k.from_real(real)) - real) ** 2).sum()))
