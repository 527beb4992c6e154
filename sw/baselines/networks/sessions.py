"""Networks standing ready in ONNX Runtime, OpenVINO and torch on a CPU.

Owns ``onnx_session``, ``openvino_session`` and ``torch_session``. Imports the models' writers; each
runtime where it is used. Inputs and outputs lie in fixed buffers, so that a step is the runtime's
own work: no tensor is copied or made anew where the runtime allows it. Frames are taken in turn,
outside a step. Without ``quantizers`` it is the float network, which is what a user who deploys
float runs; with them, float numbers on the steps of the design's fixed-point ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.networks import onnx_model, torch_model
from gateformer.baselines.runtime import Session
from gateformer.baselines.work import NetworkWork, joined
from gateformer.quant.graph import Graph
from gateformer.quant.types import FloatArray

Opening = Callable[[NetworkWork, int], Session]
Single = NDArray[np.float32]


Form = Literal["float", "quantizers", "int8"]
"""Of a network: the float one, with quantizers, or with them and with integers for weights."""


def onnx_session(form: Form = "float") -> Opening:
    """Return the opening of ONNX Runtime."""
    return lambda work, threads: _OnnxRuntime(work, threads, form)


def openvino_session(hint: str, form: Form = "float") -> Opening:
    """Return the opening of OpenVINO with a hint of precision such as ``f32`` or ``bf16``."""
    return lambda work, threads: _OpenVino(work, threads, hint, form)


def torch_session(dtype: str, form: Form = "float", *, compiled: bool = False) -> Opening:
    """Return the opening of a torch module in a type such as ``float32``."""
    return lambda work, threads: _Torch(work, threads, dtype, form, compiled)


def graph_of(work: NetworkWork, form: Form) -> tuple[Graph, dict[str, str]]:
    """Return a network, and what a record says of its quantizers."""
    said = "left out" if form == "float" else "the model's own"
    return work.network(form != "float"), {"activation quantizers": said}


def flat(outputs: list[FloatArray]) -> NDArray[np.float64]:
    """Return outputs as they are compared: (batch, numbers)."""
    return joined([np.asarray(one, np.float64) for one in outputs])


def singles(work: NetworkWork) -> list[list[Single]]:
    """Return each batch's inputs in the graph's order: float32, (batch, *shape) each."""
    frames = work.frames()
    whole = [np.ascontiguousarray(frames[name], np.float32) for name in work.network().inputs]
    starts = range(0, len(whole[0]), work.batch)
    return [[one[start : start + work.batch].copy() for one in whole] for start in starts]


DISABLED = ("QDQPropagationTransformer", "WeightBiasQuantization")
"""Optimizers of ONNX Runtime 1.32 that are left out: the first gives int8 and uint8 quantizers one
zero point, which ends the session; the second rounds float weights beside quantizers to int8."""


class _OnnxRuntime:
    """Inputs and outputs bound once."""

    def __init__(self, work: NetworkWork, threads: int, form: Form) -> None:
        import onnxruntime

        (graph, said), self.held = graph_of(work, form), singles(work)
        self.batches = len(self.held)
        made = onnx_model.model(graph, work.batch, integers=form == "int8")
        self.version = onnxruntime.__version__
        self.options: Mapping[str, str] = said | {"without": ", ".join(DISABLED)}
        self.bytes = onnx_model.weight_bytes(made)
        wanted = onnxruntime.SessionOptions()
        wanted.intra_op_num_threads = threads
        wanted.inter_op_num_threads = 1
        wanted.log_severity_level = 3
        self.run = onnxruntime.InferenceSession(
            made.SerializeToString(),
            wanted,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(DISABLED),
        )
        self.binding = self.run.io_binding()
        value = onnxruntime.OrtValue.ortvalue_from_numpy
        self.inputs = [value(one.copy()) for one in self.held[0]]
        self.made = [
            value(np.zeros((work.batch, *graph.values[name].shape), np.float32))
            for name in graph.outputs
        ]
        for place, one in enumerate(self.inputs):
            self.binding.bind_ortvalue_input(f"x{place}", one)
        for place, one in enumerate(self.made):
            self.binding.bind_ortvalue_output(f"y{place}", one)

    def turn(self, place: int) -> None:
        """Take a batch."""
        for one, frames in zip(self.inputs, self.held[place], strict=True):
            one.update_inplace(frames)

    def step(self) -> None:
        """Run the batch."""
        self.run.run_with_iobinding(self.binding)

    def outputs(self) -> NDArray[np.float64]:
        """Return what it gave."""
        return flat([one.numpy() for one in self.made])

    def close(self) -> None:
        """Free the session."""
        del self.binding, self.run


class _OpenVino:
    """A request with its tensors in place."""

    def __init__(self, work: NetworkWork, threads: int, hint: str, form: Form) -> None:
        import openvino

        graph, said = graph_of(work, form)
        made = onnx_model.model(graph, work.batch, integers=form == "int8")
        self.version = openvino.__version__.split("-")[0]
        self.options: Mapping[str, str] = said | {"hint": f"latency, {hint}"}
        self.bytes = onnx_model.weight_bytes(made)
        core = openvino.Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": hint,
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
            "ENABLE_CPU_PINNING": "NO",
        }
        whole = core.compile_model(core.read_model(made.SerializeToString()), "CPU", settings)
        self.request = whole.create_infer_request()
        self.held = singles(work)
        self.batches = len(self.held)
        self.inputs = [one.copy() for one in self.held[0]]
        for place, one in enumerate(self.inputs):
            tensor = openvino.Tensor(one, shared_memory=True)
            self.request.set_input_tensor(place, tensor)
        self.count = len(whole.outputs)

    def turn(self, place: int) -> None:
        """Take a batch."""
        for one, frames in zip(self.inputs, self.held[place], strict=True):
            np.copyto(one, frames)

    def step(self) -> None:
        """Run the batch."""
        self.request.infer()

    def outputs(self) -> NDArray[np.float64]:
        """Return what it gave."""
        return flat([self.request.get_output_tensor(place).data for place in range(self.count)])

    def close(self) -> None:
        """Free the request."""
        del self.request


class _Torch:
    """A module and its inputs."""

    def __init__(
        self, work: NetworkWork, threads: int, dtype: str, form: Form, compiled: bool
    ) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        self.version = torch.__version__
        graph, said = graph_of(work, form)
        self.options: Mapping[str, str] = said
        self.run = torch_model.module(graph, "cpu", dtype)
        self.bytes = torch_model.weight_bytes(self.run)
        kind = getattr(torch, dtype)
        # Cloned: torch's own memory lies as its compiler wants it.
        self.held = [
            [torch.from_numpy(one).to(kind).clone() for one in batch] for batch in singles(work)
        ]
        self.batches = len(self.held)
        self.inputs = self.held[0]
        if compiled:
            import torch._inductor.config as inductor

            # Weights are constants of inference: the compiler may pack them as it likes. Its calls
            # in C++ take two thirds of the time of those in Python.
            inductor.freezing = inductor.cpp_wrapper = True
            self.options = said | {"compiler": "inductor, weights frozen, calls in C++"}
            self.run = torch.compile(self.run, fullgraph=True, dynamic=False)

    def turn(self, place: int) -> None:
        """Take a batch."""
        self.inputs = self.held[place]

    def step(self) -> None:
        """Run the batch."""
        with self.torch.inference_mode():
            self.made = self.run(*self.inputs)

    def outputs(self) -> NDArray[np.float64]:
        """Return what it gave."""
        return flat([one.to(self.torch.float64).numpy() for one in self.made])

    def close(self) -> None:
        """Let go of the module."""
        del self.run, self.made
