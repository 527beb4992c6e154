"""A folded constant matrix as a Verilog module: weight ROM, multipliers, accumulators.

Owns ``MacWrapper``. Imports the base class, datapaths and text pieces.
"""

from __future__ import annotations

from gateformer.hw.dataflow.stages import MacStage
from gateformer.hw.naming import identifier
from gateformer.hw.rtl.datapath import Pins, datapath
from gateformer.hw.rtl.text import bits, bus, comment, counter_bits, instance, literal, packed
from gateformer.hw.rtl.wrapper import Wrapper, shifted
from gateformer.quant.types import Fixed, IntArray


class MacWrapper(Wrapper[MacStage]):
    """Multipliers, weight ROM and accumulators."""

    def write(self) -> None:
        """Multipliers, weight ROM and accumulators."""
        stage = self.stage
        parts, facts = stage.parts, self.facts
        phases, outputs, chunk = parts.weights.shape
        lanes = 1 if parts.beats > 1 else facts.lanes(stage.result)
        source = parts.source
        x_kind = self.kind(source)
        pins_x = Pins(chunk, Fixed(True, x_kind.width + (not x_kind.signed), 0))
        low, high = int(parts.weights.min()), int(parts.weights.max())
        w_kind = Fixed.for_range(min(low, -1), max(high, 0), 0)
        pins_w = Pins(chunk, w_kind)
        dot_name = f"{self.name}_dot"
        y_node = int(parts.dot.outputs["y"][0])
        y_kind = Fixed(True, parts.dot.net.operations[y_node].width, 0)
        self.out.modules[dot_name] = datapath(
            dot_name, parts.dot, {"x": pins_x, "w": pins_w}, {"y": Pins(1, y_kind)}
        )
        self.out.instances[dot_name] = outputs * lanes
        acc_kind = self.graph.values[stage.node.output].fixed
        self.body.append(
            comment(
                f"{stage.node.output} = W x + b, {phases} clocks of {chunk} features; {acc_kind}"
            )
        )
        per_lane = self.elements(source) * (facts.lanes(source) if parts.beats > 1 else 1)
        self._weights(parts.weights, w_kind.width, parts.reuse)
        step = self._operands(stage, lanes, per_lane, pins_x)
        latency = parts.dot.latencies["y"]
        begins = f"phase == {counter_bits(phases)}'d0"
        self.body.append(
            comment("first and last clock of a sum, beside the products")
            + f"  reg {bus(latency)} active_reg;\n  reg {bus(latency)} first_reg;\n"
            f"  reg {bus(latency)} last_reg;\n"
            "  always @(posedge clk) begin\n"
            f"    if (rst) begin\n      active_reg <= {latency}'d0;\n"
            f"      last_reg <= {latency}'d0;\n    end else begin\n"
            f"      active_reg <= {shifted('active_reg', latency, step)};\n"
            f"      last_reg <= {shifted('last_reg', latency, f'{step} && phase_last')};\n"
            "    end\n"
            f"    first_reg <= {shifted('first_reg', latency, begins)};\n"
            "  end\n"
        )
        self._accumulators(stage, lanes, outputs, latency, acc_kind, y_kind, w_kind)

    def _weights(self, weights: IntArray, width: int, reuse: int) -> None:
        phases = len(weights)
        size = counter_bits(phases)
        self.rom("weight_rom", [row.reshape(-1) for row in weights], width, size)
        total = weights.shape[1] * weights.shape[2] * width
        step = "in_valid" if reuse == 1 else "run"
        self.counter("phase", phases, step)
        self.body.append(
            comment("the weights of the coming clock are read ahead")
            + f"  wire {bus(size)} phase_next = {step} ? "
            f"(phase_last ? {size}'d0 : phase + 1'b1) : phase;\n"
            f"  reg {bus(total)} weights;\n"
            "  always @(posedge clk) begin\n"
            f"    weights <= weight_rom(rst ? {size}'d0 : phase_next);\n  end\n"
        )

    def _operands(self, stage: MacStage, lanes: int, per_lane: int, pins: Pins) -> str:
        parts = stage.parts
        source = parts.source
        kind = self.kind(source)
        chunk, reuse = parts.chunk, parts.reuse
        width = per_lane * kind.width
        padded = chunk * reuse * kind.width
        for lane in range(lanes):
            for base in self.facts.bases(source):
                alone = parts.beats == 1 and not self._whole(stage)
                lane_bits = (
                    self.elements(base) * self.kind(base).width if alone else self.beat_width(base)
                )
                self.body.append(
                    f"  wire {bus(lane_bits)} lane{lane}_{identifier(base)} = "
                    f"{bits(f'in_{identifier(base)}', lane, lane_bits)};\n"
                )
            names = self._mac_view(stage, lane, per_lane)
            self.body.append(f"  wire {bus(width)} beat_{lane} = {packed(names)};\n")
            if reuse > 1:
                pad = padded - width
                whole = f"{{{pad}'d0, beat_{lane}}}" if pad else f"beat_{lane}"
                self.body.append(
                    f"  reg {bus(padded)} rest_{lane};\n"
                    "  always @(posedge clk) begin\n"
                    f"    rest_{lane} <= in_valid ? {whole} : "
                    f"rest_{lane} >> {chunk * kind.width};\n  end\n"
                )
            front = f"rest_{lane}" if reuse > 1 else f"beat_{lane}"
            parts_text = []
            for c in range(chunk):
                part = bits(front, c, kind.width)
                parts_text.append(part if kind.signed else f"{{1'b0, {part}}}")
            self.body.append(f"  wire {bus(pins.width)} x_{lane} = {packed(parts_text)};\n")
        if reuse == 1:
            return "in_valid"
        size = counter_bits(reuse)
        self.body.append(
            f"  reg {bus(size)} left;\n  reg run;\n"
            "  always @(posedge clk) begin\n"
            f"    if (rst) begin\n      run <= 1'b0;\n      left <= {size}'d0;\n"
            f"    end else if (in_valid) begin\n      run <= 1'b1;\n"
            f"      left <= {size}'d{reuse - 1};\n"
            f"    end else if (left == {size}'d0) begin\n      run <= 1'b0;\n"
            "    end else begin\n      left <= left - 1'b1;\n    end\n  end\n"
        )
        return "run"

    def _whole(self, stage: MacStage) -> bool:
        """Whether a vector is taken from all tokens of a single beat."""
        source = stage.parts.source
        return self.facts.is_vector(source) and any(
            not self.facts.is_vector(base) for base in self.facts.bases(source)
        )

    def _mac_view(self, stage: MacStage, lane: int, per_lane: int) -> list[str]:
        """Elements of one beat (all its tokens where tokens are flattened), at their own width."""
        source, parts = stage.parts.source, stage.parts
        kind = self.kind(source)
        tokens = self.facts.lanes(source) if parts.beats > 1 else 1
        if self._whole(stage):
            every = self.view(source, f"lane{lane}_{{value}}", f"x{lane}_0", per_lane, whole=True)
            return [f"{name}[{kind.width - 1}:0]" for name in every]
        names = []
        for token in range(tokens):
            label = f"x{lane}_{token}"
            for base in self.facts.bases(source):
                width = self.elements(base) * self.kind(base).width
                self.body.append(
                    f"  wire {bus(width)} {label}_{identifier(base)} = "
                    f"{bits(f'lane{lane}_{identifier(base)}', token, width)};\n"
                )
            elements = per_lane // tokens
            for name in self.view(source, f"{label}_{{value}}", label, elements):
                names.append(f"{name}[{kind.width - 1}:0]")
        return names

    def _accumulators(
        self, stage: MacStage, lanes: int, outputs: int, latency: int, acc: Fixed, y: Fixed,
        w_kind: Fixed,
    ) -> None:  # fmt: skip
        parts = stage.parts
        chunk = parts.chunk
        width = acc.width + (not acc.signed)
        for lane in range(lanes):
            regs, steps, sums = [], [], []
            for o in range(outputs):
                tag = f"{lane}_{o}"
                self.body.append(f"  wire signed {bus(y.width)} y_{tag};\n")
                self.body.append(
                    instance(
                        f"{self.name}_dot",
                        f"dot_{tag}",
                        {},
                        {
                            "clk": "clk",
                            "x": f"x_{lane}",
                            "w": bits("weights", o, chunk * w_kind.width),
                            "out_y": f"y_{tag}",
                        },
                    )
                )
                regs.append(f"  reg signed {bus(width)} sum_{tag};")
                start = f"(first_reg[{latency - 1}] ? {literal(int(parts.bias[o]))} : sum_{tag})"
                steps.append(f"      sum_{tag} <= {start} + y_{tag};")
                sums.append(f"sum_{tag}[{acc.width - 1}:0]")
            joined_regs, joined_steps = "\n".join(regs), "\n".join(steps)
            self.body.append(
                f"{joined_regs}\n  always @(posedge clk) begin\n"
                f"    if (active_reg[{latency - 1}]) begin\n{joined_steps}\n    end\n  end\n"
                f"  wire {bus(outputs * acc.width)} sums_{lane} = {packed(sums)};\n"
            )
        name = identifier(stage.result)
        done = f"last_reg[{latency - 1}]"
        if parts.post is None:
            joined = packed([f"sums_{lane}" for lane in range(lanes)])
            self.body.append(f"  assign out_{name} = {joined};\n")
            self.valid_line({stage.result: 1}, done)
            return
        post = f"{self.name}_post"
        kind = self.kind(stage.result)
        self.out.modules[post] = datapath(
            post, parts.post, {"x": Pins(outputs, acc)}, {"y": Pins(outputs, kind)}
        )
        self.out.instances[post] = lanes
        for lane in range(lanes):
            wires = {
                "clk": "clk",
                "x": f"sums_{lane}",
                "out_y": bits(f"out_{name}", lane, outputs * kind.width),
            }
            self.body.append(instance(post, f"post_{lane}", {}, wires))
        self.valid_line({stage.result: 1 + parts.post.latencies["y"]}, done)
