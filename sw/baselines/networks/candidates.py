"""The runtimes in which a network is timed on a CPU.

Owns ``CANDIDATES``. Imports the sessions; each imports its runtime when it is opened.

All of them compute the folded graph with its own weights and quantizers; the last one computes the
lowered graph's integers, the hardware's own precision, and has to be equal to the last bit. A
tolerance is the largest difference of an output, of the largest output. Without quantizers float32
agrees to 1e-6; a value at a quantizer's threshold may fall one step away and move its frame's
outputs by some hundredths (seen in none of 4,000 frames of the projects' own data, in one of 64
frames of noise). In bfloat16 values fall so in every second frame: by 0.2 at most in those 4,000,
where 98 in a hundred classes stayed the same.
"""

from __future__ import annotations

from gateformer.baselines.networks.c_build import c_session, integer_session
from gateformer.baselines.networks.sessions import (
    Opening,
    onnx_session,
    openvino_session,
    torch_session,
)
from gateformer.baselines.record import Tier
from gateformer.baselines.runtime import Candidate

STEP, HALF = 0.15, 0.4
"""Tolerances of float32 and of exact integers between float32, and of bfloat16."""


def _candidate(
    runtime: str, precision: str, tier: Tier, packages: tuple[str, ...], opened: Opening
) -> Candidate:
    tolerance = HALF if precision == "bf16" else STEP
    return Candidate(runtime, precision, tier, packages, "baselines", opened, tolerance)


_ORT, _OPENVINO = ("onnx", "onnxruntime"), ("onnx", "openvino")
CANDIDATES: tuple[Candidate, ...] = (
    _candidate("torch", "fp32", "eager", ("torch",), torch_session("float32")),
    _candidate(
        "torch-compile", "fp32", "compiled", ("torch",), torch_session("float32", compiled=True)
    ),
    _candidate("onnxruntime", "fp32", "tuned", _ORT, onnx_session()),
    _candidate("onnxruntime", "int8", "tuned", _ORT, onnx_session("int8")),
    _candidate("openvino", "fp32", "tuned", _OPENVINO, openvino_session("f32")),
    _candidate("openvino", "bf16", "tuned", _OPENVINO, openvino_session("bf16")),
    _candidate("openvino", "int8", "tuned", _OPENVINO, openvino_session("f32", "int8")),
    _candidate("plain-c", "fp32", "native", (), c_session()),
    Candidate("plain-c", "integers", "native", (), "baselines", integer_session(), 0.0, exact=True),
)
"""Eager first: what people run unless told otherwise."""
