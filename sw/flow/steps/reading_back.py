"""Read back: Pyverilog, which had no part in writing them, reads the sources."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from gateformer.config.schema import Config
from gateformer.flow.files import write_whole
from gateformer.flow.step import Off, Outcome, Step, View, switched_off
from gateformer.flow.steps.generating import Generate
from gateformer.flow.steps.scheduling import Schedule
from gateformer.hw.rtl.read_back import ReadBack as Findings
from gateformer.quant.errors import MismatchError, ToolError
from gateformer.quant.tools import find_tool, require_tool


class ReadBack(Step[Findings]):
    """Checks hierarchy, ports, widths and register stages against the schedule."""

    name = "read_back"
    needs = (Schedule, Generate)
    floors = ("quant", "hw")
    uses = ("read_back",)

    def off(self, config: Config) -> Off | None:
        """Return why it is left out."""
        return switched_off(config.read_back.enabled, self.name, missing())

    def make(self, view: View) -> Findings:
        """Return what the reader found."""
        from gateformer.hw.rtl.read_back import read_back

        return read_back(view.get(Generate).files, view.get(Schedule).design)

    def write(self, view: View, product: Findings, folder: Path) -> Outcome:
        """Write the findings."""
        found = [asdict(finding) for finding in product.findings]
        write_whole(folder / "findings.json", json.dumps(found, indent=1) + "\n")
        error = None
        if product.findings:
            error = MismatchError(
                "E404",
                "generated Verilog differs from the schedule",
                cause="; ".join(str(finding) for finding in product.findings[:3]),
            )
        counts = product.metrics
        words = (
            f"{counts['read_back.modules']} modules, {counts['read_back.connections']:,} "
            f"connections, {len(found)} findings"
        )
        return Outcome(dict(counts), words, error)


def missing() -> ToolError | None:
    """Return what the reader lacks."""
    if find_spec("pyverilog") is None:
        return ToolError(
            "E505",
            "Python package not installed",
            layer="pyverilog",
            fix="pip install -e '.[sim]'",
        )
    if find_tool("iverilog") is None:
        try:
            require_tool("iverilog")
        except ToolError as error:
            return error
    return None
