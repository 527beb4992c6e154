"""Constant subgraphs in numpy: shapes that exporters compute, weights on their way to a node.

Owns ``EVALUATORS`` and ``evaluate``. Arithmetic keeps the file's own number types, so that weights
round as they did in the framework. Imports the model alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.frontends.h5_store import MAX_ELEMENTS
from gateformer.quant.frontends.onnx.model import Const, Node, Steps

Array = NDArray[Any]
Evaluator = Callable[[Node, Sequence[Array | None]], Array | tuple[Array, ...]]

EVALUATORS: dict[str, Evaluator] = {}
"""Kind of a standard node -> its meaning on arrays."""

BINARY: Mapping[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Pow": np.power,
    "Equal": np.equal,
    "Greater": np.greater,
    "Less": np.less,
    "GreaterOrEqual": np.greater_equal,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "MatMul": np.matmul,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mod": np.mod,
}

UNARY: Mapping[str, Callable[[Array], Array]] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Exp": np.exp,
    "Floor": np.floor,
    "Identity": np.asarray,
    "IsInf": np.isinf,
    "IsNaN": np.isnan,
    "Log": np.log,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Reciprocal": np.reciprocal,
    "Round": np.rint,
    "Sign": np.sign,
    "Sin": np.sin,
    "Sqrt": np.sqrt,
}

DTYPES = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    12: np.uint32,
    13: np.uint64,
    16: np.float32,
}
"""TensorProto.DataType -> numpy; bfloat16 is kept wider."""


def evaluates(*kinds: str) -> Callable[[Evaluator], Evaluator]:
    """Register the meaning of kinds of nodes on constants."""

    def register(body: Evaluator) -> Evaluator:
        EVALUATORS.update(dict.fromkeys(kinds, body))
        return body

    return register


def evaluate(node: Node, operands: Sequence[Const | None]) -> tuple[Const, ...] | None:
    """Results of a standard node on constants; None where its kind has no meaning here.

    Raises
    ------
    ModelError
        E107 for results beyond any sane weight, E112 for shapes that do not fit.
    """
    body = EVALUATORS.get(node.kind)
    if body is None or node.domain:
        return None
    moved = _moved_steps(node, operands, body)
    if moved is not None:
        return (moved,)
    try:
        with np.errstate(all="ignore"):
            found = body(node, [None if c is None else c.array for c in operands])
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError) as error:
        cause = f"it cannot be evaluated: {str(error).splitlines()[0] if str(error) else error!r}"
        raise node.error(cause, code="E112") from None
    arrays = found if isinstance(found, tuple) else (found,)
    return tuple(Const(np.asarray(array)) for array in arrays)


MOVES = ("Identity", "Transpose", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Cast")
"""Kinds that move elements, so that a quantizer's steps can move along."""


def _moved_steps(node: Node, operands: Sequence[Const | None], body: Evaluator) -> Const | None:
    source = operands[0] if operands else None
    if node.kind not in MOVES or source is None or source.steps is None:
        return None
    rest = [None if c is None else c.array for c in operands[1:]]
    raw, array = source.steps.raw, source.array
    scale = np.broadcast_to(source.steps.scale, raw.shape)
    whole, steps, each = (np.asarray(body(node, [part, *rest])) for part in (array, raw, scale))
    if whole.dtype.kind != "f":
        return None
    return Const(whole, Steps(steps.astype(np.float64), each.astype(np.float64)))


def bounded(node: Node, shape: Sequence[int]) -> tuple[int, ...]:
    """A shape that fits in memory; E107 for any other."""
    sizes = tuple(int(n) for n in shape)
    if any(n < 0 for n in sizes) or prod(sizes) > MAX_ELEMENTS:
        raise node.error(f"it makes a constant of shape {sizes}", "make it smaller", "E107")
    return sizes


def present(operands: Sequence[Array | None], place: int) -> Array:
    """An operand that must be there."""
    found = operands[place] if place < len(operands) else None
    if found is None:
        raise ValueError(f"input {place} is missing")
    return found


def optional(
    node: Node, operands: Sequence[Array | None], place: int, key: str
) -> list[int] | None:
    """Integers of an input, or of an attribute in older versions."""
    found = operands[place] if place < len(operands) else None
    if found is not None:
        return [int(n) for n in np.asarray(found).ravel()]
    listed = node.integers(key)
    return None if listed is None else list(listed)


@evaluates(*BINARY)
def binary(node: Node, operands: Sequence[Array | None]) -> Array:
    """Element by element; numbers stay of the file's type."""
    a, b = present(operands, 0), present(operands, 1)
    if node.kind == "MatMul":
        bounded(node, (*a.shape[:-1], *b.shape[-1:]))
    else:
        bounded(node, np.broadcast_shapes(a.shape, b.shape))
    result = BINARY[node.kind](a, b)
    return result.astype(a.dtype) if node.kind == "Pow" else result


@evaluates("Div")
def divide(node: Node, operands: Sequence[Array | None]) -> Array:
    """Integers divide towards zero, as ONNX has it."""
    a, b = present(operands, 0), present(operands, 1)
    bounded(node, np.broadcast_shapes(a.shape, b.shape))
    if a.dtype.kind in "iu":
        return np.where(b != 0, np.trunc(a / np.where(b == 0, 1, b)), 0).astype(a.dtype)
    return a / b


@evaluates(*UNARY)
def unary(node: Node, operands: Sequence[Array | None]) -> Array:
    """Element by element."""
    x = present(operands, 0)
    return np.asarray(UNARY[node.kind](x)).astype(x.dtype if x.dtype.kind == "f" else None)


@evaluates("Constant")
def constant(node: Node, operands: Sequence[Array | None]) -> Array:
    """The value that the node holds."""
    for key, kind in (("value_float", np.float32), ("value_floats", np.float32)):
        if key in node.attributes:
            return np.array(node.attributes[key], kind)
    for key in ("value_int", "value_ints"):
        if key in node.attributes:
            return np.array(node.attributes[key], np.int64)
    value = node.attributes.get("value")
    if not isinstance(value, np.ndarray):
        raise ValueError("it holds no numbers")
    return value


@evaluates("ConstantOfShape")
def constant_of_shape(node: Node, operands: Sequence[Array | None]) -> Array:
    """One number everywhere."""
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32)))
    shape = bounded(node, [int(n) for n in present(operands, 0)])
    return np.zeros(shape, value.dtype) + value.ravel()[0]


@evaluates("Expand")
def expand(node: Node, operands: Sequence[Array | None]) -> Array:
    """Repeated to a shape."""
    x = present(operands, 0)
    shape = np.broadcast_shapes(x.shape, tuple(int(n) for n in present(operands, 1)))
    return np.broadcast_to(x, bounded(node, shape)).copy()


@evaluates("Tile")
def tile(node: Node, operands: Sequence[Array | None]) -> Array:
    """Repeated side by side."""
    x, times = present(operands, 0), [int(n) for n in present(operands, 1)]
    bounded(node, [n * t for n, t in zip(x.shape, times, strict=True)])
    return np.tile(x, times)


@evaluates("Range")
def number_range(node: Node, operands: Sequence[Array | None]) -> Array:
    """From start to limit by steps."""
    start, limit, step = (present(operands, n) for n in range(3))
    first, end, by = (x.ravel()[0].item() for x in (start, limit, step))
    bounded(node, [max(0, int(np.ceil((end - first) / by)))])
    return np.arange(first, end, by).astype(start.dtype)


@evaluates("Cast", "CastLike")
def cast(node: Node, operands: Sequence[Array | None]) -> Array:
    """To another number type."""
    if node.kind == "CastLike":
        return present(operands, 0).astype(present(operands, 1).dtype)
    return present(operands, 0).astype(DTYPES[node.integer("to")])


@evaluates("Reshape")
def reshape(node: Node, operands: Sequence[Array | None]) -> Array:
    """The same elements in another shape."""
    x = present(operands, 0)
    dims = optional(node, operands, 1, "shape") or []
    return x.reshape(full_shape(x.shape, dims, bool(node.integer("allowzero", 0))))


def full_shape(have: Sequence[int], dims: Sequence[int], allow_zero: bool) -> list[int]:
    """Target of a Reshape, its 0 (keep) and -1 (the rest) filled in."""
    kept = [
        have[k] if n == 0 and not allow_zero and k < len(have) else n for k, n in enumerate(dims)
    ]
    rest = prod(n for n in kept if n != -1)
    return [prod(have) // rest if n == -1 and rest else n for n in kept]


@evaluates("Flatten")
def flatten(node: Node, operands: Sequence[Array | None]) -> Array:
    """Two axes."""
    x, axis = present(operands, 0), node.integer("axis", 1)
    return x.reshape(prod(x.shape[:axis]), -1)


@evaluates("Transpose")
def transpose(node: Node, operands: Sequence[Array | None]) -> Array:
    """Axes in another order."""
    return np.transpose(present(operands, 0), node.integers("perm"))


@evaluates("Unsqueeze")
def unsqueeze(node: Node, operands: Sequence[Array | None]) -> Array:
    """Axes of size one come in."""
    return np.expand_dims(present(operands, 0), optional(node, operands, 1, "axes") or ())


@evaluates("Squeeze")
def squeeze(node: Node, operands: Sequence[Array | None]) -> Array:
    """Axes of size one go."""
    axes = optional(node, operands, 1, "axes")
    return np.squeeze(present(operands, 0), None if axes is None else tuple(axes))


@evaluates("Gather")
def gather(node: Node, operands: Sequence[Array | None]) -> Array:
    """Rows by index."""
    x, index = present(operands, 0), present(operands, 1).astype(np.int64)
    axis = node.integer("axis", 0)
    bounded(node, (index.size, prod(x.shape) // max(1, x.shape[axis])))
    return np.take(x, index, axis)


@evaluates("Concat")
def concat(node: Node, operands: Sequence[Array | None]) -> Array:
    """Side by side."""
    parts = [present(operands, n) for n in range(len(operands))]
    bounded(node, [sum(p.size for p in parts)])
    return np.concatenate(parts, node.integer("axis", 1))


@evaluates("Slice")
def slice_of(node: Node, operands: Sequence[Array | None]) -> Array:
    """A range of some axes."""
    x = present(operands, 0)
    return x[slices(node, operands, x.ndim)]


def slices(node: Node, operands: Sequence[Array | None], rank: int) -> tuple[slice, ...]:
    """Python slices of a Slice node, one an axis; a limit below any start means to the end."""
    starts = optional(node, operands, 1, "starts") or []
    ends = optional(node, operands, 2, "ends") or []
    axes = optional(node, operands, 3, "axes") or list(range(len(starts)))
    steps = optional(node, operands, 4, "steps") or [1] * len(starts)
    found = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        to_front = step < 0 and end < -(1 << 31)
        found[axis] = slice(start, None if to_front else end, step)
    return tuple(found)


@evaluates("Split")
def split(node: Node, operands: Sequence[Array | None]) -> tuple[Array, ...]:
    """Parts along an axis."""
    x, axis = present(operands, 0), node.integer("axis", 0)
    sizes = split_sizes(node, optional(node, operands, 1, "split"), x.shape[axis])
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


def split_sizes(node: Node, given: Sequence[int] | None, size: int) -> list[int]:
    """Sizes of the parts of a Split."""
    if given is not None:
        return list(given)
    parts = len(node.outputs)
    most = -(-size // parts)
    return [most] * (parts - 1) + [size - most * (parts - 1)]


@evaluates("Where")
def where(node: Node, operands: Sequence[Array | None]) -> Array:
    """One of two by a condition."""
    found = [present(operands, n) for n in range(3)]
    bounded(node, np.broadcast_shapes(*(x.shape for x in found)))
    return np.where(found[0].astype(bool), found[1], found[2])


@evaluates("Trilu")
def trilu(node: Node, operands: Sequence[Array | None]) -> Array:
    """A triangle of a matrix."""
    k = int(present(operands, 1).ravel()[0]) if len(operands) > 1 else 0
    keep = np.triu if node.integer("upper", 1) else np.tril
    return keep(present(operands, 0), k)


REDUCTIONS: Mapping[str, Callable[..., Array]] = {
    "ReduceSum": np.sum,
    "ReduceProd": np.prod,
    "ReduceMax": np.max,
    "ReduceMin": np.min,
    "ReduceMean": np.mean,
}


@evaluates(*REDUCTIONS)
def reduce(node: Node, operands: Sequence[Array | None]) -> Array:
    """Along some axes, or all."""
    axes = optional(node, operands, 1, "axes")
    if not axes and node.integer("noop_with_empty_axes", 0):
        return present(operands, 0)
    keep = bool(node.integer("keepdims", 1))
    return np.asarray(
        REDUCTIONS[node.kind](
            present(operands, 0), axis=tuple(axes) if axes else None, keepdims=keep
        )
    )
