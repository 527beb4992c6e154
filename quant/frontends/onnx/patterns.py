"""What happens to a parsed file before its nodes are read: constants, names, what nothing needs.

Owns ``simplified``. Imports the evaluators and the patterns.
"""

from __future__ import annotations

from dataclasses import replace

from gateformer.quant.frontends.onnx.constants import evaluate
from gateformer.quant.frontends.onnx.curves import named_curves
from gateformer.quant.frontends.onnx.model import Model, Node
from gateformer.quant.frontends.onnx.names import attention_names
from gateformer.quant.frontends.onnx.norms import named_norms


def simplified(model: Model) -> Model:
    """Return the model with constants evaluated, patterns named, and idle nodes gone.

    Raises
    ------
    ModelError
        E107, E112 for constants that cannot be.
    """
    constants = dict(model.constants)
    nodes: list[Node] = []
    for node in model.nodes:
        if all(name in constants for name in node.inputs if name):
            found = evaluate(node, [constants[n] if n else None for n in node.inputs])
            if found is not None:
                constants.update(zip(node.outputs, found, strict=False))
                continue
        nodes.append(node)
    nodes = attention_names(nodes, constants)
    nodes = named_curves(named_norms(nodes, constants), constants)
    return replace(model, nodes=tuple(_needed(nodes, model.outputs)), constants=constants)


def _needed(nodes: list[Node], outputs: tuple[str, ...]) -> list[Node]:
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(filter(None, node.inputs))
    return kept[::-1]
