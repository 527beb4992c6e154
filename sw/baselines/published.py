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
from gateformer.baselines.machines import Machine, Tier, find
from gateformer.baselines.roofline import Estimate, Work, estimate
from gateformer.quant.decoder import Decoder

ENOUGH = 3
"""Points that an error bar takes at the least, those of the fit apart."""
PREFILL = (0.3, 0.5, 0.7)
"""Of the peak rate, that a prompt's large matrix products reach: least, taken, most. Assumed: what
libraries reach at some hundred rows of 16-bit floats."""


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
    published : float
        Milliseconds of a step as published, with the prefill's share in it.
    prefill, over : int
        Tokens of a prompt that were read within the time of so many steps; 0 where none were.
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
    published: float
    prefill: int
    over: int
    how: str
    source: str
    tier: Tier
    fitted: bool

    @property
    def ms(self) -> float:
        """The time of a step alone, in milliseconds."""
        return self.published - self._reading(PREFILL[1])

    @property
    def uncertain(self) -> float:
        """Milliseconds by which that is off at most, as the prefill's rate is assumed."""
        return self._reading(PREFILL[0]) - self._reading(PREFILL[1])

    def _reading(self, share: float) -> float:
        """Return a step's share of reading the prompt: the head makes no logits for it."""
        operations = 2 * self.decoder.block_weights * self.prefill / self.devices
        return operations / (share * self.machine.peak_tflops * 1e9) / max(self.over, 1)

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
        return group(self.machine, self.tier)

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
            published=one["ms"],
            prefill=one.get("prefill", 0),
            over=one.get("over", 0),
            how=one["how"],
            source=data["source"][one["source"]]["title"],
            tier=one.get("tier", "fused"),
            fitted=one.get("fitted", False),
        )
        for one in data["point"]
    ]
    return tuple(sorted(found, key=lambda one: (one.group, not one.fitted)))


def error_bar(machine: Machine, tier: Tier) -> tuple[float, float] | None:
    """Return by what the times of a model are multiplied for the ends of their error bar.

    They are those at which the published points of 16 and 32 bits, of the fit or not, lie that the
    same constants are held against.

    Parameters
    ----------
    machine : Machine
        Whose model.
    tier : str
        ``fused`` or ``eager``.

    Returns
    -------
    tuple of (float, float), or None
        At most 1, and at least 1; None where fewer than three points were not in the fit.
    """
    found = [one for one in points() if one.group == group(machine, tier) and one.bits >= 16]
    if sum(not one.fitted for one in found) < ENOUGH:
        return None
    ratios = [one.ms / one.modelled.ms for one in found]
    return min([1.0, *ratios]), max([1.0, *ratios])


def group(machine: Machine, tier: Tier) -> str:
    """Return what machines and tiers of the same constants have in common."""
    device = "GPU" if machine.boundary == "board" else "CPU"
    return f"{'eager' if tier == 'eager' else 'tuned'}, {device}"


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
