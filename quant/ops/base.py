"""What an operation is, and the registry that files and backends look it up in.

Owns ``Op``, ``Primitive``, ``Composite`` and ``Value``. Imports types and errors only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gateformer.quant.errors import ModelError
from gateformer.quant.types import Fixed, FloatArray, IntArray

if TYPE_CHECKING:
    from gateformer.quant.expand.context import Lowering

Shape = tuple[int, ...]
Probe = Callable[[str, FloatArray], None]
"""Called with an internal point's name (``score``) and its reals while a composite runs."""


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor of a graph, without its batch axis.

    Attributes
    ----------
    name : str
        Unique in the graph.
    shape : tuple of int
        Rank 1 is a vector; from rank 2 on, axis 0 counts tokens.
    layer : str
        The source layer that it belongs to.
    type : Fixed or None
        None for a real value of an imported graph.
    lo, hi : ndarray of int or None
        Proven smallest and largest raw integer of each element; ``shape`` each.
    """

    name: str
    shape: Shape
    layer: str
    type: Fixed | None = None
    lo: IntArray | None = None
    hi: IntArray | None = None

    @property
    def fixed(self) -> Fixed:
        """The type of a typed value."""
        if self.type is None:
            raise ModelError(
                "E120",
                "value without a type",
                layer=self.layer,
                cause=f"'{self.name}' is real",
                fix="lower the graph first",
            )
        return self.type

    @property
    def bounds(self) -> tuple[IntArray, IntArray]:
        """``(lo, hi)``, from the type where no narrower range is proven."""
        if self.lo is None or self.hi is None:
            kind = self.fixed
            dtype = np.int64 if kind.width < 63 else object
            return np.full(self.shape, kind.min, dtype), np.full(self.shape, kind.max, dtype)
        return self.lo, self.hi


class Inferred(NamedTuple):
    """A result's type and the proven range of each of its elements."""

    type: Fixed
    lo: IntArray
    hi: IntArray


REGISTRY: dict[str, type[Op]] = {}
"""Class name -> class, filled as the op modules are imported; the JSON format's vocabulary."""


class Op(ABC):
    """One operation; a subclass is a frozen, slotted dataclass of its constants."""

    __slots__ = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if cls.__module__ != __name__:
            REGISTRY[cls.__name__] = cls

    @abstractmethod
    def shape(self, *inputs: Shape) -> Shape:
        """Shape of the result; raises ModelError (E11x) where the inputs do not fit."""

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        """Result in float64, batch axis first: the framework's meaning."""
        raise ModelError(
            "E121",
            f"{type(self).__name__} has no meaning on reals",
            cause="it works on raw integers",
            fix="run the integer executor",
        )


class Primitive(Op):
    """An operation with an exact integer meaning."""

    __slots__ = ()

    @abstractmethod
    def infer(self, *inputs: Value) -> Inferred:
        """Type and range of the result, from the operands' types and ranges."""

    @abstractmethod
    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        """Raw integers of the result; operands carry a leading batch axis."""


class Composite(Op):
    """An operation of the frameworks; ``gateformer.quant.lower`` expands it into primitives."""

    __slots__ = ()

    @abstractmethod
    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """Add the primitives that compute it.

        Parameters
        ----------
        to : Lowering
            Takes the primitives; knows the types of named points.
        output : str
            Name of the result in the imported graph; the last primitive takes it.
        layer : str
            Source layer; other values are called ``<layer>/<point>``.
        *inputs : str
            Typed values.

        Returns
        -------
        str
            Name of the result.
        """


def exact(lo: IntArray, hi: IntArray, frac: int) -> Inferred:
    """Result that holds its range exactly, in the fewest bits."""
    return Inferred(Fixed.for_range(int(np.min(lo)), int(np.max(hi)), frac), lo, hi)


def wide(bound: int, *arrays: IntArray) -> tuple[IntArray, ...]:
    """Operands as Python integers where a result of magnitude ``bound`` leaves int64."""
    if bound < 1 << 62:
        return arrays
    return tuple(a.astype(object) for a in arrays)


def repeats(shape: Shape, to: Shape) -> bool:
    """Whether an array of a shape, aligned to the last axes, can be repeated to another."""
    pairs = zip(shape[::-1], to[::-1], strict=False)
    return len(shape) <= len(to) and all(n in (1, whole) for n, whole in pairs)


def single(op: Op, inputs: tuple[Shape, ...]) -> Shape:
    """Return the shape of an operation's only operand; E110 where it has none, or several."""
    if len(inputs) != 1:
        raise shape_error(op, *inputs, why=f"it takes one operand, not {len(inputs)}")
    return inputs[0]


def shape_error(op: Op, *inputs: Shape, why: str) -> ModelError:
    """E110 for operands that do not fit together."""
    shapes = ", ".join(str(s) for s in inputs)
    return ModelError(
        "E110",
        f"{type(op).__name__} on shapes {shapes}",
        cause=why,
        fix="check the layer's inputs",
    )
