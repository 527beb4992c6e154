"""From the bytes of an ONNX file to plain data, with nothing taken on trust.

Owns ``read``. The ``onnx`` package parses the protobuf; imports the tensors, names and the model.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from gateformer.quant.errors import GateformerError, ModelError, Problems, ToolError
from gateformer.quant.frontends.names import check_name
from gateformer.quant.frontends.onnx.model import Const, Input, Model, Node
from gateformer.quant.frontends.onnx.names import layer_names, scope_of
from gateformer.quant.frontends.onnx.weights import Folder, array_of

MAX_BYTES = 1 << 30
MAX_NODES = 100_000
"""The largest networks of the model zoos have a few thousand."""

STANDARD = ("", "ai.onnx")
"""Names of the standard domain."""

LEAST_OPSET = 7
"""Operations broadcast as numpy does from this version on (ONNX changelog, opset 7)."""


AUTOMATIC = ("", "main_graph", "torch_jit", "torch-jit-export", "graph")
"""Names that exporters give every graph; the file's own says more."""


def protobuf() -> Any:
    """Return the ``onnx`` package, or raise ToolError E505."""
    try:
        return import_module("onnx")
    except ImportError:
        raise ToolError(
            "E505",
            "Python package not installed",
            layer="onnx",
            cause="it parses .onnx files",
            fix="pip install onnx",
        ) from None


def read(path: Path) -> Model:
    """Parse a file.

    Raises
    ------
    ModelError, Problems
        E101 for what is no ONNX model, E107 for absurd sizes, E108 for unsafe names and for
        weights outside the model's folder, E103 for cycles and references to nothing; per node
        what cannot be kept.
    ToolError
        E505 without the onnx package.
    """
    onnx = protobuf()
    try:
        if path.stat().st_size > MAX_BYTES:
            cause = f"the limit is {MAX_BYTES} bytes"
            raise ModelError("E107", "model file too large", layer=str(path), cause=cause)
        data = path.read_bytes()
    except OSError as error:
        raise not_a_model(path, (error.strerror or "it cannot be opened").lower()) from None
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception as error:
        raise not_a_model(path, f"it is no protobuf ({str(error).splitlines()[0]})") from None
    if not _readable(proto):
        raise not_a_model(path, "a name in it is not UTF-8")
    graph = proto.graph
    if not graph.node or not graph.output or not proto.opset_import:
        raise not_a_model(path, "it holds no graph with nodes, outputs and a version")
    if len(graph.node) > MAX_NODES:
        raise ModelError("E107", "model too large", cause=f"{len(graph.node)} nodes")
    return _model(proto, Folder(path))


def not_a_model(path: Path, cause: str) -> ModelError:
    """E101 for a file that is no ONNX model."""
    return ModelError(
        "E101",
        "not a model file",
        layer=str(path),
        cause=cause,
        fix="pass a model that torch.onnx.export, Brevitas' export_qonnx or another exporter wrote",
    )


def _model(proto: Any, folder: Folder) -> Model:
    graph = proto.graph
    faults: list[GateformerError] = []
    versions = {_domain(v.domain): int(v.version) for v in proto.opset_import}
    if versions.get("", LEAST_OPSET) < LEAST_OPSET:
        cause = f"it was written for opset {versions['']}"
        fix = f"export with opset {LEAST_OPSET} or later"
        raise ModelError("E101", "model of an old format", cause=cause, fix=fix)
    constants: dict[str, Const] = {}
    for tensor in graph.initializer:
        try:
            constants[tensor.name] = Const(array_of(tensor, folder, f"weights '{tensor.name}'"))
        except GateformerError as error:
            faults.append(error)
    if graph.sparse_initializer:
        faults.append(
            ModelError("E104", "sparse weights in a model file", fix="store them as dense tensors")
        )
    functions = {(_domain(f.domain), f.name) for f in proto.functions}
    nodes: list[Node] = []
    names = layer_names([scope_of(node) for node in graph.node])
    for node, name in zip(graph.node, names, strict=True):
        try:
            nodes.append(_node(node, name, versions, functions, folder))
        except GateformerError as error:
            faults.append(error)
    inputs = []
    for value in graph.input:
        if value.name in constants:
            continue  # before IR version 4 weights were inputs too
        try:
            check_name(value.name, "input")
            inputs.append(_input(value))
        except GateformerError as error:
            faults.append(error)
    Problems.raise_if_any(faults)
    known = {i.name for i in inputs} | set(constants)
    ordered = _order(nodes, known)
    defined = known.union(*(node.outputs for node in ordered))
    outputs = tuple(value.name for value in graph.output)
    for name, count in Counter(outputs).items():
        if name not in defined or count > 1:
            what = "never defined" if name not in defined else "declared twice"
            raise ModelError("E103", f"output of the model is {what}", layer=name)
    name = folder.stem if graph.name in AUTOMATIC else check_name(graph.name, "graph")
    return Model(name, tuple(inputs), outputs, tuple(ordered), constants)


STRING, MESSAGE = 9, 11
"""FieldDescriptor.Type of names, and of messages inside messages."""


def _readable(message: Any) -> bool:
    """Whether all names are text; the parser hands over others as bytes."""
    for field, value in message.ListFields():
        if field.type in (STRING, MESSAGE):
            alone = isinstance(value, (str, bytes)) or hasattr(value, "ListFields")
            for item in (value,) if alone else value:
                if field.type == MESSAGE and not _readable(item):
                    return False
                if isinstance(item, bytes):
                    return False
    return True


def _domain(domain: str) -> str:
    return "" if domain in STANDARD else domain


def _input(value: Any) -> Input:
    kind = value.type
    if kind.WhichOneof("value") != "tensor_type" or not kind.tensor_type.HasField("shape"):
        raise ModelError(
            "E112",
            "input without a shape",
            layer=value.name,
            fix="export with an input of fixed tokens and features",
        )
    dims = kind.tensor_type.shape.dim
    sizes = tuple(
        int(d.dim_value) if d.WhichOneof("value") == "dim_value" and d.dim_value > 0 else None
        for d in dims
    )
    return Input(value.name, sizes)


def _node(
    node: Any,
    name: str,
    versions: Mapping[str, int],
    functions: set[tuple[str, str]],
    folder: Folder,
) -> Node:
    domain = _domain(node.domain)
    bare = Node(
        name,
        node.op_type,
        domain,
        versions.get(domain, 1),
        tuple(node.input),
        tuple(node.output),
    )
    if (domain, node.op_type) in functions:
        raise bare.unsupported("it calls a function that the file defines", INLINE)
    attributes = {a.name: _attribute(bare, a, folder) for a in node.attribute}
    return Node(name, bare.kind, domain, bare.version, bare.inputs, bare.outputs, attributes)


INLINE = "inline functions before saving (onnx.inliner.inline_local_functions)"


def _attribute(node: Node, attribute: Any, folder: Folder) -> Any:
    kinds = attribute.AttributeType
    kind = attribute.type
    if attribute.ref_attr_name or kind in (kinds.GRAPH, kinds.GRAPHS):
        cause = f"its attribute '{attribute.name}' holds a graph of its own"
        raise node.unsupported(cause, "export without control flow (If, Loop, Scan)")
    if kind == kinds.TENSOR:
        return array_of(attribute.t, folder, f"attribute '{attribute.name}' of '{node.name}'")
    if kind == kinds.FLOAT:
        return float(attribute.f)
    if kind == kinds.INT:
        return int(attribute.i)
    if kind == kinds.STRING:
        return attribute.s.decode("utf-8", "replace")
    if kind == kinds.FLOATS:
        return tuple(float(x) for x in attribute.floats)
    if kind == kinds.INTS:
        return tuple(int(x) for x in attribute.ints)
    if kind == kinds.STRINGS:
        return tuple(x.decode("utf-8", "replace") for x in attribute.strings)
    raise node.error(f"its attribute '{attribute.name}' is of a type that no such node has")


def _order(nodes: Sequence[Node], known: set[str]) -> list[Node]:
    """Nodes in an order in which every node follows what it reads; the file's where it is one."""
    maker: dict[str, int] = {}
    for place, node in enumerate(nodes):
        for output in filter(None, node.outputs):
            if output in maker or output in known:
                raise node.error(f"tensor '{output}' is defined twice")
            maker[output] = place
    waits: list[set[int]] = []
    readers: dict[int, list[int]] = {}
    for place, node in enumerate(nodes):
        for name in filter(None, node.inputs):
            if name not in known and name not in maker:
                raise node.error(f"it reads '{name}', which nothing defines")
        waits.append({maker[name] for name in node.inputs if name in maker})
        for source in waits[place]:
            readers.setdefault(source, []).append(place)
    ready = [place for place, wait in enumerate(waits) if not wait]
    ordered: list[Node] = []
    while ready:
        place = heapq.heappop(ready)
        ordered.append(nodes[place])
        for reader in readers.get(place, ()):
            waits[reader].discard(place)
            if not waits[reader]:
                heapq.heappush(ready, reader)
    if len(ordered) < len(nodes):
        stuck = [node.name for node, wait in zip(nodes, waits, strict=True) if wait]
        raise ModelError(
            "E103",
            "malformed model",
            cause=f"a cycle leads through {', '.join(stuck[:5])}",
            fix="export the model again",
        )
    return ordered
