"""From a parsed file to a graph: every node in order, all faults at once.

Owns ``import_graph``. Imports the readers, constants and the builder.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from gateformer.quant.errors import GateformerError, ModelError, Problems
from gateformer.quant.frontends.keras.site import MAX_VALUE
from gateformer.quant.frontends.onnx import (
    masks,
    nodes_activation,
    nodes_attention,
    nodes_dense,
    nodes_layout,
    nodes_merge,
    nodes_norm,
    nodes_quantizer,
    nodes_reduce,
)
from gateformer.quant.frontends.onnx.constants import evaluate
from gateformer.quant.frontends.onnx.factors import softmax_factors
from gateformer.quant.frontends.onnx.model import Input, Model, Node
from gateformer.quant.frontends.onnx.patterns import simplified
from gateformer.quant.frontends.onnx.site import READERS, Operand, Quantizers, Result, Site, refused
from gateformer.quant.frontends.onnx.tensors import BATCH, Tensor
from gateformer.quant.frontends.onnx.tidy import tidy
from gateformer.quant.graph import Builder, Graph

READER_MODULES = (
    nodes_activation,
    nodes_attention,
    nodes_dense,
    nodes_layout,
    nodes_merge,
    nodes_norm,
    nodes_quantizer,
    nodes_reduce,
)
"""Imported for the readers that they register."""


def import_graph(model: Model) -> Graph:
    """Build the graph.

    Raises
    ------
    ModelError, Problems
        First every node that has no reader; then all that does not fit together.
    """
    model = simplified(model)
    faults: list[GateformerError] = [refused(node) for node in _strangers(model)]
    builder = Builder(model.name)
    held: dict[str, Result] = dict(model.constants)
    for given in model.inputs:
        try:
            held[given.name] = _input(builder, given)
        except GateformerError as error:
            faults.append(error)
    Problems.raise_if_any(faults)
    broken: set[str] = set()
    quantizers: Quantizers = {}
    for node in model.nodes:
        if broken.intersection(node.inputs):
            broken.update(node.outputs)
            continue
        operands: list[Operand] = [held[name] if name else None for name in node.inputs]
        try:
            results = _results(builder, node, operands, quantizers)
            held.update(zip(node.outputs, results, strict=False))
            missing = [name for name in node.outputs[len(results) :] if name]
            broken.update(missing)
        except GateformerError as error:
            broken.update(node.outputs)
            faults.append(error.at(node.name))
    makers = {name: node for node in model.nodes for name in node.outputs}
    faults += [
        makers[name].unsupported("integers of a QuantizeLinear leave the model", PAIRS)
        for name in model.outputs
        if name in quantizers and name in makers
    ]
    Problems.raise_if_any(faults)
    for name in model.outputs:
        _output(builder, name, held.get(name), makers.get(name))
    return softmax_factors(tidy(builder.build()))


def _strangers(model: Model) -> list[Node]:
    """Nodes without a reader that are not constant either."""
    computed = {given.name for given in model.inputs}
    found = []
    for node in model.nodes:
        if computed.intersection(node.inputs):
            if node.kind not in ("Shape", "Size") or node.domain:
                computed.update(node.outputs)
            if (node.domain, node.kind) not in READERS:
                found.append(node)
    return found


def _results(
    builder: Builder, node: Node, operands: Sequence[Operand], quantizers: Quantizers
) -> tuple[Result, ...]:
    constants = [x for x in operands if not isinstance(x, Tensor)]
    if len(constants) == len(operands):
        known = evaluate(node, constants)
        if known is not None:
            return known
    reader = READERS.get((node.domain, node.kind))
    if reader is None:
        raise refused(node)
    if node.kind not in masks.READERS and any(isinstance(x, Tensor) and x.causal for x in operands):
        raise node.error("it reads masked scores", "put the mask just before the softmax", "E114")
    _integers(node, quantizers)
    found = reader(Site(builder, node, tuple(operands), quantizers))
    return found if isinstance(found, tuple) else (found,)


def _integers(node: Node, quantizers: Quantizers) -> None:
    """Let nodes that move elements carry a QuantizeLinear's integers; refuse arithmetic on them."""
    carried = [quantizers[name] for name in node.inputs if name in quantizers]
    if not carried or node.kind == "DequantizeLinear":
        return
    scale, zero = carried[0]
    if node.kind not in MOVES or scale.size != 1:
        raise node.unsupported(
            "it reads integers of a QuantizeLinear",
            PAIRS,
        )
    quantizers.update(dict.fromkeys(node.outputs, (scale, zero)))


PAIRS = "export with pairs of QuantizeLinear and DequantizeLinear (QDQ)"

MOVES = ("Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split")
"""Kinds that only move elements of one tensor."""


def _input(builder: Builder, given: Input) -> Tensor:
    """An input without its batch: axis 0, or axis 1 where that alone is free or of size one."""
    dims = given.dims
    free = [n is None or n == 1 for n in dims]
    axis = 1 if len(dims) > 2 and free[1] and not free[0] else 0
    shape = tuple(n for place, n in enumerate(dims) if place != axis or len(dims) == 1)
    sizes = [n for n in shape if n is not None]
    if len(sizes) != len(shape) or not shape or prod(sizes) > MAX_VALUE:
        raise ModelError(
            "E112",
            "input without a fixed shape",
            layer=given.name,
            cause=f"its dimensions are {[n or '?' for n in dims]}",
            fix="export with fixed tokens and features; only the batch may be dynamic",
        )
    value = builder.input(given.name, tuple(sizes))
    atoms = tuple(n for n in sizes if n > 1)
    batch = 1 if len(dims) == 1 else dims[axis] or 1
    axes: list[tuple[int, ...]] = []
    place = 0
    for number, n in enumerate(dims):
        if number == axis and len(dims) > 1:
            axes.append((BATCH,) if batch > 1 else ())
        elif n == 1:
            axes.append(())
        else:
            axes.append((place,))
            place += 1
    return Tensor(value, atoms, tuple(axes), batch)


def _output(builder: Builder, name: str, found: Result | None, maker: Node | None) -> None:
    """An output with the elements in ONNX's order and shape, its batch left out."""
    if not isinstance(found, Tensor) or maker is None:
        raise ModelError(
            "E114",
            "output that no node computes",
            layer=name,
            fix="remove it from the outputs, or give it a node",
        )
    site = Site(builder, maker, (), {})
    groups = [[atom for atom in axis if atom != BATCH] for axis in found.axes]
    samples = [k for k, axis in enumerate(found.axes) if axis == (BATCH,)]
    single = [k for k, axis in enumerate(found.axes[:2]) if not axis]
    if len(groups) > 1 and (samples or single):
        groups.pop((samples or single)[0])
    builder.output(site.boxed(found, groups).value)
