"""A trained network as a QONNX file, whole or not at all.

Owns ``export`` and ``outputs``. Imports torch, Brevitas and onnx on demand.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.train.brevitas.packages import load, torch
from gateformer.quant.train.brevitas.quantizers import bounded, plain

OPSET = 17
"""The first in which LayerNormalization is one node."""

BATCH = 512
"""Samples that go through at once."""


def export(network: Any, shape: tuple[int, int], path: Path) -> None:
    """Write a torch network on [n, tokens, features] to `path` as QONNX.

    Quantizers become ``Quant`` nodes of ``qonnx.custom_op.general``, shares on powers of sqrt(2)
    ``gateformer::LogQuant``, all else standard nodes of opset 17. The batch stays open; the file
    has no time stamp and no path.
    """
    network.eval()
    temporary = path.with_name(f".{path.name}.part")
    opsets = (
        {"gateformer": 1} if any(getattr(m, "log_bits", None) for m in network.modules()) else {}
    )
    try:
        with warnings.catch_warnings(), rounded_weights(network, shape):
            # torch says that the exporter by tracing is old; it alone names nodes by their modules.
            warnings.simplefilter("ignore")
            load("brevitas.export").export_qonnx(
                network,
                args=(torch().zeros(1, *shape),),
                export_path=str(temporary),
                dynamo=False,
                opset_version=OPSET,
                input_names=["x"],
                output_names=["logits"],
                dynamic_axes={"x": {0: "n"}, "logits": {0: "n"}},
                custom_opsets=opsets,
            )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def rounded_weights(network: Any, shape: tuple[int, int]) -> Iterator[None]:
    """Put A2Q's quantized weights in the place of the trained ones for a while.

    Brevitas exports their quantizers, which normalize and round to zero, as plain ones that round
    to the nearest. Where the weights are on the grid already, that changes none. (Others read
    their scale from the weights, which must stay as they are.)
    """
    dense = load("brevitas.nn").QuantLinear
    layers = [m for m in network.modules() if isinstance(m, dense) and bounded(m)]
    kept = [layer.weight.data for layer in layers]
    seen: dict[int, Any] = {}
    hooks = [
        # A2Q's bound depends on what goes into the layer, so its weights exist in a call only.
        layer.weight_quant.register_forward_hook(
            lambda _module, _inputs, found, i=i: seen.update({i: plain(found).detach().clone()})
        )
        for i, layer in enumerate(layers)
    ]
    outputs(network, np.zeros((1, *shape)))
    for hook in hooks:
        hook.remove()
    try:
        for i, layer in enumerate(layers):
            layer.weight.data = seen[i]
        yield
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.weight.data = weight


def outputs(network: Any, x: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the network's own outputs for samples [n, tokens, features], as float32."""
    network.eval()
    parts = []
    with torch().no_grad():
        for start in range(0, len(x), BATCH):
            batch = torch().from_numpy(np.asarray(x[start : start + BATCH], np.float32))
            parts.append(plain(network(batch)).numpy())
    return np.concatenate(parts)
