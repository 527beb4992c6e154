"""HLS: the network as an hls4ml project, its C++ compiled with g++ and held to the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateformer.config.schema import Config
from gateformer.flow.cache import cache_folder
from gateformer.flow.files import write_whole
from gateformer.flow.step import Off, Outcome, Step, View, switched_off
from gateformer.flow.steps.importing import Import
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.steps.scheduling import check_layers
from gateformer.flow.steps.vectors import Vectors
from gateformer.hw.devices import load as load_device
from gateformer.hw.hls.bench import with_frames
from gateformer.hw.hls.project import HlsSettings, Project
from gateformer.quant.errors import GateformerError, MismatchError, ToolError
from gateformer.quant.graph import Graph
from gateformer.quant.tools import require_tool
from gateformer.sim.hls.run import HlsResult

PROJECT = "project"
"""The sources' folder inside the step's."""


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """A project and what its C++ gave.

    Attributes
    ----------
    project : Project
        The sources.
    result : HlsResult
        The comparison with the model.
    """

    project: Project
    result: HlsResult


class Hls(Step[Checked]):
    """Generates the HLS project, compiles it and compares every integer."""

    name = "hls"
    needs = (Import, Lower, Vectors)
    floors = ("quant", "hw", "sim")
    uses = (
        "hls",
        "schedule.clock_ns",
        "schedule.reuse_factor",
        "schedule.layers",
        "schedule.device",
    )

    def off(self, config: Config) -> Off | None:
        """Return why it is left out."""
        lacking = missing() if config.hls.enabled else None
        return switched_off(config.hls.enabled, self.name, lacking)

    def make(self, view: View) -> Checked:
        """Return the project, checked."""
        from gateformer.sim.hls.run import check

        project = project_of(view)
        frames = view.get(Vectors).first(view.config.hls.vectors)
        result = check(
            project,
            view.get(Lower).graph,
            frames.inputs,
            frames.outputs,
            view.scratch,
            cache_folder(view.config, "hls"),
            view.progress,
        )
        return Checked(benched(view, project), result)

    def write(self, view: View, product: Checked, folder: Path) -> Outcome:
        """Write the sources and the verdict."""
        for name, text in product.project.files.items():
            path = folder / PROJECT / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)
        result, table = product.result, view.config.hls
        metrics = {
            "simulate.hls.vectors": result.vectors,
            "simulate.hls.mismatches": result.mismatches,
            "hls.backend": table.backend,
            "hls.io_type": table.io_type,
            "simulate.hls.compile_seconds": round(result.compile_seconds, 2),
            "simulate.hls.seconds": round(result.seconds, 2),
        }
        words = (
            f"{result.vectors:,} frames through {table.backend} {table.io_type} C++, "
            f"{result.mismatches} mismatches"
        )
        return Outcome(metrics, words, verdict(result))


def missing() -> ToolError | None:
    """Return what the check lacks here."""
    from gateformer.hw.hls.model import without_hls4ml

    if lacking := without_hls4ml():
        return lacking
    try:
        require_tool("g++")
    except ToolError as error:
        return error
    return None


def verdict(result: HlsResult) -> GateformerError | None:
    """Return what the comparison found wrong."""
    if result.passed:
        return None
    return MismatchError(
        "E401",
        "simulated values differ from the model",
        layer="hls",
        cause=f"{result.mismatches} of {result.vectors} frames; the first: {result.first}",
        fix=result.where,
    )


def project_of(view: View) -> Project:
    """Return the HLS project of a design, as its configuration asks for it.

    Raises
    ------
    ToolError
        E505 without hls4ml.
    Problems or GateformerError
        All that the configuration asks for and cannot be generated.
    """
    from gateformer.hw.hls.model import generate

    graph = view.get(Lower).graph
    check_layers(view.config, graph)
    return generate(graph, settings_of(view.config), kinds_of(view.get(Import)))


def benched(view: View, project: Project) -> Project:
    """Return a project with the design's first frames for its own test bench."""
    frames = view.get(Vectors)
    return with_frames(project, frames.inputs, frames.outputs)


def settings_of(config: Config) -> HlsSettings:
    """Return what the HLS backend is told."""
    table, schedule = config.hls, config.schedule
    return HlsSettings(
        backend=table.backend,
        io_type=table.io_type,
        part=table.part or part_of(config),
        clock_ns=schedule.clock_ns,
        reuse_factor=schedule.reuse_factor,
        layers=schedule.layers,
    )


def part_of(config: Config) -> str:
    """Return the number of the device, where the backend's vendor makes it; else nothing."""
    device = load_device(config.schedule.device)
    amd = device.family.startswith("xc")
    return device.part if amd and config.hls.backend in ("vitis", "vivado") else ""


def kinds_of(graph: Graph) -> dict[str, str]:
    """Return the class name of each layer's last operation in an imported graph."""
    return {graph.values[node.output].layer: type(node.op).__name__ for node in graph.nodes}
