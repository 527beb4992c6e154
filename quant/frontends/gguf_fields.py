"""A GGUF file's metadata, read with types; problems gather.

Owns ``Fields`` and ``error``. Imports the limits of a decoder's sizes and the errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateformer.quant.errors import GateformerError, ModelError, PimError
from gateformer.quant.frontends.hf_config import LIMITS
from gateformer.quant.frontends.plain_json import HEADLINES, shorten, shorten_name

ARCHITECTURE = "llama"
KNOWN = {
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.layer_norm_rms_epsilon",
    "attention.key_length",
    "attention.value_length",
    "rope.freq_base",
    "rope.dimension_count",
    "rope.scaling.type",
    "expert_count",
    "vocab_size",
}
"""Keys behind ``llama.`` that are understood; another one could change what is computed."""


def error(code: str, path: Path, place: str, cause: str, fix: str = "") -> GateformerError:
    """Return an error about a key or a tensor of a file."""
    layer = f"{path.name}: {place}"
    if code == "E811":
        what = "malformed model configuration"
        return PimError(code, what, layer=layer, cause=cause, fix=fix or "Convert the model again")
    return ModelError(code, HEADLINES[code], layer=layer, cause=cause, fix=fix)


class Fields:
    """A file's metadata.

    Parameters
    ----------
    path : Path
        For messages.
    held : mapping
        Fields as the package gguf reads them.
    """

    def __init__(self, path: Path, held: Mapping[str, Any]) -> None:
        self.path, self.held = path, held
        self.problems: list[GateformerError] = []

    def value(self, key: str) -> Any:
        """Return a key's value, None where it is missing or not to be read."""
        if key not in self.held:
            return None
        try:
            return self.held[key].contents()
        except (ValueError, LookupError, TypeError) as cause:
            self.wrong(key, f"It cannot be read ({type(cause).__name__})")
            return None

    def shape(self) -> dict[str, Any]:
        """Return the decoder's arguments, vocabulary, ``tied`` and ``source`` apart."""
        kind = self.value("general.architecture")
        if kind != ARCHITECTURE:
            self.wrong(
                "general.architecture",
                f"It is {shorten(kind)}; only '{ARCHITECTURE}' is read",
                "Take a model of LLaMA's kind",
            )
            return {}
        prefix = f"{ARCHITECTURE}."
        for key in sorted(self.held):
            if key.startswith(prefix) and key.removeprefix(prefix) not in KNOWN:
                self.wrong(
                    shorten_name(key), "It is not known, and could change what the model computes"
                )
        d_model = self._size("d_model", "embedding_length")
        heads = self._size("heads", "attention.head_count")
        if d_model % heads and f"{prefix}attention.key_length" not in self.held:
            self.wrong(f"{prefix}attention.head_count", f"{heads} heads do not divide {d_model}")
        whole = d_model // heads
        width = self._size("d_head", "attention.key_length", whole)
        values = self._size("d_head", "attention.value_length", width)
        turned = self._size("d_head", "rope.dimension_count", width)
        for name, other in (("attention.value_length", values), ("rope.dimension_count", turned)):
            if other != width:
                self.wrong(prefix + name, f"It is {other}; a head's keys have {width} numbers")
        if width % 2:
            self.wrong(prefix + "attention.head_count", f"A head of {width} numbers has no pairs")
        self._only("rope.scaling.type", "none", "Scaled rotary positions are not supported")
        self._only("expert_count", 0, "Mixtures of experts are not supported")
        return {
            "name": self.path.name.split(".")[0] or "model",
            "layers": self._size("layers", "block_count"),
            "d_model": d_model,
            "heads": heads,
            "kv_heads": self._size("kv_heads", "attention.head_count_kv", heads),
            "d_head": width,
            "d_ff": self._size("d_ff", "feed_forward_length"),
            "context": self._size("context", "context_length"),
            "norm": "rms",
            "activation": "silu",
            "gated": True,
            "positions": "rotary",
            "bias_qkv": False,
            "bias_projection": False,
            "bias_ffn": False,
            "epsilon": self._number("attention.layer_norm_rms_epsilon", None, 0.0, 1.0),
            "base": self._number("rope.freq_base", 10000.0, 1.0, 1e12),
        }

    def sizes(self, shape: Mapping[str, Any], tokens: int) -> None:
        """Note contradictions between sizes."""
        if shape["heads"] % shape["kv_heads"]:
            cause = f"{shape['heads']} heads cannot share {shape['kv_heads']} evenly"
            self.wrong("llama.attention.head_count_kv", cause)
        told = self.value("llama.vocab_size")
        if told is not None and told != tokens:
            self.wrong("llama.vocab_size", f"It is {shorten(told)}; {tokens} tokens are listed")

    def wrong(self, key: str, cause: str, fix: str = "") -> None:
        """Note a problem."""
        self.problems.append(error("E811", self.path, key, cause, fix))

    def _size(self, field: str, name: str, default: int | None = None) -> int:
        key = f"{ARCHITECTURE}.{name}"
        value = self.value(key)
        if value is None and default is not None and key not in self.held:
            return max(1, default)
        if type(value) is not int or not 1 <= value <= LIMITS[field]:
            said = "It is missing" if value is None else f"It is {shorten(value)}"
            self.wrong(key, f"{said}; a whole number from 1 to {LIMITS[field]} is meant")
            return 1
        return value

    def _number(self, name: str, default: float | None, above: float, most: float) -> float:
        key = f"{ARCHITECTURE}.{name}"
        value = self.value(key)
        if value is None and default is not None and key not in self.held:
            return default
        if type(value) is not float or not above < value <= most:
            said = "It is missing" if value is None else f"It is {shorten(value)}"
            self.wrong(key, f"{said}; a number above {above:g} and up to {most:g} is meant")
            return 1.0
        return value

    def _only(self, name: str, meant: object, cause: str) -> None:
        key = f"{ARCHITECTURE}.{name}"
        value = self.value(key)
        if key in self.held and value != meant:
            self.wrong(key, f"It is {shorten(value)}. {cause}")
