"""torch's own encoder layers, trained, as blocks with Brevitas' quantizers.

Owns ``counterpart``. Imports torch and Brevitas on demand.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

from gateformer.quant.errors import ModelError
from gateformer.quant.train.brevitas.network import block_class
from gateformer.quant.train.brevitas.packages import torch
from gateformer.quant.train.brevitas.quantizers import Quantized, plain
from gateformer.quant.train.brevitas.recipe import Bits, Network, Techniques


def counterpart(layer: Any, tokens: int, bits: Bits | None) -> Any:
    """Return a module on [n, tokens, width] that computes what `layer` does, with its weights.

    It is trained on like any torch module; call ``training.calibrate`` on it first, and
    ``export.export`` at the end.

    Parameters
    ----------
    layer : torch.nn.TransformerEncoderLayer or torch.nn.TransformerEncoder
        With ReLU or GELU; its dropout is left out.
    tokens : int
        Tokens of a sequence.
    bits : Bits or None
        Widths and scales; None quantizes nothing: then it equals ``layer.eval()``.

    Raises
    ------
    ModelError
        E102 for another activation, for another class or for one that is not `batch_first`.
    """
    stack = isinstance(layer, torch().nn.TransformerEncoder)
    layers = list(layer.layers) if stack else [layer]
    for one in layers:
        _check(one)
    made = stack_class()(Quantized(bits), [_network(one) for one in layers], tokens)
    if stack and layer.norm is not None:
        made.norm = deepcopy(layer.norm)
    for block, one in zip(made.children_in_order(), layers, strict=True):
        block.attention_norm.eps, block.ffn_norm.eps = one.norm1.eps, one.norm2.eps
        missing, unknown = block.load_state_dict(_weights(one), strict=False)
        # Biases that the layer does not have are zero; all else that is left are scales.
        for name in missing:
            if name.endswith(".bias"):
                torch().nn.init.zeros_(block.get_parameter(name))
        if unknown:
            raise AssertionError(f"weights without a place: {unknown}")
    return made


@cache
def stack_class() -> type[Any]:
    """Return the torch module class ``EncoderStack``: blocks behind a quantizer."""
    module: Any = torch().nn.Module

    class EncoderStack(module):  # type: ignore[misc] # torch is untyped here
        """Encoder layers, one after the other, and a last normalization where there is one."""

        def __init__(self, make: Quantized, nets: list[Network], tokens: int) -> None:
            super().__init__()
            self.input_cast = make.cast("input")
            self.blocks = [f"block{i}" for i in range(len(nets))]
            for name, net in zip(self.blocks, nets, strict=True):
                self.add_module(name, block_class()(make, net, "layer", Techniques(), tokens))
            self.norm: Any = None

        def children_in_order(self) -> list[Any]:
            """Return the blocks."""
            return [getattr(self, name) for name in self.blocks]

        def forward(self, x: Any) -> Any:
            """Return [n, tokens, width]."""
            x = self.input_cast(x)
            for block in self.children_in_order():
                x = block(x)
            return plain(x) if self.norm is None else self.norm(plain(x))

    return EncoderStack


def _network(layer: Any) -> Network:
    """Return a layer's sizes."""
    attention = layer.self_attn
    return Network(
        blocks=1,
        width=attention.embed_dim,
        heads=attention.num_heads,
        key_dim=attention.embed_dim // attention.num_heads,
        ffn=layer.linear1.out_features,
        activation="gelu" if _activation(layer.activation) == "gelu" else "relu",
        norm_first=layer.norm_first,
    )


def _check(layer: Any) -> None:
    """Raise where a layer has no counterpart."""
    name = type(layer).__name__
    if not isinstance(layer, torch().nn.TransformerEncoderLayer):
        cause, fix = f"It is a {name}", "Give an nn.TransformerEncoderLayer"
    elif not layer.self_attn.batch_first:
        cause, fix = "Its tokens come before its batch", "Make it with batch_first=True"
    elif _activation(layer.activation) is None:
        cause, fix = "Its activation is neither ReLU nor the exact GELU", "Use one of these"
    else:
        return
    raise ModelError("E102", "unsupported layer", kind=name, cause=cause, fix=fix)


def _activation(function: Any) -> str | None:
    """Return an activation's name, whether it is a function or a module."""
    nn = torch().nn
    if function is nn.functional.relu or isinstance(function, nn.ReLU):
        return "relu"
    if function is nn.functional.gelu:
        return "gelu"
    return "gelu" if getattr(function, "approximate", "") == "none" else None


def _weights(layer: Any) -> dict[str, Any]:
    """Return a layer's weights under the names that they have in a block."""
    attention = layer.self_attn
    found: dict[str, Any] = {}
    for kind in ("weight", "bias"):
        packed = getattr(attention, f"in_proj_{kind}")
        if packed is not None:
            for name, part in zip(("query", "key", "value"), packed.chunk(3), strict=True):
                found[f"attention.{name}.{kind}"] = part
        others = {
            "attention.output": attention.out_proj,
            "ffn.up": layer.linear1,
            "ffn.down": layer.linear2,
            "attention_norm": layer.norm1,
            "ffn_norm": layer.norm2,
        }
        for name, part in others.items():
            if getattr(part, kind) is not None:
                found[f"{name}.{kind}"] = getattr(part, kind)
    return {name: weight.detach().clone() for name, weight in found.items()}
