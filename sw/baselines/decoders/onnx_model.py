"""A decoder's step as an ONNX file, its weights beside it, written layer by layer.

Owns ``write`` and the storage of each precision. Imports the weights, and ``onnx`` where it is
used. Attention and matrices of few bits are ONNX Runtime's own operators (GroupQueryAttention,
MatMulNBits), which its generation library uses too; the cache is handed in and written in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.decoders.sizes import Storage, plain, refuse_parts
from gateformer.baselines.decoders.weights import EPSILON, Parameters, Weights, rotary
from gateformer.quant.decoder import Decoder

STORAGE: Mapping[str, Storage] = {
    "fp32": plain(4),
    "int8": Storage(32, 36, 4, 4, 4),
    "int4": Storage(32, 20, 4, 4, 4),
}
"""In the file: blocks of 32 weights with a float32 scale; vectors, tables and the cache are
float32."""
BLOCK_SUM = 4
"""Bytes that ONNX Runtime puts beside each block as it loads a file on x86, and reads in each step:
the block's zero point times its scale, float32 (PackedQuantBDataStruct of its
core/mlas/lib/qnbitgemm.h)."""
BITS: Mapping[str, int] = {"int8": 8, "int4": 4}
OPSET = 23
"""The first with RMSNormalization."""
OWN = "com.microsoft"
INTEGER_PRODUCTS = 4
"""MatMulNBits' accuracy level at which activations become 8-bit integers too."""
ALIGNED = 4096
"""Offsets of tensors in the weights' file, so that they can be mapped."""


def write(folder: Path, weights: Weights, context: int, precision: str) -> Path:
    """Write ``model.onnx`` and ``weights.bin``; returns the model's path.

    Inputs: ``token`` int64 (batch,), ``before`` int32 (batch,), the tokens of each sequence in the
    cache; ``total`` int32 (), those and the step's; ``key<n>`` and ``value<n>`` float32 (batch,
    kv_heads, tokens, d_head). Outputs: ``logits`` (batch, vocab), ``new_key<n>``, ``new_value<n>``.

    Parameters
    ----------
    folder : Path
        An existing folder.
    weights : Weights
        Shape and seed.
    context : int
        Tokens in the cache: the position of the step's token.
    precision : str
        Of the matrices: a key of ``STORAGE``.

    Raises
    ------
    BaselineError
        E851 where rows do not divide into the precision's blocks.
    """
    import onnx

    refuse_parts(weights.decoder, STORAGE[precision])

    path = folder / "model.onnx"
    with (folder / "weights.bin").open("wb") as file:
        graph = _Graph(weights.decoder, precision, file)
        graph.build(weights, context)
    onnx.save(graph.model(), path)
    return path


def packed(precision: str, processor: str) -> Storage:
    """Return how numbers stand in ONNX Runtime's memory on a processor, such as ``x86_64``."""
    stored = STORAGE[precision]
    if precision not in BITS or processor not in ("x86_64", "AMD64"):
        return stored
    return replace(stored, bytes=stored.bytes + BLOCK_SUM)


def quantized(rows: NDArray[np.float32], bits: int) -> tuple[NDArray[np.uint8], Any]:
    """Return a matrix as MatMulNBits reads it: (outputs, blocks, bytes), and scales.

    A block's largest magnitude decides its scale; integers stand about 2^(bits - 1), the operator's
    default zero point; of two 4-bit integers in a byte the first is the low half.
    """
    block = STORAGE["int8"].block
    middle = 1 << (bits - 1)
    blocks = rows.reshape(len(rows), -1, block)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(-1)[..., None], -1)
    scales = largest / -middle
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales != 0)
    whole = np.clip(np.rint(blocks * inverse) + middle, 0, 2 * middle - 1).astype(np.uint8)
    if bits == 4:
        whole = whole[..., 0::2] | whole[..., 1::2] << 4
    return whole, scales[..., 0]


class _Graph:
    """The nodes and the weights written so far."""

    def __init__(self, shape: Decoder, precision: str, file: IO[bytes]) -> None:
        import onnx

        self.onnx: Any = onnx
        self.shape, self.precision, self.file = shape, precision, file
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.count = 0

    def model(self) -> Any:
        """Return the whole model."""
        helper = self.onnx.helper
        graph = helper.make_graph(
            self.nodes, self.shape.name, self.inputs, self.outputs, self.initializers
        )
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(OWN, 1)]
        return helper.make_model(graph, opset_imports=domains, ir_version=11)

    def build(self, weights: Weights, context: int) -> None:
        """Add everything."""
        shape, integer = self.shape, self.onnx.TensorProto
        self._value(self.inputs, "token", integer.INT64, ["batch"])
        self._value(self.inputs, "before", integer.INT32, ["batch"])
        self._value(self.inputs, "total", integer.INT32, [])
        outside = weights.outside()
        if shape.positions == "rotary":
            outside["cosine"], outside["sine"] = rotary(shape, context + 1)
        elif shape.positions == "learned":
            outside["position"] = outside.pop("positions")[context]
        for name, one in outside.items():
            if name != "head":
                self._hold(name, one)
        self._integers("one_token", [0, 1, -1])
        self._integers("flat", [0, -1])
        x = self._node("Gather", "tokens", "token")
        if shape.positions == "learned":
            x = self._node("Add", x, "position")
        for index, layer in enumerate(weights.layers()):
            x = self._block(index, layer, x)
        x = self._normal("norm", x)
        held = {"head.weight": outside["head"]}
        self._linear("", held, "head", x, "logits")
        self._value(self.outputs, "logits", integer.FLOAT, ["batch", shape.vocab])

    def _block(self, index: int, layer: Parameters, x: str) -> str:
        prefix = f"block{index}/"
        for name, one in layer.items():
            if name.endswith("bias") or name.startswith("norm"):
                self._hold(prefix + name, one)
        rows = self._linear(prefix, layer, "qkv", self._normal(f"{prefix}norm1", x))
        attended = self._attention(index, rows)
        x = self._node("Add", x, self._linear(prefix, layer, "projection", attended))
        normal = self._normal(f"{prefix}norm2", x)
        up = self._linear(prefix, layer, "up", normal)
        if self.shape.gated:
            gate = self._activated(self._linear(prefix, layer, "gate", normal))
            up = self._node("Mul", gate, up)
        else:
            up = self._activated(up)
        return self._node("Add", x, self._linear(prefix, layer, "down", up))

    def _attention(self, index: int, rows: str) -> str:
        shape, floats = self.shape, self.onnx.TensorProto.FLOAT
        places = ["batch", shape.kv_heads, "tokens", shape.d_head]
        for name in (f"key{index}", f"value{index}"):
            self._value(self.inputs, name, floats, places)
            self._value(self.outputs, f"new_{name}", floats, places)
        turns = ["cosine", "sine"] if shape.positions == "rotary" else []
        rows = self._node("Reshape", rows, "one_token")
        cache = [f"key{index}", f"value{index}"]
        found = self._node(
            "GroupQueryAttention",
            *(rows, "", "", *cache, "before", "total", *turns),
            results=[f"attended{index}", *(f"new_{name}" for name in cache)],
            domain=OWN,
            num_heads=shape.heads,
            kv_num_heads=shape.kv_heads,
            do_rotary=int(bool(turns)),
        )
        return self._node("Reshape", found, "flat")

    def _activated(self, x: str) -> str:
        if self.shape.activation == "gelu":
            return self._node("Gelu", x, approximate="tanh")
        if self.shape.activation == "relu":
            return self._node("Relu", x)
        return self._node("Mul", x, self._node("Sigmoid", x))

    def _normal(self, name: str, x: str) -> str:
        if self.shape.norm == "rms":
            return self._node("RMSNormalization", x, f"{name}.weight", epsilon=EPSILON)
        parts = (f"{name}.weight", f"{name}.bias")
        return self._node("LayerNormalization", x, *parts, epsilon=EPSILON)

    def _linear(self, prefix: str, held: Parameters, name: str, x: str, result: str = "") -> str:
        """Add a product with a matrix, which is written on the way."""
        rows, results = held[f"{name}.weight"], [result] if result else None
        whole, bias = f"{prefix}{name}.weight", f"{prefix}{name}.bias"
        biases = [bias] if f"{name}.bias" in held else []
        if self.precision not in BITS:
            self._hold(whole, rows)
            return self._node("Gemm", x, whole, *biases, results=results, transB=1)
        bits = BITS[self.precision]
        blocks, scales = quantized(rows, bits)
        self._hold(whole, blocks)
        self._hold(f"{whole}.scales", scales)
        return self._node(
            "MatMulNBits",
            *(x, whole, f"{whole}.scales", *(["", "", *biases] if biases else [])),
            results=results,
            domain=OWN,
            K=rows.shape[1],
            N=rows.shape[0],
            bits=bits,
            block_size=STORAGE[self.precision].block,
            accuracy_level=INTEGER_PRODUCTS,
        )

    def _node(
        self, kind: str, *inputs: str, results: list[str] | None = None, **attributes: Any
    ) -> str:
        self.count += 1
        results = results or [f"{kind}{self.count}"]
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, results, **attributes))
        return results[0]

    def _hold(self, name: str, array: NDArray[Any]) -> None:
        """Write an array to the weights' file and refer to it."""
        proto = self.onnx.TensorProto
        tensor = proto(name=name, dims=array.shape, data_location=proto.EXTERNAL)
        tensor.data_type = self.onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        self.file.write(bytes(-self.file.tell() % ALIGNED))
        places = {"location": "weights.bin", "offset": self.file.tell(), "length": array.nbytes}
        for key, value in places.items():
            tensor.external_data.add(key=key, value=str(value))
        np.ascontiguousarray(array).tofile(self.file)
        self.initializers.append(tensor)

    def _integers(self, name: str, values: list[int]) -> None:
        """Hold a shape: inside the model, since what reads it must know it before it runs."""
        array = np.array(values, np.int64)
        self.initializers.append(self.onnx.numpy_helper.from_array(array, name))

    def _value(self, place: list[Any], name: str, kind: int, shape: list[Any]) -> None:
        place.append(self.onnx.helper.make_tensor_value_info(name, kind, shape))
