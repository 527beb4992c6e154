"""Report: one offline page of what the run found."""

from __future__ import annotations

from pathlib import Path

from gateformer.config.schema import Config
from gateformer.flow.step import Off, Outcome, Step, View, switched_off
from gateformer.flow.steps.scheduling import Schedule


class Report(Step[None]):
    """Writes ``report.html`` into the run's folder."""

    name = "report"
    needs = (Schedule,)
    fresh = True
    floors = ()
    uses = ("report",)

    def off(self, config: Config) -> Off | None:
        """Return why it is left out."""
        return switched_off(config.report.enabled, self.name, None)

    def make(self, view: View) -> None:
        """Make nothing: the page is made of the run's files."""

    def write(self, view: View, product: None, folder: Path) -> Outcome:
        """Write the page."""
        from gateformer.report.html import write

        page = write(folder.parent)
        return Outcome({}, str(page))
