"""Which schedule is the fastest that fits the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from gateformer.config.schema import Config
from gateformer.flow.steps.scheduling import settings
from gateformer.quant.errors import ScheduleError
from gateformer.quant.graph import Graph

REUSE = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 16, 20, 24, 32, 48, 64)
"""Reuse factors tried."""
MOST = 32
"""Schedules tried at most."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A schedule.

    Attributes
    ----------
    token_parallelism, reuse_factor : int
        As in the configuration.
    slots : int
        Beats of a frame.
    """

    token_parallelism: int
    reuse_factor: int
    slots: int

    @property
    def interval(self) -> int:
        """Clocks between frames, at most."""
        return self.slots * self.reuse_factor

    def larger(self, other: Setting) -> bool:
        """Whether it takes at least the hardware of another setting."""
        return (
            self.token_parallelism >= other.token_parallelism
            and self.reuse_factor <= other.reuse_factor
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What a schedule gives.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Its clocks.
    fits : bool
        Whether the device holds it.
    """

    latency_cycles: int
    interval_cycles: int
    fits: bool


def settings_of(tokens: int) -> list[Setting]:
    """Return the schedules of a frame of tokens, shortest interval first."""
    beats = sorted({-(-tokens // lanes) for lanes in range(1, tokens + 1)})
    lanes = {count: min(p for p in range(1, tokens + 1) if -(-tokens // p) == count)
             for count in beats}  # fmt: skip
    every = [Setting(lanes[count], reuse, count) for count in beats for reuse in REUSE]
    return sorted(every, key=lambda s: (s.interval, s.reuse_factor))


def fastest(
    candidates: Iterable[Setting], evaluate: Callable[[Setting], Found | None]
) -> tuple[Setting, Found] | None:
    """Return the setting of least latency, then interval, that fits; None where none does.

    Parameters
    ----------
    candidates : iterable of Setting
        Shortest interval first. One that needs more hardware than one that did not fit is not
        tried, nor one whose interval alone is longer than the best latency.
    evaluate : callable
        Returns what a setting gives, or None where it cannot be scheduled.
    """
    best: tuple[Setting, Found] | None = None
    misfits: list[Setting] = []
    tried = 0
    for setting in candidates:
        if any(setting.larger(misfit) for misfit in misfits):
            continue
        if tried == MOST or (best is not None and setting.interval > best[1].latency_cycles):
            break
        tried += 1
        found = evaluate(setting)
        if found is None:
            continue
        if not found.fits:
            misfits.append(setting)
        elif best is None or _order(found) < _order(best[1]):
            best = setting, found
    return best


def suggest(graph: Graph, config: Config) -> dict[str, int] | None:
    """Return the fastest setting of a typed graph that fits the configured device."""
    from gateformer.hw.dataflow.plan import plan
    from gateformer.hw.devices import load

    device, base = load(config.schedule.device), settings(config)

    def evaluate(setting: Setting) -> Found | None:
        chosen = replace(
            base,
            token_parallelism=setting.token_parallelism,
            reuse_factor=setting.reuse_factor,
        )
        try:
            design = plan(graph, chosen).design
        except ScheduleError:
            return None
        return Found(design.latency_cycles, design.interval_cycles, device.holds(design.cost))

    tokens = max(
        (graph.values[name].shape[0] for name in graph.inputs if len(graph.values[name].shape) > 1),
        default=1,
    )
    best = fastest(settings_of(tokens), evaluate)
    if best is None:
        return None
    setting, found = best
    return {
        "token_parallelism": setting.token_parallelism,
        "reuse_factor": setting.reuse_factor,
        "latency_cycles": found.latency_cycles,
        "interval_cycles": found.interval_cycles,
    }


def _order(found: Found) -> tuple[int, int]:
    return found.latency_cycles, found.interval_cycles
