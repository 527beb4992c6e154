"""How often the nets of a design toggle, counted in the simulation of its RTL at full rate.

Owns ``Activity``, ``Instance``, ``Count`` and ``activity``. Imports the compiled bench, the SAIF
reader and the kinds of nets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateformer.hw.dataflow.design import Design
from gateformer.quant.types import IntArray
from gateformer.sim.rtl.bulk import TREE, bench_program, send
from gateformer.sim.rtl.nets import Kind, Scope, scopes
from gateformer.sim.rtl.saif import Net, toggles
from gateformer.sim.rtl.simulate import SimulationResult, judge

SAIF = "toggles.saif"
"""As the bench names it."""
KINDS: tuple[Kind, ...] = ("register", "memory", "logic", "product")


@dataclass(frozen=True, slots=True)
class Count:
    """Bits, and how often they changed in all.

    A bit counts once a clock at most: it is compared as it stands before each rising edge, so
    that what it did in between, glitches among them, is not seen.
    """

    bits: int = 0
    toggles: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.bits + other.bits, self.toggles + other.toggles)

    def rate(self, clocks: int) -> float:
        """Toggles of a bit in a clock, from 0 to 1; 0 where there are no bits."""
        return self.toggles / (self.bits * clocks) if self.bits else 0.0


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance's own nets, those of instances inside it left out.

    Attributes
    ----------
    path : str
        Instances from the top down to it, joined by dots.
    module : str
        Its module.
    counts : mapping of {"register", "memory", "logic", "product"} to Count
        By the kind of net; ports and other names of nets count nowhere.
    """

    path: str
    module: str
    counts: Mapping[Kind, Count]


@dataclass(frozen=True, slots=True)
class Activity:
    """Toggles within a window of whole frames.

    Attributes
    ----------
    frames : int
        Frames that entered within the window, back to back.
    clocks : int
        Clocks of the window.
    instances : tuple of Instance
        In the order of the hierarchy, the top first.
    """

    frames: int
    clocks: int
    instances: tuple[Instance, ...]

    def count(self, *kinds: Kind) -> Count:
        """Of the whole design, of one or several kinds of nets."""
        found = Count()
        for instance in self.instances:
            for kind in kinds:
                found += instance.counts.get(kind, Count())
        return found

    def by_module(self, modules: Iterable[str]) -> dict[str, dict[Kind, Count]]:
        """Sum instances up by the nearest of some modules that they are in, or are.

        Parameters
        ----------
        modules : iterable of str
            Modules, the top among them; every instance of one counts.
        """
        wanted = set(modules)
        at = {instance.path: instance.module for instance in self.instances}
        found: dict[str, dict[Kind, Count]] = {module: {} for module in modules}
        for instance in self.instances:
            parts = instance.path.split(".")
            above = (at[".".join(parts[:n])] for n in range(len(parts), 0, -1))
            home = next((module for module in above if module in wanted), None)
            if home is not None:
                sums = found[home]
                for kind, count in instance.counts.items():
                    sums[kind] = sums.get(kind, Count()) + count
        return found


def activity(
    design: Design,
    files: Mapping[str, str],
    frames: Mapping[str, IntArray],
    expected: Mapping[str, IntArray],
    *,
    work: Path,
    cache: Path | None = None,
) -> tuple[Activity, SimulationResult]:
    """Send frames back to back through ``gf_<name>_axis`` and count toggles once it is full.

    Parameters
    ----------
    design, files, frames, expected, work, cache
        As for `gateformer.sim.rtl.bulk.bulk`; `frames_to_send` says how many there must be.

    Returns
    -------
    Activity
        Of the frames between those that fill the pipeline and the last.
    SimulationResult
        Whether the integers were right meanwhile.

    Raises
    ------
    ToolError
        E501, E502 or E505 where a tool is missing or fails.
    MismatchError
        E405 where the design ended the simulation.
    """
    program = bench_program(design, files, cache or work / "builds", saif=True)
    count = len(next(iter(frames.values()))) - frames_to_send(design, 0)
    start = warm_up(design) * design.interval_cycles
    end = start + count * design.interval_cycles
    send(design, program, files, frames, work / "start", (start, start))
    vectors, record = send(design, program, files, frames, work, (start, end))
    result = judge(design, record, expected, "verilator", vectors=vectors, seconds=(0.0, 0.0))
    tree = json.loads(next((program.parent.parent / TREE).glob("*.tree.json")).read_text("utf-8"))
    nets = toggles(work / "start" / SAIF, work / SAIF)
    found = tally(scopes(tree), nets, f"gf_{design.name}_axis")
    return Activity(count, end - start, tuple(found)), result


def warm_up(design: Design) -> int:
    """Frames that fill the pipeline, and write every word of its FIFOs, before toggles count."""
    return -(-design.latency_cycles // design.interval_cycles) + design.capacity


def frames_to_send(design: Design, count: int) -> int:
    """Frames to send so that ``count`` of them count: the last one keeps the pipeline full."""
    return warm_up(design) + count + 1


@dataclass(slots=True)
class _Open:
    path: str
    module: str
    counts: dict[Kind, Count] = field(default_factory=dict)


def tally(modules: Mapping[str, Scope], nets: Iterable[Net], top: str) -> Iterator[Instance]:
    """Sum nets up by instance and kind; nets of generate blocks count with their instance.

    Parameters
    ----------
    modules : mapping of str to Scope
        Every elaborated module.
    nets : iterable of Net
        The design's top is the second level of their scopes.
    top : str
        The design's top module.
    """
    first = next(scope for scope in modules.values() if scope.module == top)
    places: dict[tuple[str, ...], tuple[Scope, _Open]] = {}
    instances: list[_Open] = []

    def place(path: tuple[str, ...]) -> tuple[Scope, _Open]:
        if path not in places:
            if len(path) == 1:
                places[path] = first, _Open(path[0], first.module)
                instances.append(places[path][1])
                return places[path]
            scope, home = place(path[:-1])
            inner = scope.inner[path[-1]]
            if isinstance(inner, str):
                below = modules[inner]
                home = _Open(".".join([home.path, path[-1]]), below.module)
                instances.append(home)
                places[path] = below, home
            else:
                places[path] = inner, home
        return places[path]

    for net in nets:
        if len(net.scope) < 2:
            continue
        scope, home = place(net.scope[1:])
        kind = scope.nets.get(net.name)
        if kind is not None:
            home.counts[kind] = home.counts.get(kind, Count()) + Count(1, net.toggles)
    for each in instances:
        yield Instance(each.path, each.module, each.counts)
