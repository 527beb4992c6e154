"""The same arithmetic for each token of a beat, as a Verilog module.

Owns ``LaneWrapper``. Imports the base class, datapaths and text pieces.
"""

from __future__ import annotations

from gateformer.hw.dataflow.stages import LaneStage, Rom
from gateformer.hw.naming import identifier
from gateformer.hw.rtl.datapath import Pins, datapath
from gateformer.hw.rtl.text import bits, bus, comment, counter_bits, instance
from gateformer.hw.rtl.wrapper import Wrapper


class LaneWrapper(Wrapper[LaneStage]):
    """The same datapath for each token of a beat."""

    def write(self) -> None:
        """The same datapath for each token of a beat."""
        stage = self.stage
        inner = f"{self.name}_lane"
        inputs = {}
        for feed in stage.feeds:
            lanes = self.facts.lanes(feed.value) if stage.whole else 1
            inputs[feed.value] = Pins(self.elements(feed.value) * lanes, self.kind(feed.value))
        for rom in stage.roms:
            inputs[rom.name] = Pins(rom.entries.shape[2], self.kind(rom.name))
        outputs = {v: Pins(self.elements(v), self.kind(v)) for v in stage.outputs}
        self.out.modules[inner] = datapath(inner, stage.circuit, inputs, outputs)
        self.out.instances[inner] = stage.lanes
        record = next(s for s in self.plan.design.stages if s.name in stage.outputs)
        self.body.append(comment(record.formula))
        self._roms(stage)
        self.valid_line({v: stage.circuit.latencies[v] for v in stage.outputs})
        for lane in range(stage.lanes):
            wires = {"clk": "clk"}
            for value, pins in inputs.items():
                port = identifier(value)
                is_rom = value in {r.name for r in stage.roms}
                source = f"{port}_row" if is_rom else f"in_{port}"
                whole = stage.lanes == 1
                wires[port] = source if whole else bits(source, lane, pins.width)
            for value, pins in outputs.items():
                port = f"out_{identifier(value)}"
                wires[port] = port if stage.lanes == 1 else bits(port, lane, pins.width)
            self.body.append(instance(inner, f"lane_{lane}", {}, wires))

    def _roms(self, stage: LaneStage) -> None:
        counts = {len(r.entries) for r in stage.roms}
        for count in counts:
            self.counter(f"step_{count}", count, "in_valid")
        for rom in stage.roms:
            self._rom(rom)

    def _rom(self, rom: Rom) -> None:
        width, count = self.kind(rom.name).width, len(rom.entries)
        name = identifier(rom.name)
        rows = [entry.reshape(-1) for entry in rom.entries]
        self.rom(f"rom_{name}", rows, width, counter_bits(count))
        total = len(rows[0]) * width
        self.body.append(f"  wire {bus(total)} {name}_row = rom_{name}(step_{count});\n")
