"""A GPU's launches: as many as the torch module has operations that compute."""

from typing import Any

import numpy as np
import pytest
from unit.network_graphs import made, project, samples

from gateformer.baselines.launching import kernels, launching
from gateformer.baselines.machines import launches
from gateformer.baselines.networks import torch_model
from gateformer.baselines.networks.quantizers import floating
from gateformer.quant.expand import Linear, Quantize
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.types import Fixed

VIEWS = {
    "view", "_unsafe_view", "t", "transpose", "unsqueeze", "expand", "permute", "slice", "select",
    "alias", "as_strided", "detach", "narrow", "squeeze", "split",
}  # fmt: skip


def graph_of(*ops: Any) -> Graph:
    builder = Builder("few")
    x = builder.input("x", (3, 2))
    for op in ops:
        x = builder.add(op, x, name="y", layer="y")
    builder.output(x)
    return builder.build()


def test_views_and_quantizers_launch_nothing() -> None:
    dense = Linear(np.ones((2, 2)), None, (2,))
    quantizer = Quantize(Fixed(True, 8, 4))
    graph = graph_of(dense, quantizer, Reshape((6,)))
    assert kernels(graph) == kernels(graph_of(dense)) == 1
    found, one = launching(graph, "eager"), launches("eager")
    assert found.value == pytest.approx(one.us * 1e-6)
    assert found.low is not None and found.high is not None
    assert found.low <= found.value <= found.high


def test_a_high_end_has_attention_in_pieces() -> None:
    graph = made("folded")
    assert kernels(graph) < kernels(graph, fused=False)
    found, one = launching(graph, "eager"), launches("eager")
    assert found.high == pytest.approx(kernels(graph, fused=False) * one.high * 1e-6)


@pytest.mark.baselines
@pytest.mark.parametrize("name", ["btag", "digits", "folded", "layer_norm", "gelu", "two_outputs"])
def test_the_torch_module_launches_as_many(name: str) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: list[str] = []

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            seen.append(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    graph = project(name) if name in ("btag", "digits") else made(name)
    held = samples(graph, 2)
    module = torch_model.module(floating(graph))
    given = [torch.tensor(held[one], dtype=torch.float32) for one in graph.inputs]
    with torch.inference_mode(), Seen():
        module(*given)
    launched = [one for one in seen if one not in VIEWS]
    fewest, most = kernels(graph), kernels(graph, fused=False)
    assert fewest <= len(launched) <= most, launched
