"""Names of layers from what exporters write: node names, and torch's module scopes.

Owns ``scope_of``, ``layer_names`` and ``attention_names``. Imports the model.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from gateformer.quant.frontends.onnx.model import Node

SCOPES = "pkg.torch.onnx.name_scopes"
"""Key under which torch's newer exporter lists the modules around a node."""

PLUMBING = re.compile(
    r"^(act_quant|tensor_quant|export_handler|fused_activation_quant_proxy|activation_impl)(_\d+)?$"
)
"""Modules inside Brevitas' layers that no user named."""

QUANTIZERS = ("input_quant", "output_quant", "weight_quant", "bias_quant")
"""Brevitas' quantizers of a layer, which do not make it a container."""

AUTOMATIC = re.compile(r"^(node_)?_*([A-Za-z][A-Za-z0-9]*?)_*\d*$")
"""A name that an exporter made of the operation's and a number."""

Scope = tuple[tuple[str, ...], str]
"""Modules around a node, outermost first, and the node's own name."""


def scope_of(node: Any) -> Scope:
    """Scope of a NodeProto."""
    listed = next((p.value for p in node.metadata_props if p.key == SCOPES), None)
    if listed is not None:
        modules = re.findall(r"'([^']*)'", listed)
        path = modules[-2] if len(modules) > 1 else ""
        return _parts(path), snake(node.op_type)
    *path, own = node.name.strip("/").split("/")
    found = AUTOMATIC.match(own)
    automatic = not own or (found is not None and found[2].lower() == node.op_type.lower())
    return _parts("/".join(path)), snake(node.op_type) if automatic else "/".join(_parts(own))


def layer_names(scopes: Sequence[Scope]) -> list[str]:
    """One name a node: its module's for the last node of an innermost module, else under it."""
    last = {path: place for place, (path, _) in enumerate(scopes)}
    parents = {
        path[:depth]
        for path, _ in scopes
        for depth in range(len(path))
        if path[depth] not in QUANTIZERS
    }
    taken: set[str] = set()
    names = []
    for place, (path, own) in enumerate(scopes):
        whole = path and path not in parents and last[path] == place
        name = "/".join(path) if whole else "/".join((*path, own))
        names.append(unique(name or own, taken))
    return names


def unique(name: str, taken: set[str]) -> str:
    """The name, numbered where it is taken; remembers it."""
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    taken.add(found)
    return found


def snake(kind: str) -> str:
    """``LayerNormalization`` as ``layer_normalization``, ``MatMul`` as ``matmul``."""
    kind = kind.replace("MatMul", "Matmul")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()


def _parts(path: str) -> tuple[str, ...]:
    """Components; a number joins what it counts, ``blocks.0`` becoming ``blocks0``."""
    parts: list[str] = []
    for part in re.split(r"[./]", path):
        clean = re.sub(r"[^A-Za-z0-9_]", "_", part).strip("_")
        if not clean or PLUMBING.match(clean):
            continue
        if clean.isdigit() and parts:
            parts[-1] += clean
        else:
            parts.append(clean)
    return tuple(parts)


PRODUCT = re.compile(r"(^|/)(matmul|einsum)(_\d+)?$")
"""Name of a product that its exporter did not name."""


def attention_names(nodes: Sequence[Node], constants: Collection[str]) -> list[Node]:
    """Nodes with the products before and behind each softmax called ``score`` and ``context``."""
    makers = {name: node for node in nodes for name in node.outputs}
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    taken = {node.name for node in nodes}
    found: dict[str, str] = {}

    def computed(node: Node) -> list[str]:
        return [name for name in node.inputs if name and name not in constants]

    for softmax in (node for node in nodes if node.kind == "Softmax" and not node.domain):
        before = makers.get(softmax.inputs[0])
        while before is not None and len(computed(before)) == 1:
            before = makers.get(computed(before)[0])
        behind = readers.get(softmax.outputs[0], [])
        while len(behind) == 1 and len(computed(behind[0])) == 1:
            behind = readers.get(behind[0].outputs[0], [])
        ends = ((before, "score"), (behind[0] if len(behind) == 1 else None, "context"))
        for end, name in ends:
            if end is not None and len(computed(end)) == 2 and PRODUCT.search(end.name):
                path = end.name.rpartition("/")[0] or "attention"
                found[end.name] = unique(f"{path}/{name}", taken)
    return [replace(node, name=found.get(node.name, node.name)) for node in nodes]
