"""Decode times that others published, and what the models say of the same steps.

Owns ``Point``, ``points`` and the data in ``published.toml``. Imports the models.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from gateformer.baselines.fitting import Sample
from gateformer.baselines.roofline import Estimate, Machine, Tier, Work, estimate, find
from gateformer.quant.decoder import Decoder


@dataclass(frozen=True, slots=True)
class Point:
    """A published time of one decoding step.

    Attributes
    ----------
    machine : Machine
        What it ran on.
    decoder : Decoder
        What ran.
    bits : float
        Of a weight, scales included.
    context : int
        Tokens in the cache; 0 where the source does not say.
    devices : int
        How many machines share every matrix.
    ms : float
        The published time.
    how : str
        What it is made of.
    source : str
        Where it stands.
    tier : str
        Which model it is held against.
    fitted : bool
        Whether that model's constants were fitted to it.
    """

    machine: Machine
    decoder: Decoder
    bits: float
    context: int
    devices: int
    ms: float
    how: str
    source: str
    tier: Tier
    fitted: bool

    @property
    def work(self) -> Work:
        """The step, one device's part of it."""
        weights = self.decoder.block_weights + self.decoder.head.weights
        cached = self.decoder.kv_elements * self.context
        return Work(self.decoder.layers, weights // self.devices, cached // self.devices)

    @property
    def modelled(self) -> Estimate:
        """What the model says."""
        return estimate(self.machine, self.work, self.tier, self.bits / 8)

    @property
    def group(self) -> str:
        """Points of one group share the constants that they are held against."""
        if self.machine.boundary != "board":
            return "tuned, CPU"
        return "eager, GPU" if self.tier == "eager" else "tuned, GPU"

    @property
    def error(self) -> float:
        """Relative error of the model."""
        return self.modelled.ms / self.ms - 1

    @property
    def sample(self) -> Sample:
        """The point as a fit takes it: seconds, layers, and bytes over the peak bandwidth."""
        each = self.bits / 8
        read = self.work.bytes(each, max(each, 2))
        return Sample(self.decoder.layers, read / (self.machine.peak_gbs * 1e9), self.ms / 1e3)


@cache
def points() -> tuple[Point, ...]:
    """Return all published points, by group, those of its fit first."""
    data = tomllib.loads((files("gateformer.baselines") / "published.toml").read_text("utf-8"))
    shapes = {name: _decoder(name, given) for name, given in data["shape"].items()}
    found = [
        Point(
            machine=find(one["machine"]),
            decoder=shapes[one["shape"]],
            bits=one["bits"],
            context=one["context"],
            devices=one.get("devices", 1),
            ms=one["ms"],
            how=one["how"],
            source=data["source"][one["source"]]["title"],
            tier=one.get("tier", "fused"),
            fitted=one.get("fitted", False),
        )
        for one in data["point"]
    ]
    return tuple(sorted(found, key=lambda one: (one.group, not one.fitted)))


def _decoder(name: str, given: Mapping[str, Any]) -> Decoder:
    width, heads = given["d_model"], given["heads"]
    return Decoder(
        name=name,
        layers=given["layers"],
        d_model=width,
        heads=heads,
        kv_heads=given.get("kv_heads", heads),
        d_head=width // heads,
        d_ff=given.get("d_ff", 4 * width),
        vocab=given["vocab"],
        context=2048,
        gated=given.get("gated", False),
    )
