"""Shapes of decoders from a Hugging Face ``config.json``: GPT-2, OPT and LLaMA-like ones.

Owns ``load`` and ``read``. Imports the decoder, bounded JSON and the errors. A file is data:
nothing in it is imported, evaluated or followed, neither code (``auto_map``) nor paths.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gateformer.quant.decoder import Activation, Decoder
from gateformer.quant.errors import ConfigError, ModelError, PimError, Problems
from gateformer.quant.frontends import plain_json

LARGEST = 1 << 20
"""Bytes of the largest file that is read; real ones have a few thousand."""
LIMITS = {
    "layers": 1024,
    "d_model": 1 << 17,
    "heads": 1024,
    "kv_heads": 1024,
    "d_head": 4096,
    "d_ff": 1 << 20,
    "vocab": 1 << 22,
    "context": 1 << 24,
}
"""The largest sizes that are taken for meant: several times those of any published decoder."""
ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu",
    "gelu_fast": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Names of activations to ours; the forms of GELU differ by less than BF16 tells."""
LLAMA_LIKE = ("llama", "mistral", "qwen2", "smollm")
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
"""Keys of mixtures of experts: how many there are."""
KINDS = ("gpt2", "opt", *LLAMA_LIKE)
"""Values of ``model_type`` that are read."""


def load(path: str | Path) -> Decoder:
    """Read a file.

    Parameters
    ----------
    path : str or Path
        A ``config.json``, or the folder that holds one. The decoder is called after the folder, or
        after the file if that is called otherwise.

    Raises
    ------
    ConfigError
        E003 where there is none.
    PimError or Problems
        E811 for all that is wrong with it, with file, line and key.
    """
    path = Path(path)
    if path.is_dir():
        path /= "config.json"
    try:
        with path.open("rb") as stream:
            raw = stream.read(LARGEST + 1)
    except OSError as error:
        cause = error.strerror or str(error)
        raise ConfigError(
            "E003", "file not found", layer=str(path), cause=cause, fix="Check the path"
        ) from None
    name = path.resolve().parent.name if path.name == "config.json" else path.stem
    return read(raw, str(path), name or path.stem)


def read(raw: bytes, file: str, name: str) -> Decoder:
    """Check a file's content.

    Parameters
    ----------
    raw : bytes
        Untrusted.
    file : str
        What messages call it.
    name : str
        What the decoder is called.

    Raises
    ------
    PimError or Problems
        E811 for all that is wrong with it.
    """
    found = _Config(raw, file)
    kind = found.kind()
    if kind == "gpt2":
        shape = _gpt2(found)
    elif kind == "opt":
        shape = _opt(found)
    else:
        shape = _llama(found, kind)
    found.check(shape)
    return Decoder(name=name, source=f"{file}, model_type {kind}", **shape)


class _Config:
    """A file's values, read with types; problems gather until ``check``."""

    def __init__(self, raw: bytes, file: str) -> None:
        self.file = file
        if len(raw) > LARGEST:
            raise self._error(file, f"It is over {LARGEST >> 20} MiB")
        self.text = raw.decode("utf-8", "replace")
        try:
            self.values: Mapping[str, Any] = plain_json.parse(raw, file)
        except ModelError as error:
            line = ""
            try:
                json.loads(self.text)
            except json.JSONDecodeError as where:
                line = f":{where.lineno}"
            except (ValueError, RecursionError):
                pass  # the cause says it
            raise self._error(f"{file}{line}", error.cause) from None
        self.problems: list[PimError] = []
        self.keys: dict[str, str] = {}

    def kind(self) -> str:
        """Return what kind of decoder it is; refuses code and what is not known."""
        kind = self.values.get("model_type")
        mixed = next((one for one in EXPERTS if self.values.get(one) not in (None, 0, 1)), None)
        if mixed is not None or re.search("moe|mixtral", str(kind)):
            raise self._error(
                self._place(mixed or "model_type"),
                f"It is {plain_json.shorten(self.values.get(mixed or 'model_type'))}",
                "Mixtures of experts are not supported: take a model without",
            )
        if not isinstance(kind, str) or kind not in KINDS:
            near = get_close_matches(str(kind), KINDS, 1)
            raise self._error(
                self._place("model_type"),
                f"It is {plain_json.shorten(kind)}; known are {', '.join(KINDS)}",
                f"Did you mean '{near[0]}'?" if near else "Describe the decoder in Python",
            )
        if "auto_map" in self.values:
            self.wrong("auto_map", "It names code, which is never run", "Remove it if it is unused")
        return kind

    def integer(self, field: str, *keys: str, default: int | None = None) -> int:
        """Return the first key's value that is there; 1 where it is wrong."""
        key = next((one for one in keys if self.values.get(one) is not None), None)
        if key is None:
            self.keys[field] = keys[0]
            if default is None:
                self.wrong(keys[0], "It is missing")
            return 1 if default is None else default
        self.keys[field] = key
        value = self.values[key]
        if type(value) is not int or value < 1:
            self.wrong(key, f"It is {plain_json.shorten(value)}, no whole number of at least 1")
            return 1
        if value > LIMITS[field]:
            self.wrong(key, f"It is {plain_json.shorten(value)}; over {LIMITS[field]} is absurd")
            return 1
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return a truth value."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(key, f"It is {plain_json.shorten(value)}, not true or false")
        return value is True

    def activation(self, key: str, default: str) -> Activation:
        """Return an activation."""
        value = self.values.get(key, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            self.wrong(key, f"It is {plain_json.shorten(value)}; known are {known}")
            return "relu"
        return ACTIVATIONS[value]

    def only(self, key: str, meant: object, why: str) -> None:
        """Refuse a key whose value is not the one that is meant, where it is there."""
        value = self.values.get(key, meant)
        if value != meant or type(value) is not type(meant):
            self.wrong(key, f"It is {plain_json.shorten(value)}; {why}")

    def wrong(self, key: str, cause: str, fix: str = "Correct it") -> None:
        """Note a problem."""
        self.problems.append(self._error(self._place(key), cause, fix))

    def check(self, shape: Mapping[str, Any]) -> None:
        """Look for contradictions between sizes, then raise all problems."""
        if not self.problems:
            heads, kv_heads = shape["heads"], shape["kv_heads"]
            if heads % kv_heads:
                cause = f"{heads} heads cannot share {kv_heads} evenly"
                self.wrong(self.keys["kv_heads"], cause)
        Problems.raise_if_any(self.problems)

    def head_width(self, d_model: int, heads: int) -> int:
        """Return the width of a head where nothing else says it."""
        if d_model % heads and not self.problems:
            cause = f"{heads} heads do not divide {self.keys['d_model']} = {d_model}"
            self.wrong(self.keys["heads"], cause)
        return max(1, d_model // heads)

    def _place(self, key: str) -> str:
        """Return file, line and key; line 1 where the key is missing."""
        pattern = re.compile(rf'"{re.escape(key)}"\s*:')
        for number, line in enumerate(self.text.splitlines(), 1):
            if pattern.search(line):
                return f"{self.file}:{number} {key}"
        return f"{self.file}:1 {key}"

    def _error(
        self, place: str, cause: str, fix: str = "Save the model's config again"
    ) -> PimError:
        return PimError("E811", "malformed model configuration", layer=place, cause=cause, fix=fix)


def _gpt2(found: _Config) -> dict[str, Any]:
    d_model = found.integer("d_model", "n_embd", "hidden_size")
    heads = found.integer("heads", "n_head", "num_attention_heads")
    shape = {
        "layers": found.integer("layers", "n_layer", "num_hidden_layers"),
        "d_model": d_model,
        "heads": heads,
        "kv_heads": heads,
        "d_head": found.head_width(d_model, heads),
        "d_ff": found.integer("d_ff", "n_inner", default=4 * d_model),
        "vocab": found.integer("vocab", "vocab_size"),
        "context": found.integer("context", "n_positions", "n_ctx", "max_position_embeddings"),
        "activation": found.activation("activation_function", "gelu_new"),
        "tied": found.flag("tie_word_embeddings", True),
    }
    found.only("add_cross_attention", False, "only decoders without an encoder are read")
    return shape


def _opt(found: _Config) -> dict[str, Any]:
    d_model = found.integer("d_model", "hidden_size")
    heads = found.integer("heads", "num_attention_heads")
    bias = found.flag("enable_bias", True)
    shape = {
        "layers": found.integer("layers", "num_hidden_layers"),
        "d_model": d_model,
        "heads": heads,
        "kv_heads": heads,
        "d_head": found.head_width(d_model, heads),
        "d_ff": found.integer("d_ff", "ffn_dim"),
        "vocab": found.integer("vocab", "vocab_size"),
        "context": found.integer("context", "max_position_embeddings"),
        "activation": found.activation("activation_function", "relu"),
        "bias_qkv": bias,
        "bias_projection": bias,
        "bias_ffn": bias,
        "tied": found.flag("tie_word_embeddings", True),
    }
    found.only("do_layer_norm_before", True, "normalization behind attention is not supported")
    if found.values.get("word_embed_proj_dim") is not None:
        found.only("word_embed_proj_dim", d_model, "embeddings of another width are not supported")
    return shape


def _llama(found: _Config, kind: str) -> dict[str, Any]:
    d_model = found.integer("d_model", "hidden_size")
    heads = found.integer("heads", "num_attention_heads")
    if found.values.get("head_dim") is None:
        width = found.head_width(d_model, heads)
    else:
        width = found.integer("d_head", "head_dim")
    context = found.integer("context", "max_position_embeddings")
    if found.values.get("sliding_window") is not None and found.flag(
        "use_sliding_window", kind != "qwen2"
    ):
        # attention looks no further back than the window: longer sequences keep no more than it
        context = min(context, found.integer("context", "sliding_window"))
    bias = found.flag("attention_bias", False)
    return {
        "layers": found.integer("layers", "num_hidden_layers"),
        "d_model": d_model,
        "heads": heads,
        "kv_heads": found.integer("kv_heads", "num_key_value_heads", default=heads),
        "d_head": width,
        "d_ff": found.integer("d_ff", "intermediate_size"),
        "vocab": found.integer("vocab", "vocab_size"),
        "context": context,
        "norm": "rms",
        "activation": found.activation("hidden_act", "silu"),
        "gated": True,
        "positions": "rotary",
        "bias_qkv": bias or kind == "qwen2",
        "bias_projection": bias,
        "bias_ffn": found.flag("mlp_bias", False),
        "tied": found.flag("tie_word_embeddings", kind == "smollm"),
    }
