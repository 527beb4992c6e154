"""The runtimes in which a decoder's step is timed on a CPU.

Owns ``CANDIDATES``. Imports the sessions; each imports its runtime when it is opened.

A tolerance is the largest difference of a logit, of the largest logit. Logits that have nothing to
do with the reference's differ by 1.2 to 1.5 of it. Formats of 8 and 4 bits are held to a decoder of
the weights that they store, so that activations alone are rounded, to 8 bits: that explained 0.036
at most on the shapes that were tried, 16-bit floats 0.019.
"""

from __future__ import annotations

from gateformer.baselines.decoders import (
    llama_cpp,
    onnx_session,
    openvino_session,
    torch_session,
)
from gateformer.baselines.decoders.rounding import ROUNDINGS
from gateformer.baselines.runtime import Candidate

EXACT, HALF, INTEGER = 1e-3, 0.05, 0.08
"""Tolerances of float32, of 16-bit floats, and of weights of 8 and 4 bits."""


def _rounded(form: str, precision: str) -> str:
    """Return the name of the weights that a precision of few bits leaves; floats stay float32's."""
    name = f"{form} {precision}"
    return name if name in ROUNDINGS else ""


def _torch(precision: str, dtype: str, tolerance: float, *, compiled: bool) -> Candidate:
    return Candidate(
        runtime="torch-compile" if compiled else "torch",
        precision=precision,
        tier="compiled" if compiled else "eager",
        packages=("torch",),
        extra="baselines",
        open=torch_session.session(dtype, compiled=compiled),
        tolerance=tolerance,
    )


def _onnx(precision: str, tolerance: float) -> Candidate:
    return Candidate(
        runtime="onnxruntime",
        precision=precision,
        tier="tuned",
        packages=("onnx", "onnxruntime"),
        extra="baselines",
        open=onnx_session.session(precision),
        tolerance=tolerance,
        weights=_rounded("onnx", precision),
    )


def _openvino(precision: str, tolerance: float) -> Candidate:
    return Candidate(
        runtime="openvino",
        precision=precision,
        tier="tuned",
        packages=("openvino",),
        extra="baselines",
        open=openvino_session.session(precision),
        tolerance=tolerance,
        weights=_rounded("openvino", precision),
    )


def _llama(precision: str, tolerance: float) -> Candidate:
    return Candidate(
        runtime="llama.cpp",
        precision=precision,
        tier="tuned",
        packages=("llama_cpp", "gguf"),
        extra="llama",
        open=llama_cpp.session(precision),
        tolerance=tolerance,
        weights=_rounded("gguf", precision),
    )


CANDIDATES: tuple[Candidate, ...] = (
    _torch("fp32", "float32", EXACT, compiled=False),
    _torch("bf16", "bfloat16", HALF, compiled=False),
    _torch("fp32", "float32", EXACT, compiled=True),
    _torch("bf16", "bfloat16", HALF, compiled=True),
    _onnx("fp32", EXACT),
    _onnx("int8", INTEGER),
    _onnx("int4", INTEGER),
    _openvino("fp32", EXACT),
    _openvino("bf16", HALF),
    _openvino("int8", INTEGER),
    _openvino("int4", INTEGER),
    _llama("f16", HALF),
    _llama("bf16", HALF),
    _llama("q8_0", INTEGER),
    _llama("q4_0", INTEGER),
)
"""Eager first: what people run unless told otherwise."""
