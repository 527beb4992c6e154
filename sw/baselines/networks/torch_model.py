"""A network as a torch module, on any device and in any floating type.

Owns ``module`` and ``weight_bytes``. Imports the meaning of operations; torch inside. The kit's
words are torch's own fused functions where it has them: ``linear``, ``layer_norm``,
``scaled_dot_product_attention``. They are recorded once as a ``torch.fx`` graph, so that a step
runs straight through them.
"""

# A kit's words are told once, in `Kit`.
# ruff: noqa: D102
from __future__ import annotations

from typing import Any, Literal

import numpy as np

from gateformer.baselines.networks.functions import steps
from gateformer.baselines.networks.meaning import FAR, Heads, translate
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Shape
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding


def module(graph: Graph, device: str = "cpu", dtype: str = "float32") -> Any:
    """Return a ``torch.nn.Module`` of a graph on reals, in evaluation mode.

    Parameters
    ----------
    graph : Graph
        As imported or folded.
    device : str
        Such as ``cpu`` or ``cuda``.
    dtype : str
        Of weights and tensors, by its name in torch, such as ``bfloat16``.

    Returns
    -------
    torch.nn.Module
        ``forward(*inputs)`` takes a tensor (n, *shape) of this type for each of the graph's
        inputs, in its order, and returns a tuple of its outputs (n, *shape).

    Raises
    ------
    DataError
        E612 for an operation that works on raw integers.
    """
    import torch

    kit = TorchKit(torch.nn.Module(), device, getattr(torch, dtype))
    # Placeholders are numbered: a value's name may be no name in Python.
    inputs = {name: kit.placeholder(f"x{k}") for k, name in enumerate(graph.inputs)}
    outputs = translate(kit, graph, inputs)
    # An input or a constant may be an output as it is; frames are counted by the first input.
    frames = next(iter(inputs.values()))
    whole = [
        kit.frames(made, frames, graph.values[name].shape)
        for made, name in zip(outputs, graph.outputs, strict=True)
    ]
    kit.graph.output(tuple(one.node for one in whole))
    # Whatever no output needs; a placeholder stays.
    kit.graph.eliminate_dead_code()
    return torch.fx.GraphModule(kit.root, kit.graph).eval()


def weight_bytes(network: Any) -> int:
    """Return the bytes of a module's weights."""
    return sum(one.numel() * one.element_size() for one in network.buffers())


class TorchKit:
    """Says a kit's words to a ``torch.fx`` graph."""

    def __init__(self, root: Any, device: str, dtype: Any) -> None:
        import torch

        self.torch, self.root, self.device, self.dtype = torch, root, device, dtype
        self.graph = torch.fx.Graph(root)
        self._tracer = torch.fx.proxy.GraphAppendingTracer(self.graph)
        self._held = 0

    def placeholder(self, name: str) -> Any:
        """Return an input of the module."""
        return self.torch.fx.Proxy(self.graph.placeholder(name), self._tracer)

    def frames(self, x: Any, like: Any, shape: Shape) -> Any:
        """Return an output with one result for each frame."""
        return x.expand(like.size(0), *shape)

    def constant(self, reals: FloatArray) -> Any:
        return self._weight(reals[None])

    def linear(
        self, x: Any, kernel: FloatArray, bias: FloatArray | None, given: Shape, made: Shape
    ) -> Any:
        tokens = given[:1] if len(given) > 1 else ()
        flat = x if len(given) < 3 else x.reshape(-1, *tokens, kernel.shape[0])
        offset = None if bias is None else self._weight(bias)
        y = self.torch.nn.functional.linear(flat, self._weight(kernel.T), offset)
        return y if len(made) == len(tokens) + 1 else y.reshape(-1, *made)

    def attention(self, heads: Heads, query: Any, key: Any, value: Any, mask: Any) -> Any:
        functions = self.torch.nn.functional
        q, k, v = self._projections(heads, query, key, value)
        if mask is None:
            mixed = functions.scaled_dot_product_attention(
                q, k, v, is_causal=heads.causal, scale=1.0
            )
        else:
            seen = mask.transpose(1, 2).unsqueeze(1)  # (n, 1, 1, S)
            if heads.causal:
                seen = seen * self._weight(np.tri(heads.tokens, heads.keys))
            score = self.torch.matmul(q, k.transpose(2, 3)) + (seen - 1.0) * FAR
            # Once more, for rows that see no key at all.
            mixed = self.torch.matmul(self.torch.softmax(score, -1) * seen, v)
        if heads.wo is None:
            y = mixed.sum(1)
            return y if heads.bo is None else y + self._weight(heads.bo)
        kernel = heads.wo.reshape(-1, heads.wo.shape[2])
        bias = None if heads.bo is None else self._weight(heads.bo)
        flat = mixed.transpose(1, 2).flatten(2)
        return functions.linear(flat, self._weight(kernel.T), bias)

    def layer_norm(self, x: Any, gamma: FloatArray, beta: FloatArray, epsilon: float) -> Any:
        return self.torch.nn.functional.layer_norm(
            x, gamma.shape, self._weight(gamma), self._weight(beta), epsilon
        )

    def rms_norm(self, x: Any, gamma: FloatArray, epsilon: float) -> Any:
        return self.torch.nn.functional.rms_norm(x, gamma.shape, self._weight(gamma), epsilon)

    def softmax(self, x: Any) -> Any:
        return self.torch.softmax(x, -1)

    def matmul(self, a: Any, b: Any, contract: Literal["features", "tokens"]) -> Any:
        a, b = a.transpose(1, 2), b.transpose(1, 2)
        b = b.transpose(2, 3) if contract == "features" else b
        return self.torch.matmul(a, b).transpose(1, 2)

    def rows(self, x: Any, table: FloatArray, tokens: int) -> Any:
        entries = table.shape[0]
        padded = np.vstack([table, np.zeros((1, table.shape[1]))])
        index = x.reshape(-1, tokens).to(self.torch.int64)
        beyond = (index < 0) | (index >= entries)
        index = self.torch.where(beyond, entries, index)
        return self.torch.nn.functional.embedding(index, self._weight(padded))

    def reshape(self, x: Any, shape: Shape) -> Any:
        return x.reshape(-1, *shape)

    def transpose(self, x: Any, order: tuple[int, ...]) -> Any:
        return x.permute(0, *(axis + 1 for axis in order))

    def slice(self, x: Any, start: int, stop: int) -> Any:
        return x.narrow(-1, start, stop - start)

    def concat(self, parts: list[Any], given: list[Shape]) -> Any:
        # A constant stands once, however many frames there are.
        whole = self.torch.broadcast_tensors(*(x.narrow(-1, 0, 1) for x in parts))
        widths = [shape[-1] for shape in given]
        full = [
            x.expand_as(whole[0].expand(*(-1,) * len(shape), width))
            for x, shape, width in zip(parts, given, widths, strict=True)
        ]
        return self.torch.cat(full, -1)

    def reduce(self, x: Any, kind: str, axis: Literal["features", "tokens"]) -> Any:
        where, kept = (-1, True) if axis == "features" else (1, False)
        return x.sum(where, kept) if kind == "sum" else x.amax(where, kept)

    def quantize(self, x: Any, to: Fixed, rounding: Rounding, overflow: Overflow) -> Any:
        plain = rounding is Rounding.RND_CONV and overflow is not Overflow.WRAP
        if not plain or self.dtype is not self.torch.float32:
            return steps(self, x, to, rounding, overflow)
        low, high = to.limits(overflow)
        return self.torch.fake_quantize_per_tensor_affine(x, to.scale, 0, low, high)

    def keep(self, x: Any) -> Any:
        return x

    def where(self, condition: Any, yes: Any, no: Any) -> Any:
        return self.torch.where(condition, yes, no).to(self.dtype)

    def at_least(self, a: Any, b: Any) -> Any:
        return a >= b

    def minimum(self, a: Any, b: Any) -> Any:
        return a.clamp(max=b)

    def maximum(self, a: Any, b: Any) -> Any:
        return a.clamp(min=b)

    def unary(self, name: str, x: Any) -> Any:
        if name.startswith("gelu"):
            how = "tanh" if name == "gelu_tanh" else "none"
            return self.torch.nn.functional.gelu(x, approximate=how)
        return getattr(self.torch, "round" if name == "rint" else name)(x)

    def _projections(self, heads: Heads, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        """Return queries, keys and values (n, H, tokens, size); of one operand in one product."""
        count = heads.wq.shape[1]
        wanted = [(query, heads.wq, heads.bq), (value, heads.wv, heads.bv)]
        if heads.wk is not None:
            wanted.insert(1, (key, heads.wk, None))
        if all(one[0] is query for one in wanted):
            sizes = [w.shape[2] for _, w, _ in wanted]
            biases = [np.zeros(w.shape[1:]) if b is None else b for _, w, b in wanted]
            some = any(b is not None for _, _, b in wanted)
            joined = np.concatenate(biases, 1) if some else None
            whole = self._projected(query, np.concatenate([w for _, w, _ in wanted], 2), joined)
            made = [whole.narrow(-1, sum(sizes[:place]), size) for place, size in enumerate(sizes)]
        else:
            made = [self._projected(*one) for one in wanted]
        if heads.wk is None:
            made.insert(1, key.unsqueeze(1).expand(-1, count, -1, -1))
        return made[0], made[1], made[2]

    def _projected(self, x: Any, w: FloatArray, b: FloatArray | None) -> Any:
        bias = None if b is None else self._weight(b.ravel())
        kernel = self._weight(w.reshape(w.shape[0], -1).T)
        y = self.torch.nn.functional.linear(x, kernel, bias)
        return y.unflatten(-1, w.shape[1:]).transpose(1, 2)

    def _weight(self, reals: FloatArray) -> Any:
        name = f"w{self._held}"
        self._held += 1
        held = np.ascontiguousarray(reals, np.float64)
        self.root.register_buffer(
            name, self.torch.from_numpy(held).to(self.device, self.dtype).contiguous()
        )
        return self.torch.fx.Proxy(self.graph.get_attr(name), self._tracer)
