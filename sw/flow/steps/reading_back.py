"""Read back: Pyverilog, which had no part in writing them, reads the sources."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from gateformer.config.schema import Config
from gateformer.flow.cache import cache_folder
from gateformer.flow.step import Off, Step, View, switched_off
from gateformer.flow.steps.generating import Generate
from gateformer.flow.steps.scheduling import Schedule
from gateformer.quant.errors import ToolError


class ReadBack(Step[Any]):
    """Checks hierarchy, ports, widths and register stages against the schedule."""

    name = "read_back"
    needs = (Schedule, Generate)
    floors = ("quant", "hw")
    uses = ("read_back",)

    def off(self, config: Config) -> Off | None:
        """Return why it is left out."""
        missing = None
        if find_spec("pyverilog") is None:
            missing = ToolError(
                "E505",
                "Python package not installed",
                layer="pyverilog",
                fix="pip install -e '.[sim]'",
            )
        return switched_off(config.read_back.enabled, self.name, missing)

    def make(self, view: View) -> Any:
        """Return what the reader found."""
        from gateformer.hw.rtl.read_back import read_back

        return read_back(view.get(Generate), view.get(Schedule), cache_folder(view.config, "read"))
