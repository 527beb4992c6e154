"""A decoder as a GGUF file for llama.cpp, written layer by layer.

Owns ``write`` and the storage of llama.cpp's formats. Imports the weights, and ``gguf``, which
quantizes and writes, where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gateformer.baselines.decoders.sizes import Storage, refuse_parts
from gateformer.baselines.decoders.weights import EPSILON, THETA, Array, Weights
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import BaselineError

STORAGE: Mapping[str, Storage] = {
    "f16": Storage(1, 2, 4, None, 2),
    "bf16": Storage(1, 2, 4, None, 2),
    "q8_0": Storage(32, 34, 4, None, 2),
    "q4_0": Storage(32, 18, 4, None, 2),
}
"""Block sizes of ggml's formats (ggml-common.h: 32 weights and one fp16 scale); biases and
normalizations are float32, the cache is fp16, llama.cpp's default."""

LAYER = {
    "norm1": "attn_norm",
    "projection": "attn_output",
    "norm2": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
"""Our names of a layer's parts, and GGUF's; ``qkv`` is whole in GPT-2 and in parts in LLaMA."""


def architecture(shape: Decoder) -> str:
    """Return what llama.cpp calls such a decoder: ``gpt2`` or ``llama``.

    Raises
    ------
    BaselineError
        E851 where it has no architecture with these parts.
    """
    biases = (shape.bias_qkv, shape.bias_projection, shape.bias_ffn)
    parts = (shape.norm, shape.activation, shape.gated, shape.positions)
    square = shape.queries == shape.d_model
    if parts == ("layer", "gelu", False, "learned") and all(biases) and square:
        if shape.kv_heads == shape.heads:
            return "gpt2"
    elif parts == ("rms", "silu", True, "rotary") and not any(biases):
        return "llama"
    raise BaselineError(
        "E851",
        "no such decoder in llama.cpp",
        layer=shape.name,
        cause="Only the parts of GPT-2 or of LLaMA are written for it: this one has "
        f"{shape.norm} norm, {shape.activation}, {shape.positions} positions",
        fix="Choose another runtime",
    )


def write(path: Path, weights: Weights, precision: str) -> None:
    """Write the file.

    Parameters
    ----------
    path : Path
        The file; what is there is replaced.
    weights : Weights
        Shape and seed.
    precision : str
        Of the matrices: a key of ``STORAGE``.

    Raises
    ------
    BaselineError
        E851 as ``architecture``, and where rows do not divide into the format's blocks.
    """
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    shape = weights.decoder
    refuse_parts(shape, STORAGE[precision])
    writer = GGUFWriter(path, architecture(shape))
    _describe(writer, shape)
    stored = GGMLQuantizationType[precision.upper()]
    single = GGMLQuantizationType.F32

    def kind(name: str, one: Array) -> Any:
        whole = one.ndim == 1 or name.startswith("position")
        return single if whole else stored

    # Sizes stand in front of the numbers: one layer's are those of all.
    outside = dict(_outside(weights))
    layer = dict(_layer(shape, weights, 0))
    for name, one in outside.items():
        _announce(writer, name, one.shape, kind(name, one))
    for index in range(shape.layers):
        for name, one in layer.items():
            _announce(writer, f"blk.{index}.{name}", one.shape, kind(name, one))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    try:
        for name, one in outside.items():
            writer.write_tensor_data(quantize(one, kind(name, one)))
        outside.clear()
        for index in range(shape.layers):
            for name, one in _layer(shape, weights, index):
                writer.write_tensor_data(quantize(one, kind(name, one)))
    finally:
        writer.close()


def _announce(writer: Any, name: str, shape: tuple[int, ...], kind: Any) -> None:
    from gguf import GGML_QUANT_SIZES

    block, size = GGML_QUANT_SIZES[kind]
    total = int(np.prod(shape)) // block * size
    # The type given says that the shape counts numbers, not bytes.
    writer.add_tensor_info(name, shape, np.dtype(np.float32), total, raw_dtype=kind)


def _describe(writer: Any, shape: Decoder) -> None:
    writer.add_name(shape.name)
    writer.add_vocab_size(shape.vocab)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.d_model)
    writer.add_feed_forward_length(shape.d_ff)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_tokenizer_model("none")
    if shape.norm == "layer":
        writer.add_layer_norm_eps(EPSILON)
        return
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.d_head)
    writer.add_value_length(shape.d_head)
    writer.add_rope_dimension_count(shape.d_head)
    writer.add_rope_freq_base(THETA)


def _outside(weights: Weights) -> Iterator[tuple[str, Array]]:
    held = weights.outside()
    yield "token_embd.weight", held["tokens"]
    if "positions" in held:
        yield "position_embd.weight", held["positions"]
    for part in ("weight", "bias"):
        if f"norm.{part}" in held:
            yield f"output_norm.{part}", held[f"norm.{part}"]
    if not weights.decoder.tied:
        yield "output.weight", held["head"]


def _layer(shape: Decoder, weights: Weights, index: int) -> Iterator[tuple[str, Array]]:
    for name, one in weights.layer(index).items():
        part, _, suffix = name.partition(".")
        if part != "qkv":
            yield f"{LAYER[part]}.{suffix}", one
        elif shape.positions != "rotary":
            yield f"attn_qkv.{suffix}", one
        else:
            cut = np.split(one, [shape.queries, shape.queries + shape.kv_width])
            for letter, rows in zip("qkv", cut, strict=True):
                yield f"attn_{letter}.{suffix}", rows if letter == "v" else _paired(shape, rows)


def _paired(shape: Decoder, rows: Array) -> Array:
    """Return a head's rows so that those which turn against each other stand side by side.

    llama.cpp's ``llama`` turns neighbours; the reference turns the halves of a head.
    """
    cut = rows.reshape(-1, 2, shape.d_head // 2, shape.d_model)
    return np.ascontiguousarray(cut.swapaxes(1, 2).reshape(rows.shape))
