"""The runtimes in which a network is timed on a CPU.

Owns ``CANDIDATES``. Imports the sessions; each imports its runtime when it is opened.

``fp32`` and ``bf16`` are the float network: the folded graph with its own weights and without its
activation quantizers, which nobody runs who deploys in float. They are held to that same graph in
float64. ``fp32-quantized`` is what emulating the design's fixed point in float takes, in the
framework and in the runtime that such models are trained and checked in; ``int8`` has the
quantizers for its integers' scales. Both are held to the graph with quantizers. ``integers`` are
the lowered graph's, the hardware's own precision, and have to be equal to the last bit.
"""

from __future__ import annotations

from gateformer.baselines.agreement import Agreement
from gateformer.baselines.networks.c_build import c_session, integer_session
from gateformer.baselines.networks.sessions import (
    Opening,
    onnx_session,
    openvino_session,
    torch_session,
)
from gateformer.baselines.record import Tier
from gateformer.baselines.runtime import Candidate

FLOAT = Agreement(typical=1e-5, limit=1e-4, beyond=0.01, same=0.99, unexplained=1e-3)
"""Seen on the projects' frames: 2e-5 at most, and no frame beyond 1e-4."""
STEPS = Agreement(typical=1e-5, limit=1e-4, beyond=0.05, same=0.99, unexplained=0.01)
"""A value at a quantizer's threshold may fall one step away. Seen: 2e-7 at most on the projects'
frames; one frame of 64 falls so on noise."""
HALF = Agreement(typical=0.01, limit=0.05, beyond=0.05, same=0.95, unexplained=0.05)
"""Bfloat16 keeps 8 bits of a number. Seen on btag: 1.9 % of the frames beyond 0.05, the same class
in 99.8 %; on digits 0.2 % and all. Up to 0.012 of what varies is off, on noise."""
AGREEMENTS = {"fp32": FLOAT, "fp32-quantized": STEPS, "int8": STEPS, "bf16": HALF, "tf32": HALF}


def _candidate(
    runtime: str, precision: str, tier: Tier, packages: tuple[str, ...], opened: Opening
) -> Candidate:
    agreement = AGREEMENTS[precision]
    return Candidate(
        runtime,
        precision,
        tier,
        packages,
        "baselines",
        opened,
        agreement.limit,
        quantizers=precision in ("fp32-quantized", "int8"),
        agreement=agreement,
    )


_TORCH, _ORT, _OPENVINO = ("torch",), ("onnx", "onnxruntime"), ("onnx", "openvino")
CANDIDATES: tuple[Candidate, ...] = (
    _candidate("torch", "fp32", "eager", _TORCH, torch_session("float32")),
    _candidate("torch", "fp32-quantized", "eager", _TORCH, torch_session("float32", "quantizers")),
    _candidate(
        "torch-compile", "fp32", "compiled", _TORCH, torch_session("float32", compiled=True)
    ),
    _candidate("onnxruntime", "fp32", "tuned", _ORT, onnx_session()),
    _candidate("onnxruntime", "fp32-quantized", "tuned", _ORT, onnx_session("quantizers")),
    _candidate("onnxruntime", "int8", "tuned", _ORT, onnx_session("int8")),
    _candidate("openvino", "fp32", "tuned", _OPENVINO, openvino_session("f32")),
    _candidate("openvino", "bf16", "tuned", _OPENVINO, openvino_session("bf16")),
    _candidate("openvino", "int8", "tuned", _OPENVINO, openvino_session("f32", "int8")),
    _candidate("plain-c", "fp32", "native", (), c_session()),
    Candidate("plain-c", "integers", "native", (), "baselines", integer_session(), 0.0, exact=True),
)
"""Eager first: what people run unless told otherwise."""
