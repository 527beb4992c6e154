"""The hls4ml extension: layer classes and templates for what hls4ml lacks.

Owns ``CLASSES``, ``ATTRIBUTES``, ``register`` and ``class_of``. Imports hls4ml, when it is called.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from gateformer.hw.hls.oneapi import tasks
from gateformer.quant.graph import Node
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.reduce import Reduce

CLASSES = {
    "Attention": "GfAttention",
    "FoldedAttention": "GfAttention",
    "Softmax": "GfSoftmax",
    "LayerNorm": "GfLayerNorm",
    "RMSNorm": "GfRMSNorm",
    "Linear": "GfDense",
    "Affine": "GfAffine",
    "Embedding": "GfEmbedding",
    "Pool": "GfPool",
    "Elementwise": "GfElementwise",
    "Quantize": "GfElementwise",
}
"""Composite -> hls4ml layer class; other layers are GfElementwise, streams part at GfFork."""

ATTRIBUTES = (
    "class_name", "config_cpp", "function_cpp", "include_header", "index", "inputs", "input_shape",
    "name", "outputs", "reuse_factor", "strategy", "target_cycles", "trace", "type_name",
)  # fmt: skip
"""What hls4ml keeps of a layer beside its tensors, which therefore may not be called so."""


def class_of(kind: str | None, nodes: Iterable[Node]) -> str:
    """The hls4ml class of a layer, by its composite or else by what it is made of."""
    if kind in CLASSES:
        return CLASSES[kind]
    ops = [node.op for node in nodes]
    if any(isinstance(op, MatMul) for op in ops):
        return "GfAttention"
    if any(isinstance(op, Dense) for op in ops):
        return "GfDense"
    if any(isinstance(op, Reduce) and op.axis == "tokens" for op in ops):
        return "GfPool"
    if any(isinstance(op, Reduce) for op in ops) and any(isinstance(op, Lookup) for op in ops):
        return "GfSoftmax"
    return "GfElementwise"


@cache
def register(backend: str) -> None:
    """Make the classes known to hls4ml and their templates to one of its backends."""
    from hls4ml.backends import get_backend
    from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate

    classes = _classes()

    class GfCall(FunctionCallTemplate):  # type: ignore[misc] # hls4ml has no types
        """The call of a layer's function."""

        def __init__(self) -> None:
            super().__init__(list(classes), include_header=[])

        def format(self, node: Any) -> str:
            names = [node.get_input_variable(name).name for name in node.inputs]
            names += [node.get_output_variable(name).name for name in node.outputs]
            return f"{node.get_attr('gf_call')}({', '.join(names)});"

        def transform(self, model: Any, node: Any) -> bool:
            super().transform(model, node)
            node.set_attr("include_header", node.get_attr("gf_include"))
            return False

    class GfConfig(LayerConfigTemplate):  # type: ignore[misc] # hls4ml has no types
        """The reuse factor of a layer, and what follows from it."""

        def __init__(self) -> None:
            super().__init__(list(classes))

        def format(self, node: Any) -> str:
            name = node.get_attr("gf_config")
            if not name:
                return ""
            lines = [f"struct {name} {{"]
            lines += [f"    static const unsigned reuse_factor = {node.get_attr('reuse_factor')};"]
            lines += [
                f"    static const unsigned {constant} = {expression};"
                for constant, expression in node.get_attr("gf_constants").items()
            ]
            return "\n".join([*lines, "};\n"])

    chosen = get_backend(backend)
    chosen.register_template(GfCall)
    chosen.register_template(GfConfig)
    if backend == "oneAPI":
        for template in tasks(classes):
            chosen.register_template(template)


@cache
def _classes() -> tuple[type[Any], ...]:
    """One hls4ml class a kind of layer; all of them do as their attributes say."""
    from hls4ml.model.layers import Layer, register_layer

    class Gf(Layer):  # type: ignore[misc] # hls4ml has no types
        """A layer of generated code: tensors and weights as listed in its attributes."""

        def initialize(self) -> None:
            for name, out in zip(self.outputs, self.get_attr("gf_outputs"), strict=True):
                self.add_output_variable(
                    out["shape"], name, out["variable"], out["type"], out["precision"]
                )
            for weight in self.get_attr("gf_weights"):
                self.add_weights_variable(**weight)

        def get_layer_precision(self) -> dict[str, Any]:
            """Types by name; hls4ml itself keeps one output's."""
            found: dict[str, Any] = super().get_layer_precision()
            return found | {out.type.name: out.type for out in self.get_variables()}

    made = []
    for name in dict.fromkeys((*CLASSES.values(), "GfFork")):
        made.append(type(name, (Gf,), {"__doc__": f"hls4ml layer {name}."}))
        register_layer(name, made[-1])
    return tuple(made)
