"""Sums and maxima over beats or key groups, as a Verilog module.

Owns ``AccumulateWrapper``. Imports the base class, datapaths and text pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateformer.hw.dataflow.stages import AccumulateStage
from gateformer.hw.naming import identifier
from gateformer.hw.rtl.datapath import Pins, datapath
from gateformer.hw.rtl.text import bits, bus, comment, instance, packed
from gateformer.hw.rtl.wrapper import Wrapper, shifted
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import Fixed


class AccumulateWrapper(Wrapper[AccumulateStage]):
    """Sum or maximum over beats or key groups."""

    def write(self) -> None:
        """Sum or maximum over beats or key groups."""
        stage = self.stage
        op = stage.node.op
        assert isinstance(op, Reduce)
        source, result = stage.node.inputs[0], stage.node.output
        kind, made = self.kind(source), self.graph.values[result].fixed
        per = self.elements(source)
        self.body.append(
            comment(f"{result} = {op.kind} over {op.axis}, {stage.count} clocks; {made}")
        )
        self.counter("step", stage.count, "in_valid")
        low = self.facts.element_bounds(source)[0].reshape(-1)
        # Inside each element's own range, which is all that the tree has wires for.
        neutral = [0 if op.kind == "sum" else int(n) & ((1 << kind.width) - 1) for n in low]
        inside = made
        if op.kind == "max" and int(low.min()) < made.min:
            # What is proven of the result may not hold before its last clock.
            inside = Fixed.for_range(int(low.min()), made.max, made.frac)
        width = inside.width + (not inside.signed)
        before = stage.circuit.latencies["y"] if stage.circuit else 0
        flags = self._step_flags(before)
        rows = per if stage.tokens else per // stage.width
        beat = self._beat(source, per)
        every = []
        for lane in range(stage.lanes):
            names = self._masked(beat, lane, per, kind.width, neutral)
            results = self._tree(stage, lane, names, kind, inside, rows)
            regs, steps = [], []
            for r, text in enumerate(results):
                tag = f"total_{lane}_{r}"
                merged = (
                    f"{tag} + {text}"
                    if op.kind == "sum"
                    else (f"(({tag} > {text}) ? {tag} : {text})")
                )
                regs.append(f"  reg signed {bus(width)} {tag};")
                steps.append(f"      {tag} <= {flags[1]} ? {text} : {merged};")
                every.append(f"{tag}[{made.width - 1}:0]")
            joined_regs, joined_steps = "\n".join(regs), "\n".join(steps)
            self.body.append(
                f"{joined_regs}\n  always @(posedge clk) begin\n    if ({flags[0]}) begin\n"
                f"{joined_steps}\n    end\n  end\n"
            )
        self.body.append(f"  assign out_{identifier(result)} = {packed(every)};\n")
        self.valid_line({result: 1}, flags[2])

    def _beat(self, source: str, per: int) -> str:
        """The bus of a beat's elements, arranged first where the operand is only wiring."""
        if source in {feed.value for feed in self.stage.feeds}:
            return f"in_{identifier(source)}"
        width = self.kind(source).width
        names = [
            f"{name}[{width - 1}:0]"
            for lane in range(self.facts.lanes(source))
            for name in self.lane_view(source, lane, "in_{value}", f"e{lane}", per)
        ]
        self.body.append(f"  wire {bus(len(names) * width)} row = {packed(names)};\n")
        return "row"

    def _step_flags(self, before: int) -> tuple[str, str, str]:
        """(active, first, last) at the accumulator."""
        self.body.append(
            "  wire step_first = in_valid && step == 0;\n  wire step_end = in_valid && step_last;\n"
        )
        if not before:
            return "in_valid", "step_first", "step_end"
        names = {"active_reg": "in_valid", "first_reg": "step_first", "last_reg": "step_end"}
        text = "".join(f"  reg {bus(before)} {n};\n" for n in names)
        resets = "".join(f"      {n} <= {before}'d0;\n" for n in names)
        steps = "".join(f"      {n} <= {shifted(n, before, s)};\n" for n, s in names.items())
        self.body.append(
            f"{text}  always @(posedge clk) begin\n    if (rst) begin\n{resets}"
            f"    end else begin\n{steps}    end\n  end\n"
        )
        active, first, last = (f"{n}[{before - 1}]" for n in names)
        return active, first, last

    def _masked(
        self, beat: str, lane: int, per: int, width: int, neutral: Sequence[int]
    ) -> list[str]:
        """Elements, those beyond the tensor replaced by what does not count."""
        stage = self.stage
        names, rows = [], []
        inner = stage.width
        count = per * inner if stage.tokens else per
        for index in range(count):
            if stage.tokens:
                position, padded = index, index // per >= inner - stage.padding
            else:
                position, padded = lane * per + index, index % inner >= inner - stage.padding
            part = bits(beat, position, width)
            text = f"step_last ? {width}'d{neutral[index % per]} : {part}" if padded else part
            names.append(f"x_{lane}_{index}")
            rows.append(f"  wire {bus(width)} x_{lane}_{index} = {text};")
        self.body.append("\n".join(rows) + "\n")
        return names

    def _tree(
        self, stage: AccumulateStage, lane: int, names: list[str], kind: Fixed, made: Fixed,
        rows: int,
    ) -> list[str]:  # fmt: skip
        if stage.circuit is None:
            return [f"$signed({n})" if kind.signed else f"$signed({{1'b0, {n}}})" for n in names]
        inner = f"{self.name}_tree"
        self.out.modules[inner] = datapath(
            inner, stage.circuit, {"x": Pins(len(names), kind)}, {"y": Pins(rows, made)}
        )
        self.out.instances[inner] = stage.lanes
        self.body.append(f"  wire {bus(len(names) * kind.width)} beat_{lane} = {packed(names)};\n")
        self.body.append(f"  wire {bus(rows * made.width)} tree_{lane};\n")
        self.body.append(
            instance(
                inner,
                f"tree_of_lane_{lane}",
                {},
                {"clk": "clk", "x": f"beat_{lane}", "out_y": f"tree_{lane}"},
            )
        )
        parts = [bits(f"tree_{lane}", r, made.width) for r in range(rows)]
        return [f"$signed({p})" if made.signed else f"$signed({{1'b0, {p}}})" for p in parts]
