"""Make the ONNX files of each exporter beside this script, with inputs and the outputs due.

    python make.py [folder]

Needs torch, brevitas, qonnx, onnx and onnxruntime. ``x`` and ``y`` of ``<name>.npz`` are what the
framework gives one sample at a time, ``runtime`` is what onnxruntime, or qonnx, makes of the file.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import brevitas.nn as qnn
import numpy as np
import onnx
import onnxruntime
import torch
from brevitas.export import export_qonnx
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFixedPoint,
    ShiftedUint8ActPerTensorFloat,
)
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model
from torch import nn

SAMPLES = 24
WIDTH = 8


class Mlp(nn.Module):
    """Scales a channel, a zero point, one signed bit and powers of two."""

    def __init__(self) -> None:
        super().__init__()
        self.start = qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=6)
        wide = {"weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": 5}
        self.fc1 = qnn.QuantLinear(6, 12, True, **wide)
        self.act1 = qnn.QuantReLU(bit_width=5)
        plain = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
        self.fc2 = qnn.QuantLinear(12, WIDTH, False, **plain)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.act2 = qnn.QuantIdentity(act_quant=Int8ActPerTensorFixedPoint, bit_width=6)
        self.fc3 = qnn.QuantLinear(WIDTH, 3, True, **wide)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act1(self.fc1(self.start(x)))
        return self.fc3(self.act2(self.norm(self.fc2(x))))


class Encoder(nn.Module):
    """One block around Brevitas' attention."""

    def __init__(self, packed: bool) -> None:
        super().__init__()
        self.start = qnn.QuantIdentity(bit_width=8)
        self.attention = qnn.QuantMultiheadAttention(
            WIDTH, 2, packed_in_proj=packed, batch_first=True
        )
        self.sum1 = qnn.QuantIdentity(bit_width=8)
        self.norm1 = nn.LayerNorm(WIDTH)
        self.cast = qnn.QuantIdentity(bit_width=8)
        self.up = qnn.QuantLinear(WIDTH, 12, True, weight_bit_width=6)
        self.gelu = nn.GELU()
        self.hidden = qnn.QuantIdentity(bit_width=6)
        self.down = qnn.QuantLinear(12, WIDTH, True, weight_bit_width=6)
        self.sum2 = qnn.QuantIdentity(bit_width=8)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.head = qnn.QuantLinear(WIDTH, 4, True, input_quant=Int8ActPerTensorFloat)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.start(x)
        x = self.cast(self.norm1(self.sum1(x) + self.sum1(self.attention(x, x, x)[0])))
        y = self.down(self.hidden(self.gelu(self.up(x))))
        return self.head(self.norm2(self.sum2(x) + self.sum2(y)).mean(1))


class Plain(nn.Module):
    """torch's own encoder, positions and a class token before it."""

    def __init__(self, activation: str, first: bool, batch_first: bool = True) -> None:
        super().__init__()
        self.embed = nn.Linear(4, WIDTH)
        self.positions = nn.Parameter(torch.randn(1, 5, WIDTH))
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        layer = nn.TransformerEncoderLayer(
            WIDTH, 2, 12, 0.1, activation, batch_first=batch_first, norm_first=first
        )
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 3)
        self.batch_first = batch_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x) + self.positions
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        if not self.batch_first:
            x = x.transpose(0, 1)
        x = self.encoder(x)
        x = x[:, 0] if self.batch_first else x[0]
        return torch.softmax(self.head(x), -1)


class Causal(nn.Module):
    """Attention under a mask, by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.register_buffer("hidden", torch.triu(torch.ones(5, 5, dtype=torch.bool), 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.attention(x, x, x, attn_mask=self.hidden, need_weights=False)[0]


class Samples(CalibrationDataReader):
    """Inputs one by one."""

    def __init__(self, x: np.ndarray) -> None:
        self.rows = iter([{"x": row[None]} for row in x])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.rows, None)


def save(folder: Path, name: str, x: torch.Tensor, net: nn.Module) -> None:
    """Make one file of the exporter's, strip what varies with the machine, and run it."""
    path = folder / f"{name}.onnx"
    model = onnx.load(path)
    for node in model.graph.node:
        kept = [p for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    for part in (model.graph, *model.graph.value_info):
        del part.metadata_props[:]
    path.unlink()
    path.with_name(f"{path.name}.data").unlink(missing_ok=True)
    onnx.save(model, path)
    with torch.no_grad():
        y = torch.cat([net(row[None]) for row in x]).numpy()
    if any(node.domain for node in model.graph.node):
        held = cleanup_model(ModelWrapper(str(path)))
        given, out = held.graph.input[0].name, held.graph.output[0].name
        ran = [execute_onnx(held, {given: row[None]})[out] for row in x.numpy()]
    else:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(path, options)
        name_in = session.get_inputs()[0].name
        ran = [session.run(None, {name_in: row[None]})[0] for row in x.numpy()]
    np.savez_compressed(path.with_suffix(".npz"), x=x.numpy(), y=y, runtime=np.concatenate(ran))


def brevitas(folder: Path, name: str, net: nn.Module, x: torch.Tensor, dynamo: bool) -> None:
    """Settle the scales on data, then export."""
    for _ in range(20):
        net(torch.randn_like(x))
    net.eval()
    export_qonnx(net, args=x[:1], export_path=str(folder / f"{name}.onnx"), dynamo=dynamo)
    save(folder, name, x, net)


def plain(folder: Path, name: str, net: nn.Module, x: torch.Tensor, **how: object) -> None:
    """Export by one of torch's exporters."""
    net.eval()
    torch.onnx.export(net, (x[:1],), folder / f"{name}.onnx", input_names=["x"], **how)
    save(folder, name, x, net)


def qdq(folder: Path, name: str, x: torch.Tensor, per_channel: bool) -> None:
    """onnxruntime's own quantization of a float network."""
    net = Plain("relu", False)
    plain(folder, "float", net, x, dynamo=False)
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(
        folder / "float.onnx",
        folder / f"{name}.onnx",
        Samples(x.numpy()),
        quant_format=QuantFormat.QDQ,
        per_channel=per_channel,
        op_types_to_quantize=["MatMul", "Gemm", "Add"],
        **kinds,
    )
    for suffix in ("onnx", "npz"):
        (folder / f"float.{suffix}").unlink()
    save(folder, name, x, net)


def main(folder: Path) -> None:
    """Make all files."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(5)
    flat, rows, tokens = (torch.randn(SAMPLES, *s) for s in ((6,), (5, WIDTH), (5, 4)))
    steps: list[Callable[[], None]] = [
        lambda: brevitas(folder, "brevitas_mlp", Mlp(), flat, dynamo=True),
        lambda: brevitas(folder, "brevitas_mlp_script", Mlp(), flat, dynamo=False),
        lambda: brevitas(folder, "brevitas_encoder", Encoder(False), rows, dynamo=True),
        lambda: brevitas(folder, "brevitas_encoder_script", Encoder(False), rows, dynamo=False),
        lambda: brevitas(folder, "brevitas_packed_script", Encoder(True), rows, dynamo=False),
        lambda: plain(folder, "torch_encoder", Plain("relu", False), tokens, dynamo=True),
        lambda: plain(
            folder, "torch_pre_script", Plain("gelu", True), tokens, dynamo=False, opset_version=14
        ),
        lambda: plain(
            folder, "torch_second", Plain("relu", False, batch_first=False), tokens, dynamo=False
        ),
        lambda: plain(
            folder,
            "torch_causal_script",
            Causal(),
            tokens,
            dynamo=False,
            dynamic_axes={"x": {0: "n"}},
        ),
        lambda: plain(folder, "torch_causal", Causal(), tokens, dynamo=True),
        lambda: qdq(folder, "qdq_tensor", tokens, per_channel=False),
        lambda: qdq(folder, "qdq_channel", tokens, per_channel=True),
    ]
    for step in steps:
        step()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
