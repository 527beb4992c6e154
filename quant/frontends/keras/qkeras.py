"""QKeras quantizers: their configurations and strings, read into exact meanings.

A quantizer becomes a step of a ``Fixed`` type times a power of two (``Uniform``), a named function
(``Named``), or, for weights alone, values under a scale computed from them (``Computed``). Scales
that are no powers of two are refused. At inference ``use_stochastic_rounding`` changes nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from gateformer.quant.errors import ModelError
from gateformer.quant.frontends.keras.blueprint import class_name
from gateformer.quant.frontends.keras.qkeras_kinds import KINDS, STOCHASTIC, Kind
from gateformer.quant.frontends.keras.qkeras_meaning import Meaning
from gateformer.quant.frontends.keras.site import Site
from gateformer.quant.frontends.plain_json import Config, shorten
from gateformer.quant.types import FloatArray

TRAINABLE = frozenset({"kernel", "gamma", "variance"})
"""Roles in which QKeras turns ``alpha=None`` into ``"auto_po2"``."""

MAX_TEXT = 400


def weight_quantizer(config: Config, role: str) -> Callable[[FloatArray], FloatArray] | None:
    """Quantizer of a layer's weights (``kernel``, ``bias``, ``gamma``...), or None.

    Raises
    ------
    ModelError
        E103 malformed, E109 unsupported, E208 a scale that is no power of two.
    """
    spec = config.get(f"{role}_quantizer")
    if spec is None:
        return None
    inner, kind = parse(config, spec, f"{role}_quantizer")
    if kind is None:
        return None
    return _meaning(inner, kind, role in TRAINABLE).weights


def activation_quantizer(config: Config, spec: object) -> Callable[[Site, str], str] | None:
    """Quantizer of activations: adds itself to a graph; None where it changes nothing."""
    inner, kind = parse(config, spec, "activation")
    return None if kind is None else _meaning(inner, kind, False).add


def parse(config: Config, spec: object, key: str) -> tuple[Config, Kind | None]:
    """Class and arguments of a quantizer, from a configuration or a string like a call."""
    if isinstance(spec, Mapping):
        name, values = class_name(spec), spec.get("config") or {}
    elif isinstance(spec, str):
        name, values = parse_call(config, spec, key)
    else:
        raise config.error(f"'{key}' is {shorten(spec)}, not a quantizer")
    inner = Config(values, config.layer, f"{config.kind}, {name}")
    if name == "linear":
        return inner, None
    if name not in KINDS:
        random = name in STOCHASTIC
        raise ModelError(
            "E109",
            "unsupported quantizer",
            layer=config.layer,
            kind=config.kind,
            cause=f"'{key}' is {shorten(name)}{', which is random' if random else ''}",
            fix=f"use one of {', '.join(sorted(KINDS))}",
        )
    return inner, KINDS[name]


def parse_call(config: Config, text: str, key: str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of ``quantized_bits(8, 0, alpha=1)``; only literals are accepted."""
    bad = config.error(f"'{key}' is {shorten(text)}, not a quantizer with literal arguments")
    if len(text) > MAX_TEXT:
        raise bad
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
            raise bad
        kind = KINDS.get(tree.func.id)
        names = kind.arguments if kind else ()
        values = dict(zip(names, map(ast.literal_eval, tree.args), strict=False))
        if kind is not None and len(tree.args) > len(names):
            raise bad
        values.update({k.arg: ast.literal_eval(k.value) for k in tree.keywords if k.arg})
        return tree.func.id, values
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise bad from None


def _meaning(config: Config, kind: Kind, trainable: bool) -> Meaning:
    if config.get("qnoise_factor", 1) != 1:
        raise ModelError(
            "E109",
            "unsupported quantizer",
            layer=config.layer,
            kind=config.kind,
            cause=f"qnoise_factor is {shorten(config['qnoise_factor'])}: quantization is partial",
            fix="finish training with qnoise_factor 1",
        )
    return kind.read(config, trainable)
