"""GPUs and CPUs that decode a transformer, as models: the roofline, a tuned runtime, eager.

Owns ``Machine``, ``Work``, ``Estimate`` and ``crossover``. Imports the errors alone. Nothing here
is measured; each constant carries its source, and each estimate says ``modelled``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateformer.quant.errors import ConfigError

Tier = Literal["roofline", "fused", "eager"]
TIERS: tuple[Tier, ...] = ("roofline", "fused", "eager")
"""From what physics allows to what people run first."""

MEANINGS: Mapping[Tier, str] = {
    "roofline": "every byte once at peak bandwidth, or every operation at peak rate",
    "fused": "a tuned runtime: fused kernels, captured graphs",
    "eager": "one kernel launch an operation, as frameworks do unless told otherwise",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, with what its models need.

    Attributes
    ----------
    name, title : str
        As asked for, and as shown.
    peak_gbs : float
        Memory bandwidth, GB/s.
    peak_tflops : float
        Of the matrix units at the tuned precision, TFLOP/s.
    watts : float
        Board or package power limit: an upper bound of what decoding takes.
    boundary : str
        What that power covers.
    share : float
        Bandwidth that a tuned runtime reaches, of the peak.
    layer_us : float
        Time a layer that a tuned runtime spends beside reading weights, microseconds.
    tuned_bytes, eager_bytes : int
        Bytes a weight in a tuned runtime and in eager.
    eager_layer_us : float or None
        Time a layer of launches in eager, microseconds; None where no figure allows a fit.
    eager_share : float or None
        Bandwidth in eager, of the peak; the tuned runtime's where None.
    sources : mapping of str to str
        Where each constant comes from.
    """

    name: str
    title: str
    peak_gbs: float
    peak_tflops: float
    watts: float
    boundary: str
    share: float
    layer_us: float
    tuned_bytes: int
    eager_bytes: int
    eager_layer_us: float | None
    eager_share: float | None
    sources: Mapping[str, str]

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Return the tiers that this machine has a model of."""
        eager = self.eager_layer_us is not None or self.eager_share is not None
        return TIERS if eager else TIERS[:2]


@dataclass(frozen=True, slots=True)
class Work:
    """One decoding step.

    Attributes
    ----------
    layers : int
        Decoder layers.
    weights : int
        Weights that a token reads, the LM head among them.
    cached : int
        Numbers of the KV cache that a token of one sequence reads.
    batch : int
        Sequences decoded together.
    """

    layers: int
    weights: int
    cached: int = 0
    batch: int = 1

    def bytes(self, each: int) -> int:
        """Return the bytes read, weights once and each sequence's cache."""
        return each * (self.weights + self.batch * self.cached)

    @property
    def operations(self) -> int:
        """Return multiplications and additions."""
        return 2 * self.batch * (self.weights + self.cached)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model says of one decoding step.

    Attributes
    ----------
    machine, tier : str
        Whose, and which model.
    ms : float
        Milliseconds a step (of the whole batch).
    joules : float
        Energy a step at the power limit: an upper bound.
    kind : str
        ``modelled``, always.
    """

    machine: str
    tier: Tier
    ms: float
    joules: float
    kind: str = "modelled"


FUSED = (
    "75 us a layer plus bytes at 69 % of peak: fitted to five published decode times "
    "(FasterTransformer on A100 at 350 M and 1.3 B, ONNX Runtime on V100 in fp32 and fp16, "
    "1.3 B on H100), which it meets within 17.2 %"
)
SHEET = "vendor's data sheet"


def _gpu(
    name: str,
    title: str,
    peak_gbs: float,
    tflops: float,
    watts: float,
    eager_us: float | None = None,
    note: str = "",
) -> Machine:
    sources = {"peak_gbs": SHEET + note, "peak_tflops": f"{SHEET}, dense fp16 tensor cores"}
    sources |= {"watts": f"{SHEET}, board limit", "share, layer_us": FUSED}
    if eager_us is not None:
        sources["eager_layer_us"] = (
            "one constant fitted to the published 41-137x over this machine (fp32): it shows what "
            "those ratios imply and is no evidence for them"
        )
    return Machine(
        name, title, peak_gbs, tflops, watts, "board", 0.69, 75.0, 2, 4, eager_us, None, sources
    )


MACHINES: Mapping[str, Machine] = {
    machine.name: machine
    for machine in (
        _gpu("t4", "T4", 320, 65, 70, 700.0),
        _gpu("v100", "V100", 900, 125, 300),
        _gpu("a100", "A100 40 GB", 1555, 312, 400),
        _gpu("h100", "H100 SXM", 3350, 989, 700),
        Machine(
            name="xeon-6154",
            title="Xeon Gold 6154",
            peak_gbs=128.0,
            peak_tflops=2.4,
            watts=200.0,
            boundary="package, without memory",
            share=0.6,
            layer_us=0.0,
            tuned_bytes=2,
            eager_bytes=4,
            eager_layer_us=None,
            eager_share=0.078,
            sources={
                "peak_gbs": "derived: six channels of DDR4-2666, 8 bytes each",
                "peak_tflops": "assumed: 18 cores x 64 fp32 operations a clock at 2.1 GHz",
                "watts": "assumed: TDP of the package",
                "share": "assumed: llama.cpp in fp16 reached 0.52 to 0.67 of the read bandwidth "
                "of another machine (two threads of Zen 4)",
                "eager_share": "one constant fitted to the published 631-1074x (geometric mean, "
                "fp32): it shows what those ratios imply and is no evidence for them",
            },
        ),
    )
}
"""The machines by name."""


def find(name: str) -> Machine:
    """Return a machine.

    Raises
    ------
    ConfigError
        E022 where there is none of that name.
    """
    if name not in MACHINES:
        known = ", ".join(MACHINES)
        raise ConfigError("E022", "unknown baseline", layer=name, fix=f"Choose one of {known}")
    return MACHINES[name]


def estimate(machine: Machine, work: Work, tier: Tier) -> Estimate:
    """Return what a tier's model says of a decoding step.

    Raises
    ------
    ConfigError
        E022 where no published figure allows this tier's model for the machine.
    """
    if tier not in machine.tiers:
        raise ConfigError(
            "E022",
            "no such model of this machine",
            layer=f"{machine.name} {tier}",
            fix=f"It has {', '.join(machine.tiers)}",
        )
    ms = _ms(machine, work, tier)
    return Estimate(machine.name, tier, ms, ms * 1e-3 * machine.watts)


def _ms(machine: Machine, work: Work, tier: Tier) -> float:
    computing = work.operations / (machine.peak_tflops * 1e9)
    if tier == "roofline":
        return max(work.bytes(machine.tuned_bytes) / (machine.peak_gbs * 1e6), computing)
    if tier == "fused":
        return max(_reading(machine, work, machine.tuned_bytes, machine.share), computing)
    share = machine.share if machine.eager_share is None else machine.eager_share
    launching = (machine.eager_layer_us or 0.0) * work.layers / 1e3
    return max(launching, _reading(machine, work, machine.eager_bytes, share), computing)


def _reading(machine: Machine, work: Work, each: int, share: float) -> float:
    return machine.layer_us * work.layers / 1e3 + work.bytes(each) / (
        share * machine.peak_gbs * 1e6
    )


def crossover(
    machine: Machine, work: Work, tier: Tier, tokens_per_second: float, most: int = 4096
) -> int | None:
    """Return the smallest batch at which the machine makes as many tokens a second.

    Parameters
    ----------
    machine, work, tier
        As in ``estimate``; the work's own batch is ignored.
    tokens_per_second : float
        What it is held against: a memory that reads its weights for each sequence anew makes about
        as many at every batch.
    most : int
        Batches tried.

    Returns
    -------
    int or None
        None where it does not get there.
    """

    def enough(batch: int) -> bool:
        step = Work(work.layers, work.weights, work.cached, batch)
        return batch / _ms(machine, step, tier) * 1e3 >= tokens_per_second

    if not enough(most):
        return None
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
