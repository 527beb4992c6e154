"""A decoder's step as an OpenVINO model, built in its operators, a layer at a time.

Owns ``build``, ``Format`` and the formats. Imports the weights, and ``openvino`` where it is used.

The cache is handed in whole and read where it lies; the step's own keys and values are attended to
beside it and come out, to be written behind it. So nothing is concatenated, and a step that is run
again starts where it started before. Matrices of few bits are constants that are scaled where they
are read, as OpenVINO's compressed models have them; its plugin fuses that into its products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.decoders.sizes import Storage, plain, refuse_parts
from gateformer.baselines.decoders.weights import EPSILON, Array, Parameters, Weights, rotary
from gateformer.quant.decoder import Decoder


@dataclass(frozen=True, slots=True)
class Format:
    """How a precision stands in OpenVINO.

    Attributes
    ----------
    storage : Storage
        Of matrices, vectors, tables and the cache.
    bits : int
        Of a weight; 32 and 16 are floats.
    hint : str
        ``INFERENCE_PRECISION_HINT``.
    cache : str
        Type of keys and values.
    """

    storage: Storage
    bits: int
    hint: str
    cache: str


FORMATS: Mapping[str, Format] = {
    "fp32": Format(plain(4), 32, "f32", "f32"),
    "bf16": Format(Storage(1, 2, 4, 4, 2), 16, "bf16", "bf16"),
    "int8": Format(Storage(32, 34, 4, 4, 4), 8, "f32", "f32"),
    "int4": Format(Storage(32, 18, 4, 4, 4), 4, "f32", "f32"),
}
"""Blocks of 32 weights have a float16 scale; biases, normalizations and tables are float32."""


def build(weights: Weights, context: int, batch: int, form: Format) -> Any:
    """Return the ``openvino.Model``.

    Inputs: ``token`` int64 (batch,), ``key<n>`` and ``value<n>`` (batch, kv_heads, context,
    d_head). Outputs: ``logits`` (batch, vocab) and ``new`` (layers, 2, batch, kv_heads, 1, d_head).

    Raises
    ------
    BaselineError
        E851 where rows do not divide into the format's blocks.
    """
    refuse_parts(weights.decoder, form.storage)
    return _Builder(weights.decoder, context, batch, form).model(weights)


def quantized(rows: Array, bits: int, block: int) -> tuple[NDArray[np.int8], Array]:
    """Return a matrix in blocks of signed integers: (outputs, blocks, block), and their scales."""
    most = (1 << (bits - 1)) - 1
    blocks = rows.reshape(len(rows), -1, block)
    scales = np.abs(blocks).max(-1, keepdims=True) / most
    scales = scales.astype(np.float16).astype(np.float32)
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales != 0)
    return np.clip(np.rint(blocks * inverse), -most - 1, most).astype(np.int8), scales


class _Builder:
    """The operators built so far."""

    def __init__(self, shape: Decoder, context: int, batch: int, form: Format) -> None:
        import openvino
        from openvino import opset15

        self.ov: Any = openvino
        self.ops: Any = opset15
        self.shape, self.context, self.batch, self.form = shape, context, batch, form
        self.inputs: list[Any] = []
        self.new: list[Any] = []

    def model(self, weights: Weights) -> Any:
        """Return the whole model."""
        ops, shape = self.ops, self.shape
        outside = weights.outside()
        token = self._input("token", [self.batch], "i64")
        x = ops.gather(self._constant(outside["tokens"]), token, self._integers(0))
        if shape.positions == "learned":
            x = ops.add(x, self._constant(outside.pop("positions")[self.context][None]))
        turns = None
        if shape.positions == "rotary":
            turns = tuple(
                self._constant(one[-1].reshape(1, 1, 1, -1))
                for one in rotary(shape, self.context + 1)
            )
        for index, layer in enumerate(weights.layers()):
            x = ops.add(x, self._attention(index, layer, self._normal(layer, "norm1", x), turns))
            x = ops.add(x, self._ffn(layer, self._normal(layer, "norm2", x)))
        x = self._normal(outside, "norm", x)
        logits = self._linear({"head.weight": outside["head"]}, "head", x)
        new = ops.concat(self.new, 0)
        results = []
        for name, one in (("logits", logits), ("new", new)):
            result = ops.result(ops.convert(one, "f32"))
            result.get_output_tensor(0).set_names({name})
            results.append(result)
        return self.ov.Model(results, self.inputs, shape.name)

    def _attention(self, index: int, layer: Parameters, x: Any, turns: Any) -> Any:
        ops, shape = self.ops, self.shape
        width, groups = shape.d_head, shape.heads // shape.kv_heads
        sizes = self._integers([shape.queries, shape.kv_width, shape.kv_width])
        rows = ops.variadic_split(self._linear(layer, "qkv", x), self._integers(1), sizes)
        heads = (shape.heads, shape.kv_heads, shape.kv_heads)
        query, key, value = (
            ops.reshape(rows.output(place), self._integers([self.batch, count, 1, width]), False)
            for place, count in enumerate(heads)
        )
        if turns is not None:
            query, key = self._turned(query, *turns), self._turned(key, *turns)
        # Queries that share keys stand together as rows of one product.
        query = ops.reshape(
            query, self._integers([self.batch, shape.kv_heads, groups, width]), False
        )
        query = ops.multiply(query, self._constant(np.full((1, 1, 1, 1), 1 / sqrt(width))))
        self._emit(key, value)
        own = ops.matmul(query, key, False, True)
        if not self.context:
            found = ops.multiply(ops.softmax(own, 3), value)
        else:
            places = [self.batch, shape.kv_heads, self.context, width]
            keys = self._input(f"key{index}", places, self.form.cache)
            values = self._input(f"value{index}", places, self.form.cache)
            past = ops.matmul(query, self._float(keys), False, True)
            shares = ops.softmax(ops.concat([past, own], 3), 3)
            cut = ops.variadic_split(shares, self._integers(3), self._integers([self.context, 1]))
            found = ops.add(
                ops.matmul(cut.output(0), self._float(values), False, False),
                ops.multiply(cut.output(1), value),
            )
        found = ops.reshape(found, self._integers([self.batch, shape.queries]), False)
        return self._linear(layer, "projection", found)

    def _emit(self, key: Any, value: Any) -> None:
        shape = self.shape
        places = self._integers([1, 1, self.batch, shape.kv_heads, 1, shape.d_head])
        both = [self.ops.reshape(one, places, False) for one in (key, value)]
        self.new.append(self.ops.concat(both, 1))

    def _ffn(self, layer: Parameters, x: Any) -> Any:
        up = self._linear(layer, "up", x)
        if self.shape.gated:
            up = self.ops.multiply(self._activated(self._linear(layer, "gate", x)), up)
        else:
            up = self._activated(up)
        return self._linear(layer, "down", up)

    def _activated(self, x: Any) -> Any:
        if self.shape.activation == "gelu":
            return self.ops.gelu(x, "tanh")
        return self.ops.relu(x) if self.shape.activation == "relu" else self.ops.swish(x)

    def _turned(self, x: Any, cosine: Any, sine: Any) -> Any:
        ops = self.ops
        halves = ops.split(x, self._integers(3), 2)
        one, other = halves.output(0), halves.output(1)
        turned = [
            ops.subtract(ops.multiply(one, cosine), ops.multiply(other, sine)),
            ops.add(ops.multiply(other, cosine), ops.multiply(one, sine)),
        ]
        return ops.concat(turned, 3)

    def _normal(self, held: Parameters, name: str, x: Any) -> Any:
        ops, axis = self.ops, self._integers([1])
        weight = self._constant(held[f"{name}.weight"][None])
        if self.shape.norm == "layer":
            found = ops.mvn(x, axis, True, EPSILON, "inside_sqrt")
            bias = self._constant(held[f"{name}.bias"][None])
            return ops.add(ops.multiply(found, weight), bias)
        mean = ops.reduce_mean(ops.multiply(x, x), axis, True)
        root = ops.sqrt(ops.add(mean, self._constant(np.full((1, 1), EPSILON))))
        return ops.multiply(ops.divide(x, root), weight)

    def _linear(self, held: Parameters, name: str, x: Any) -> Any:
        found = self.ops.matmul(x, self._matrix(held[f"{name}.weight"]), False, True)
        if f"{name}.bias" not in held:
            return found
        return self.ops.add(found, self._constant(held[f"{name}.bias"]))

    def _matrix(self, rows: Array) -> Any:
        bits, ops = self.form.bits, self.ops
        if bits == 32:
            return self._constant(rows)
        if bits == 16:
            kept = self.ov.Tensor(self.ov.Type.bf16, rows.shape)
            kept.data.view(np.uint16)[...] = bfloat16(rows)
            return self._float(ops.constant(kept))
        whole, scales = quantized(rows, bits, self.form.storage.block)
        if bits == 4:
            low = whole.view(np.uint8) & 15
            packed = np.ascontiguousarray(low[..., 0::2] | low[..., 1::2] << 4)
            kept = self.ov.Tensor(self.ov.Type.i4, whole.shape)
            kept.data.reshape(-1)[:] = packed.reshape(-1)
            constant = ops.constant(kept)
        else:
            constant = ops.constant(whole)
        factor = self._float(ops.constant(scales.astype(np.float16)))
        scaled = ops.multiply(self._float(constant), factor)
        return ops.reshape(scaled, self._integers(list(rows.shape)), False)

    def _constant(self, array: NDArray[Any]) -> Any:
        return self.ops.constant(np.asarray(array, np.float32))

    def _integers(self, values: int | list[int]) -> Any:
        return self.ops.constant(np.array(values, np.int64))

    def _float(self, x: Any) -> Any:
        return self.ops.convert(x, "f32")

    def _input(self, name: str, shape: list[int], kind: str) -> Any:
        found = self.ops.parameter(shape, getattr(self.ov.Type, kind), name)
        found.get_output_tensor(0).set_names({name})
        self.inputs.append(found)
        return found


def bfloat16(array: Array) -> NDArray[np.uint16]:
    """Return the bits of the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
