"""The runtimes in which a decoder's step is timed on a CPU.

Owns ``CANDIDATES``. Imports the sessions; each imports its runtime when it is opened.

A tolerance is the largest difference of a logit, of the largest logit. Logits that have nothing to
do with the reference's differ by 1.2 to 1.5 of it. Four-bit weights of random numbers, which no
training has made robust, change logits by 0.13 to 0.71, the more so the smaller the decoder; all
other precisions stay within half of their tolerance on the shapes that were tried.
"""

from __future__ import annotations

from gateformer.baselines.decoders import (
    llama_cpp,
    onnx_session,
    openvino_session,
    torch_session,
)
from gateformer.baselines.runtime import Candidate

EXACT, HALF, BYTE, NIBBLE = 1e-3, 0.05, 0.15, 0.9
"""Tolerances of float32, of 16-bit floats, of 8-bit and of 4-bit weights."""


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
    )


CANDIDATES: tuple[Candidate, ...] = (
    _torch("fp32", "float32", EXACT, compiled=False),
    _torch("bf16", "bfloat16", HALF, compiled=False),
    _torch("fp32", "float32", EXACT, compiled=True),
    _torch("bf16", "bfloat16", HALF, compiled=True),
    _onnx("fp32", EXACT),
    _onnx("int8", BYTE),
    _onnx("int4", NIBBLE),
    _openvino("fp32", EXACT),
    _openvino("bf16", HALF),
    _openvino("int8", BYTE),
    _openvino("int4", NIBBLE),
    _llama("f16", HALF),
    _llama("bf16", HALF),
    _llama("q8_0", BYTE),
    _llama("q4_0", NIBBLE),
)
"""Eager first: what people run unless told otherwise."""
