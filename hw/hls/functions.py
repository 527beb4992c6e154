"""Functions: what those between streams and those between arrays have in common.

Owns ``Functions`` and ``function``. Imports iterations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateformer.hw.hls.iteration import COLUMNS, indent
from gateformer.hw.hls.phases import Frame, Phase
from gateformer.hw.hls.scope import Lines, Scope


@dataclass(slots=True)
class Functions:
    """Writes one unit's functions.

    Attributes
    ----------
    scope : Scope
        The unit's names.
    constants : dict of str to str
        What its configuration has to hold, as it turns out: name -> C++ expression.
    """

    scope: Scope
    constants: dict[str, str] = field(default_factory=dict)

    def paced(self, interval: str, limit: str, multiplies: int) -> Lines:
        """The interval of what is around, and the multipliers that it leaves."""
        dialect = self.scope.site.dialect
        paced = dialect.pipeline(f"CONFIG_T::{interval}")
        if multiplies:
            self.constants[limit] = f"({multiplies} + {interval} - 1) / {interval}"
            paced += dialect.limit(f"CONFIG_T::{limit}")
        return paced

    def about(self, phase: Phase, when: str) -> Lines:
        """What a phase gives, as a comment."""
        plan, unit = self.scope.plan, self.scope.unit
        given = [f.value for f in plan.frames if plan.phases[f.source] is phase]
        made = ", ".join(self.scope.locals[name] for name in dict.fromkeys([*given, *phase.writes]))
        which = f", phase {plan.phases.index(phase)}" if len(plan.phases) > 1 else ""
        return [f"// {unit.layer}{which}: {made}{when}."]

    def loop(self, label: str, count: int, lines: Lines, unrolled: bool) -> Lines:
        """A loop over tokens."""
        head = [f"{label}:", *self.scope.site.dialect.ahead(unrolled)]
        return [*head, f"for (unsigned t = 0; t < {count}; t++) {{", *indent(lines), "}"]

    def array(self, frame: Frame, suffix: str) -> Lines:
        """A frame between phases: registers where it is read whole, else a memory of tokens."""
        dialect, name = self.scope.site.dialect, f"{self.scope.arrays[frame]}{suffix}"
        kept = dialect.partition(name) if self.scope.at_once(frame) else dialect.rows(name)
        return [f"{self.scope.frame(frame, name)};", *kept]


def function(name: str, parameters: Sequence[str], lines: Lines) -> Lines:
    """A function that returns nothing; its parameters on lines of their own where they are long."""
    head = f"void {name}("
    listed = [*(f"    {p}," for p in parameters[:-1]), f"    {parameters[-1]}"]
    one = f"{head}{', '.join(parameters)}) {{"
    opening = [one] if len(one) <= COLUMNS else [head, *listed, ") {"]
    return [*opening, *indent(lines), "}"]
