"""All beats of a frame side by side, as a Verilog module.

Owns ``GatherWrapper``. Imports the base class, datapaths and text pieces.
"""

from __future__ import annotations

from gateformer.hw.dataflow.stages import GatherStage
from gateformer.hw.naming import identifier
from gateformer.hw.rtl.text import bits, bus, comment, packed
from gateformer.hw.rtl.wrapper import Wrapper


class GatherWrapper(Wrapper[GatherStage]):
    """All beats of a frame side by side."""

    def write(self) -> None:
        """All beats of a frame side by side."""
        stage = self.stage
        source, result = stage.node.inputs[0], stage.node.output
        wide = self.elements(source) * self.kind(source).width
        names = []
        for lane in range(stage.lanes):
            for base in self.facts.bases(source):
                width = self.elements(base) * self.kind(base).width
                self.body.append(
                    f"  wire {bus(width)} x{lane}_{identifier(base)} = "
                    f"{bits(f'in_{identifier(base)}', lane, width)};\n"
                )
            view = self.view(source, f"x{lane}_{{value}}", f"x{lane}", self.elements(source))
            names += [f"{n}[{self.kind(source).width - 1}:0]" for n in view]
        beat = wide * stage.lanes
        total = self.graph.values[result].shape[0] * self.kind(result).width
        self.counter("beat", stage.beats, "in_valid")
        self.body.append(
            comment(f"{result}: {stage.beats} beats side by side")
            + f"  wire {bus(beat)} row = {packed(names)};\n"
            f"  reg {bus(beat * stage.beats)} frame;\n"
            "  always @(posedge clk) begin\n    if (in_valid) begin\n"
            f"      frame <= {{row, frame[{beat * stage.beats - 1}:{beat}]}};\n    end\n  end\n"
            f"  assign out_{identifier(result)} = frame[{total - 1}:0];\n"
        )
        self.valid_line({result: 1}, "in_valid && beat_last")
