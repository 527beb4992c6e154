"""Layers between arrays: a function of one token a phase, called for all tokens at once.

Owns ``ArrayFunctions``. Imports functions and iterations.
"""

from __future__ import annotations

from math import prod

from gateformer.hw.hls.functions import Functions, function
from gateformer.hw.hls.iteration import Iteration, apart, call, indent, iteration
from gateformer.hw.hls.scope import Lines


class ArrayFunctions(Functions):
    """Writes one unit's functions for ``io_parallel``."""

    __slots__ = ()

    def write(self) -> Lines:
        """A function between arrays; a token's work is a function of its own.

        So that is scheduled once, and then there as often as there are tokens.
        """
        phases = self.scope.plan.phases
        return self._vector() if len(phases) == phases[0].tokens == 1 else self._tokens()

    def _vector(self) -> Lines:
        """A function of vectors alone."""
        text = iteration(self.scope, 0)
        paced = self.paced("reuse_factor", "multiplier_limit", text.multiplies)
        return self._layer(apart(paced, text.fetch, text.compute, text.leave))

    def _tokens(self) -> Lines:
        """A function of one token for each phase, and the one that calls them for all tokens."""
        scope, dialect = self.scope, self.scope.site.dialect
        functions: list[Lines] = []
        loops: list[Lines] = []
        for number, phase in enumerate(scope.plan.phases):
            text = iteration(scope, number)
            called: Lines = []
            if text.compute:
                functions.append(self._token(number, text))
                called = self._called(number, text)
            row = apart(text.fetch, called, text.leave)
            if phase.tokens == 1:
                loops.append(["{", *indent(row), "}"])
            else:
                row = apart(dialect.unroll(), row)
                loops.append(self.loop(f"phase{number}", phase.tokens, row, True))
        frames = [line for frame in scope.plan.frames for line in self.array(frame, "")]
        paced = self.paced("reuse_factor", "", 0)
        return apart(*functions, self._layer(apart(paced, frames, *loops)))

    def _layer(self, inside: Lines) -> Lines:
        """The layer's own function."""
        scope = self.scope
        parameters = [f"const {self._tensor(name, 'in')}" for name in scope.unit.reads]
        parameters += [self._tensor(name, "out") for name in scope.unit.writes]
        most = max(phase.tokens for phase in scope.plan.phases)
        what = "all tokens at once" if most > 1 else "the whole vector at once"
        head = scope.site.dialect.template(())
        about = f"// {scope.unit.layer}: {what}."
        return [about, head, *function(scope.function, parameters, inside)]

    def _name(self, number: int) -> str:
        """The function of a phase's token."""
        alone = len(self.scope.plan.phases) == 1
        return f"{self.scope.function}_{'token' if alone else f'phase{number}'}"

    def _token(self, number: int, text: Iteration) -> Lines:
        """The function of one token: rows in, rows out."""
        scope, phase = self.scope, self.scope.plan.phases[number]
        limit = "multiplier_limit" + (f"_{number}" if len(scope.plan.phases) > 1 else "")
        paced = self.paced("reuse_factor", limit, text.multiplies)
        given = [f"{scope.locals[name]}_out" for name in text.made]
        ends = [f"gf::copy({scope.locals[name]}, {scope.locals[name]}_out);" for name in text.made]
        inside = apart([*scope.site.dialect.process(), *paced], text.compute, ends)
        parameters = [
            *(f"const {scope.typed(name, f'(&{scope.locals[name]})')}" for name in text.rows),
            *(f"const {scope.frame(f, f'(&{scope.arrays[f]})')}" for f in text.frames),
            *(scope.typed(n, f"(&{out})") for n, out in zip(text.made, given, strict=True)),
        ]
        when = " of one token" if phase.tokens > 1 else ", once a frame"
        head = scope.site.dialect.template(())
        return [*self.about(phase, when), head, *function(self._name(number), parameters, inside)]

    def _called(self, number: int, text: Iteration) -> Lines:
        """The call of a token's function."""
        scope = self.scope
        given = [scope.locals[name] for name in text.rows]
        given += [scope.arrays[frame] for frame in text.frames]
        given += [scope.locals[name] for name in text.made]
        lines = [line for name in text.made for line in scope.declare(name)]
        return [*lines, *call(f"{self._name(number)}<CONFIG_T>({', '.join(given)})")]

    def _tensor(self, value: str, way: str) -> str:
        scope = self.scope
        size = prod(scope.value(value).shape)
        name = f"{scope.locals[value]}_{way}"
        return scope.site.dialect.tensor(scope.site.beats[value], name, size)
