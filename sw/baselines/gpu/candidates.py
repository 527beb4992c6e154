"""The ways to run networks and decoders on a GPU that are measured.

Owns ``NETWORKS`` and ``DECODERS``. Imports how modules run, and the modules where they are opened.

Networks are the float ones, without activation quantizers. Left out: int8 for networks, whose
matrices are narrower than what a GPU multiplies in eight bits, and of which launching kernels is
nearly all the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gateformer.baselines.gpu.running import Device, How, compiled
from gateformer.baselines.gpu.session import GpuSession
from gateformer.baselines.networks.candidates import AGREEMENTS
from gateformer.baselines.record import Tier
from gateformer.baselines.runtime import Candidate
from gateformer.baselines.work import DecoderWork, NetworkWork
from gateformer.quant.decoder import Decoder

DTYPES: Mapping[str, str] = {
    "fp32": "float32",
    "tf32": "float32",
    "bf16": "bfloat16",
    "int8": "bfloat16",
    "w8a8": "bfloat16",
}
"""Torch's type of what is no integer."""
NETWORK_TOLERANCES: Mapping[str, float] = {
    precision: AGREEMENTS[precision].limit for precision in ("fp32", "tf32", "bf16")
}
TOLERANCES: Mapping[str, float] = {
    "fp32": 1e-4,
    "tf32": 0.02,
    "bf16": 0.05,
    "int8": 0.06,
    "w8a8": 0.1,
}
"""Of a decoder's largest logit. fp32: sums in another order. TF32 keeps 10 bits of a factor,
bfloat16 7 of everything: errors of 2^-11 and 2^-8 grow over some dozen layers. int8: weights to a
254th of their row's range, on top of bfloat16; w8a8: activations too."""
TIERS: Mapping[How, Tier] = {"eager": "eager", "graphs": "compiled", "compile": "compiled"}


def open_network(
    work: NetworkWork,
    threads: int,
    *,
    how: How,
    precision: str,
    transfer: bool,
    device: Device | None = None,
) -> GpuSession:
    """Return a network's session.

    Raises
    ------
    BaselineError
        E853 where there is no GPU.
    """
    import torch

    from gateformer.baselines.networks.sessions import graph_of, singles
    from gateformer.baselines.networks.torch_model import module, weight_bytes

    device = device or Device("cuda")
    device.need()
    torch.set_num_threads(threads)
    (graph, said), dtype = graph_of(work, "float"), DTYPES[precision]
    kind = getattr(torch, dtype)
    batches = [
        tuple(torch.from_numpy(one).to(kind).clone() for one in batch) for batch in singles(work)
    ]
    net = module(graph, device.name, dtype)
    weights = weight_bytes(net)
    options = said | {"tensors": dtype}
    if how == "compile":
        net = compiled(net)
        options["compiler"] = "inductor, captured as one graph"

    def run(*given: Any) -> tuple[Any, Any]:
        found = [one.reshape(len(one), -1) for one in net(*given)]
        joined = found[0] if len(found) == 1 else torch.cat(found, dim=1)
        return joined, joined

    return GpuSession(
        run,
        batches[0],
        device,
        how,
        transfer=transfer,
        bytes=weights,
        options=options,
        matmul="high" if precision == "tf32" else "highest",
        others=batches[1:],
    )


def open_decoder(
    work: DecoderWork,
    threads: int,
    *,
    how: How,
    precision: str,
    transfer: bool,
    device: Device | None = None,
) -> GpuSession:
    """Return a decoder's session; with transfer, tokens go there and the likeliest ones come back.

    Raises
    ------
    BaselineError
        E853 where there is no GPU.
    """
    import torch

    from gateformer.baselines.decoders.sizes import Storage, plain, step_bytes
    from gateformer.baselines.decoders.torch_model import module
    from gateformer.baselines.gpu.int8 import both, quantized, weight_only

    device = device or Device("cuda")
    device.need()
    torch.set_num_threads(threads)
    dtype = DTYPES[precision]
    net = module(work, device.name, dtype)
    storage, options = plain(4 if dtype == "float32" else 2), {"cache": f"{dtype}, in place"}
    scales = 0
    if precision in ("int8", "w8a8"):
        net = quantized(net, weight_only if precision == "int8" else both)
        storage = Storage(block=1, bytes=1, vectors=2, table=2, cached=2)
        options["weights"] = "int8, a scale a row"
        scales = 4 * _rows(work.decoder)
    if how == "compile":
        net = compiled(net)
        options["compiler"] = "inductor, block by block, captured as one graph"

    def run(tokens: Any) -> tuple[Any, Any]:
        logits = net(tokens)
        return logits, logits.argmax(dim=-1) if transfer else logits[:, :1]

    return GpuSession(
        run,
        (torch.from_numpy(work.tokens()),),
        device,
        how,
        transfer=transfer,
        bytes=step_bytes(work, storage) + scales,
        options=options,
        matmul="high" if precision == "tf32" else "highest",
    )


def _rows(shape: Decoder) -> int:
    """Return the rows of all matrices."""
    return shape.layers * sum(one.outputs for one in shape.matrices) + shape.head.outputs


def _candidate(
    opened: Callable[..., GpuSession],
    tolerances: Mapping[str, float],
    how: How,
    precision: str,
    transfer: bool,
) -> Candidate:
    return Candidate(
        runtime=f"torch-{how}" + ("+host" if transfer else ""),
        precision=precision,
        tier=TIERS[how],
        packages=("torch",),
        extra="baselines",
        open=partial(opened, how=how, precision=precision, transfer=transfer),
        tolerance=tolerances[precision],
        device="cuda",
        transfer=transfer,
        agreement=AGREEMENTS[precision] if opened is open_network else None,
    )


NETWORKS: tuple[Candidate, ...] = tuple(
    _candidate(open_network, NETWORK_TOLERANCES, how, precision, transfer)
    for how in ("eager", "graphs", "compile")
    for precision in ("fp32", "tf32", "bf16")
    for transfer in (False, True)
)
_WAYS: tuple[tuple[How, str, bool], ...] = (
    ("eager", "fp32", False),
    ("eager", "bf16", False),
    ("graphs", "fp32", False),
    ("graphs", "tf32", False),
    ("graphs", "bf16", False),
    ("graphs", "w8a8", False),
    ("compile", "fp32", False),
    ("compile", "bf16", False),
    ("compile", "bf16", True),
    ("compile", "int8", False),
    ("compile", "w8a8", False),
)
DECODERS: tuple[Candidate, ...] = tuple(_candidate(open_decoder, TOLERANCES, *way) for way in _WAYS)
"""``+host``: with the transfer of inputs and answers."""
