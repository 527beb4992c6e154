"""Why a key of hls4ml's configuration has no counterpart: one row a key, as data.

Owns ``WHY`` and ``why``. Imports nothing of gateformer. The keys are those that hls4ml 1.3 reads:
``HLSConfig``, the backends' ``create_initial_config``, the layers' configurable attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal

Scope = Literal["file", "HLSConfig", "Model", "layer", "precision"]

WRITER = "says how hls4ml writes its own project"
READ = "is read from the model's file"
CATAPULT = "is Catapult's, for which nothing is generated here"
LIBERO = "is Libero's, for which nothing is generated here"
SYMBOLIC = "is of the backend for symbolic expressions, which are not read here"
TORCH = "is for PyTorch models"
KERAS = "chooses among Keras parsers of hls4ml; files are read as data here"
RECURRENT = "is of recurrent layers, which are not read here"
CONVOLUTION = "is of convolutions, which are not read here"
FLOW = "names hls4ml's optimizer passes; the steps here are fixed, and named in docs/flow.md"
STRATEGY = (
    "follows from the reuse factor: at 1 constants become adder graphs (hls4ml's "
    "distributed_arithmetic), above it multipliers with their weights in ROM (its Resource)"
)
TABLE = (
    "follows from the types: a table has one entry for each value of its index (a wide one is "
    "split in two); the index of a softmax's exp is types.<layer>/distance"
)
COMPRESSION = "needs no switch: a weight of zero costs nothing"
LATENCY = "follows from the reuse factors and is exact: gateformer estimate says it"
TRACE = "needs no switch: a mismatch names the first layer, index and both integers"
ACCUMULATOR = "is exact: a sum has the bits that its proven range needs"

SOFTMAX = "is fixed: a softmax weight has 17 bits, its reciprocal 16"
RECURRENT_TYPES = tuple(
    f"{part}{kind}"
    for part in ("", "forward_", "backward_")
    for kind in ("recurrent_weight", "recurrent_bias", "weight", "bias")
    if part or kind.startswith("recurrent")
)
CONVOLUTION_TYPES = (
    *("depthwise", "depthwise_accum", "depthwise_result"),
    *("pointwise", "pointwise_accum", "dw_output"),
)
MODELS = ("KerasModel", "KerasH5", "KerasJson", "OnnxModel", "PytorchModel", "TensorFlowModel")
"""Keys that name the model, in the order in which they are looked at."""

WHY: Mapping[Scope, Mapping[str, str]] = MappingProxyType(
    {
        "file": {
            "OutputDir": "is --out, of each command",
            "OutputPredictions": "is computed: the model's integers are what must come out",
            "ClockUncertainty": (
                "is a margin for the compiler's guess of wires; schedule.logic_ns bounds the logic "
                "alone, and 70 % of the period is the default here"
            ),
            "Version": "is a label of the project",
            "Stamp": "is hls4ml's own number of the compiled library",
            "InputShape": READ,
            "InputShapes": READ,
            "OutputShapes": READ,
            "TraceOutput": TRACE,
            "WriterConfig": WRITER,
            "ProjectDir": WRITER,
            "MaximumSize": WRITER,
            "DontCopyNNET": WRITER,
            "Board": "is of hls4ml's board wrappers; set schedule.device",
            "AcceleratorConfig": "is of hls4ml's board wrappers; the top here is AXI4-Stream",
            "HyperoptHandshake": "is an option of the oneAPI compiler; nothing inside stalls here",
            "Technology": CATAPULT,
            "ASICLibs": CATAPULT,
            "FIFO": CATAPULT,
            "FPGAFamily": LIBERO,
            "SmartHLSPath": LIBERO,
            "Compiler": SYMBOLIC,
            "HLSIncludePath": SYMBOLIC,
            "HLSLibsPath": SYMBOLIC,
            "OriginalProjectName": "is of graphs that hls4ml stitches together",
            "StitchedProjectName": "is of graphs that hls4ml stitches together",
        },
        "HLSConfig": {
            "Flows": FLOW,
            "Optimizers": FLOW,
            "SkipOptimizers": FLOW,
            "InputShape": READ,
            "PytorchModel": TORCH,
        },
        "Model": {
            "Strategy": STRATEGY,
            "BramFactor": "sets what goes to external memory; all weights stay on the chip here",
            "TraceOutput": TRACE,
            "BitExact": "is always so: every value's integers equal the model's",
            "Compression": COMPRESSION,
            "ConvImplementation": CONVOLUTION,
            "PipelineStyle": "is fixed: a static pipeline, one stage a step of the model",
            "PipelineInterval": (
                "follows from schedule.token_parallelism and the reuse factors: gateformer "
                "estimate says it"
            ),
            "TargetCycles": LATENCY,
            "AllowDAFallback": KERAS,
            "AllowV2Fallback": KERAS,
            "ChannelsLastConversion": TORCH,
            "TransposeOutputs": TORCH,
            "InputShape": READ,
        },
        "layer": {
            "Strategy": STRATEGY,
            "Trace": TRACE,
            "TableSize": TABLE,
            "TableRangePower2": TABLE,
            "ExpRange": TABLE,
            "Implementation": (
                "is quantize.softmax for all layers; its default subtracts the row's largest score "
                "(stable) unless the scores are bounded, where that changes nothing"
            ),
            "Skip": "leaves a softmax out; cut the layer from the model instead",
            "Compression": COMPRESSION,
            "TargetCycles": LATENCY,
            "ConvImplementation": CONVOLUTION,
            "ParallelizationFactor": CONVOLUTION,
            "DepthwiseReuseFactor": CONVOLUTION,
            "PointwiseReuseFactor": CONVOLUTION,
            "Algorithm": CONVOLUTION,
            "Static": RECURRENT,
            "Direction": RECURRENT,
            "TimeStepLoopParallelism": RECURRENT,
            "RecurrentReuseFactor": RECURRENT,
            "ForwardReuseFactor": RECURRENT,
            "ForwardRecurrentReuseFactor": RECURRENT,
            "BackwardReuseFactor": RECURRENT,
            "BackwardRecurrentReuseFactor": RECURRENT,
        },
        "precision": {
            "maximum": "bounds hls4ml's own inference of types; nothing is inferred beyond need",
            "accum": ACCUMULATOR,
            "table": TABLE,
            "exp_table": SOFTMAX,
            "inv_table": SOFTMAX,
            "inv_inp": ACCUMULATOR,
            "param": "is part of the activation's table",
            "slope": "is part of the activation's table",
            "shift": "is part of the activation's table",
            **dict.fromkeys(RECURRENT_TYPES, RECURRENT),
            **dict.fromkeys(CONVOLUTION_TYPES, CONVOLUTION),
        },
    }
)
"""Scope and key to a predicate: the sentence that it makes with the key before it."""

MAPPED: Mapping[Scope, frozenset[str]] = MappingProxyType(
    {
        "file": frozenset(
            {
                *("Backend", "ProjectName", "Part", "XilinxPart", "ClockPeriod", "IOType"),
                *("InputData", "HLSConfig", *MODELS),
            }
        ),
        "HLSConfig": frozenset({"Model", "LayerType", "LayerName"}),
        "Model": frozenset({"Precision", "ReuseFactor"}),
        "layer": frozenset({"Precision", "ReuseFactor"}),
        "precision": frozenset({"default", "result", "weight", "bias", "scale", "embeddings"}),
    }
)
"""Keys that have a counterpart."""


def why(scope: Scope, key: str) -> str:
    """Return why a key has no counterpart; an unknown one is told apart, with the nearest."""
    known = {**WHY["layer"], **WHY[scope]} if scope == "Model" else WHY[scope]
    if key in known:
        return known[key]
    near = get_close_matches(key, [*known, *MAPPED[scope]], 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"is no key that hls4ml 1.3 reads here{hint}"
