"""Tensor x tensor as a Verilog module: frame buffer, dot products, partial sums.

Owns ``DotWrapper``. Imports the base class, datapaths and text pieces.
"""

from __future__ import annotations

import numpy as np

from gateformer.hw.dataflow.stages import DotStage
from gateformer.hw.naming import identifier
from gateformer.hw.rtl.datapath import Pins, datapath
from gateformer.hw.rtl.text import bits, bus, comment, counter_bits, instance, packed
from gateformer.hw.rtl.wrapper import Wrapper, shifted
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.types import Fixed


class DotWrapper(Wrapper[DotStage]):
    """A row of ``a`` against a gathered frame of ``b``."""

    def write(self) -> None:
        """A row of ``a`` against a gathered frame of ``b``."""
        stage = self.stage
        op = stage.node.op
        assert isinstance(op, MatMul)
        a, b = stage.node.inputs
        score = op.contract == "features"
        terms = self.graph.values[a].shape[2] if score else stage.group
        pins_a, pins_b = self.operand_pins(a, terms), self.operand_pins(b, terms)
        value = self.graph.values[stage.node.output]
        made = Fixed(self.kind(stage.result).signed, self.kind(stage.result).width, 0)
        for index, circuit in enumerate(stage.circuits):
            name = f"{self.name}_dot{index if len(stage.circuits) > 1 else ''}"
            out = self.graph.values[stage.node.output].fixed if stage.accumulate else made
            self.out.modules[name] = datapath(
                name, circuit, {"a": pins_a, "b": pins_b}, {"y": Pins(1, out)}
            )
            self.out.instances[name] = int((stage.pick == index).sum()) * stage.lanes
        sense = (
            "sum over features of a[t, h, d] b[s, h, d]"
            if score
            else ("sum over tokens of a[t, h, s] b[s, h, d]")
        )
        self.body.append(
            comment(f"{stage.node.output}[t, h, {'s' if score else 'd'}] = {sense}; {value.type}")
        )
        bases = [k.value for k in stage.keys]
        for base in bases:
            self.ports.append(f"input  wire {bus(self.beat_width(base))} key_{identifier(base)}")
        if stage.buffered:
            self.ports.insert(3, "input  wire key_valid")
            self._frame_buffer(stage, bases)
        else:
            for base in bases:
                name = identifier(base)
                self.body.append(
                    f"  wire {bus(self.beat_width(base))} frame_{name} = key_{name};\n"
                )
        rows = self._row_operands(stage, a)
        columns = []
        tokens = stage.group if stage.fold > 1 else self.facts.tokens(b)
        width_b = int(np.prod(self.facts.features(b)))
        for token in range(tokens):
            columns.append(self._token_of_frame(b, token, f"b_{token}", width_b))
        self._products(stage, rows, columns, score, terms)

    def _row_operands(self, stage: DotStage, a: str) -> list[list[str]]:
        prefix = "in_{value}"
        if stage.hold:
            for feed in stage.feeds:
                name = identifier(feed.value)
                width = self.beat_width(feed.value)
                self.body.append(
                    comment("the row stays for all key groups")
                    + f"  reg {bus(width)} held_{name};\n"
                    "  always @(posedge clk) begin\n"
                    f"    if (in_valid) begin\n      held_{name} <= in_{name};\n    end\n  end\n"
                )
            prefix = "held_{value}"
        rows = []
        for lane in range(stage.lanes):
            elements = int(np.prod(self.facts.features(a)))
            rows.append(self.lane_view(a, lane, prefix, f"a{lane}", elements))
        return rows

    def _token_of_frame(self, b: str, token: int, label: str, wanted: int) -> list[str]:
        return self.lane_view(b, token, "frame_{value}", label, wanted)

    def _frame_buffer(self, stage: DotStage, bases: list[str]) -> None:
        """Shadow registers fill while the active frame is read; rotation brings key groups."""
        facts, b = self.facts, stage.node.inputs[1]
        beats, lanes, tokens = facts.beats(b), facts.lanes(b), facts.tokens(b)
        slots = stage.group * stage.fold if stage.fold > 1 else tokens
        if stage.by_trigger:
            self.ports.insert(4, "input  wire swap")
            self.out.swap = True
        elif beats > 1:
            self.counter("beat_of_key", beats, "key_valid")
            self.body.append("  wire swap = key_valid && beat_of_key_last;\n")
        else:
            self.body.append("  wire swap = key_valid;\n")
        if stage.fold > 1:
            self._turn(stage)
        for base in bases:
            name = identifier(base)
            token_bits = self.elements(base) * self.kind(base).width
            beat_bits = token_bits * lanes
            kept = beats if stage.by_trigger else beats - 1
            frame = slots * token_bits
            text = comment("keys and values: shadow fills while the active frame is read")
            if kept:
                text += f"  reg {bus(kept * beat_bits)} shadow_{name};\n"
            text += f"  reg {bus(frame)} frame_{name};\n"
            whole = (
                f"shadow_{name}"
                if stage.by_trigger
                else (f"{{key_{name}, shadow_{name}}}" if kept else f"key_{name}")
            )
            total = (kept + (not stage.by_trigger)) * beat_bits
            text += f"  wire {bus(total)} whole_{name} = {whole};\n"
            pad = frame - tokens * token_bits
            load = f"whole_{name}[{tokens * token_bits - 1}:0]"
            if pad:
                load = f"{{{pad}'d0, {load}}}"
            text += "  always @(posedge clk) begin\n"
            if kept == 1:
                text += f"    if (key_valid) begin\n      shadow_{name} <= key_{name};\n    end\n"
            elif kept > 1:
                text += (
                    "    if (key_valid) begin\n"
                    f"      shadow_{name} <= {{key_{name}, "
                    f"shadow_{name}[{kept * beat_bits - 1}:{beat_bits}]}};\n    end\n"
                )
            text += f"    if (swap) begin\n      frame_{name} <= {load};\n"
            if stage.fold > 1:
                turn = stage.group * token_bits
                text += (
                    "    end else if (turn) begin\n"
                    f"      frame_{name} <= {{frame_{name}[{turn - 1}:0], "
                    f"frame_{name}[{frame - 1}:{turn}]}};\n"
                )
            text += "    end\n  end\n"
            self.body.append(text)

    def _turn(self, stage: DotStage) -> None:
        """When the next key group comes to the front."""
        if not stage.hold:
            self.body.append("  wire turn = in_valid;\n")
            return
        size = counter_bits(stage.fold)
        self.body.append(
            f"  reg {bus(size)} group;\n  reg turn;\n"
            "  always @(posedge clk) begin\n"
            f"    if (rst) begin\n      turn <= 1'b0;\n      group <= {size}'d0;\n"
            f"    end else if (in_valid) begin\n      turn <= 1'b1;\n      group <= {size}'d0;\n"
            f"    end else if (group == {size}'d{stage.fold - 1}) begin\n      turn <= 1'b0;\n"
            f"    end else begin\n      group <= group + 1'b1;\n    end\n  end\n"
        )

    def _products(
        self, stage: DotStage, rows: list[list[str]], columns: list[list[str]], score: bool,
        terms: int,
    ) -> None:  # fmt: skip
        heads, width = self.graph.values[stage.node.output].shape[1:]
        count = stage.group if score else width
        shared = self.graph.values[stage.node.inputs[1]].shape[1] == 1
        depth = self.graph.values[stage.node.inputs[1]].shape[2]
        result = stage.result
        out_bits = (
            self.graph.values[stage.node.output] if stage.accumulate else self.graph.values[result]
        ).fixed.width
        total = stage.lanes * heads * count * out_bits
        self.body.append(f"  wire {bus(total)} products;\n")
        for lane in range(stage.lanes):
            for h in range(heads):
                other = 0 if shared else h
                row = rows[lane][h * terms : (h + 1) * terms]
                wide = bus(self._width(stage, 0) * terms)
                self.body.append(f"  wire {wide} row_{lane}_{h} = {packed(row)};\n")
                for j in range(count):
                    if score:
                        column = columns[j][other * depth : (other + 1) * depth]
                    else:
                        column = [columns[s][other * depth + j] for s in range(terms)]
                    label = f"column_{other}_{j}"
                    if lane == 0 and (h == 0 or not shared):
                        wide = bus(self._width(stage, 1) * terms)
                        self.body.append(f"  wire {wide} {label} = {packed(column)};\n")
                    which = int(stage.pick[h, j])
                    kind = f"{self.name}_dot{which if len(stage.circuits) > 1 else ''}"
                    index = (lane * heads + h) * count + j
                    self.body.append(
                        instance(
                            kind,
                            f"dot_{lane}_{h}_{j}",
                            {},
                            {
                                "clk": "clk",
                                "a": f"row_{lane}_{h}",
                                "b": label,
                                "out_y": bits("products", index, out_bits),
                            },
                        )
                    )
        latency = max(c.latencies["y"] for c in stage.circuits)
        name = identifier(result)
        if stage.accumulate:
            self._sum_groups(stage, latency, out_bits, stage.lanes * heads * count)
        elif stage.hold:
            self.body.append(f"  assign out_{name} = products;\n")
            self.valid_line({result: latency}, "turn")
        else:
            self.body.append(f"  assign out_{name} = products;\n")
            self.valid_line({result: latency})

    def _width(self, stage: DotStage, side: int) -> int:
        return self.operand_pins(stage.node.inputs[side], 1).width

    def _sum_groups(self, stage: DotStage, latency: int, width: int, count: int) -> None:
        result = stage.result
        name = identifier(result)
        self.counter("group_in", stage.fold, "in_valid")
        depth = latency
        first = "in_valid && group_in == 0"
        self.body.append(
            comment("partial sums over the key groups")
            + f"  reg {bus(depth)} active_reg;\n  reg {bus(depth)} first_reg;\n"
            f"  reg {bus(depth)} last_reg;\n"
            "  always @(posedge clk) begin\n"
            f"    if (rst) begin\n      active_reg <= {depth}'d0;\n      last_reg <= {depth}'d0;\n"
            "    end else begin\n"
            f"      active_reg <= {shifted('active_reg', depth, 'in_valid')};\n"
            f"      last_reg <= {shifted('last_reg', depth, 'in_valid && group_in_last')};\n"
            "    end\n"
            f"    first_reg <= {shifted('first_reg', depth, first)};\n  end\n"
        )
        regs, steps, parts = [], [], []
        for index in range(count):
            regs.append(f"  reg signed {bus(width)} sum_{index};")
            source = f"$signed({bits('products', index, width)})"
            if not self.graph.values[result].fixed.signed:
                source = bits("products", index, width)
            steps.append(
                f"      sum_{index} <= first_reg[{depth - 1}] ? {source} : sum_{index} + {source};"
            )
            parts.append(f"sum_{index}")
        joined_regs, joined_steps = "\n".join(regs), "\n".join(steps)
        self.body.append(
            f"{joined_regs}\n  always @(posedge clk) begin\n"
            f"    if (active_reg[{depth - 1}]) begin\n{joined_steps}\n    end\n  end\n"
            f"  assign out_{name} = {packed(parts)};\n"
        )
        self.valid_line({result: 1}, f"last_reg[{depth - 1}]")
