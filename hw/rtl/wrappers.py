"""Stage modules: valid bits, counters, ROMs, frame buffers and accumulators around datapaths.

Owns the text of the five stage kinds. Imports the plan's stages, datapaths and text pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gateformer.hw.dataflow.lanes import Nodes
from gateformer.hw.dataflow.plan import Plan
from gateformer.hw.dataflow.stages import (
    AccumulateStage,
    DotStage,
    GatherStage,
    HwStage,
    LaneStage,
    MacStage,
    Rom,
)
from gateformer.hw.naming import identifier
from gateformer.hw.rtl.datapath import Pins, datapath
from gateformer.hw.rtl.text import (
    bits,
    bus,
    comment,
    counter_bits,
    instance,
    literal,
    module,
    packed,
)
from gateformer.quant.errors import ScheduleError
from gateformer.quant.ops.cast import Constant
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import Fixed, IntArray


@dataclass(slots=True)
class StageText:
    """A stage's Verilog.

    Attributes
    ----------
    name : str
        Module name.
    modules : dict of str to str
        Module texts by name: the stage's own and its datapaths.
    instances : dict of str to int
        Copies of each datapath module in one stage.
    swap : bool
        Whether it takes the frame trigger as port ``swap``.
    """

    name: str
    modules: dict[str, str] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)
    swap: bool = False


def stage_text(plan: Plan, stage: HwStage) -> StageText:
    """Write a stage's modules."""
    return _Wrapper(plan, stage).text()


class _Wrapper:
    def __init__(self, plan: Plan, stage: HwStage) -> None:
        self.plan, self.stage = plan, stage
        self.graph, self.facts = plan.graph, plan.facts
        self.name = f"gf_{plan.design.name}_{stage.name}"
        self.out = StageText(self.name)
        self.body: list[str] = []
        self.ports = ["input  wire clk", "input  wire rst", "input  wire in_valid"]

    def text(self) -> StageText:
        """Dispatch on the stage's kind."""
        stage = self.stage
        for feed in stage.feeds:
            self.ports.append(
                f"input  wire {bus(self.beat_width(feed.value))} in_{identifier(feed.value)}"
            )
        if isinstance(stage, LaneStage):
            self.lane(stage)
        elif isinstance(stage, DotStage):
            self.dot(stage)
        elif isinstance(stage, MacStage):
            self.mac(stage)
        elif isinstance(stage, AccumulateStage):
            self.accumulate(stage)
        elif isinstance(stage, GatherStage):
            self.gather(stage)
        for value in stage.outputs:
            self.ports.append(f"output wire out_{identifier(value)}_valid")
            self.ports.append(f"output wire {bus(self.beat_width(value))} out_{identifier(value)}")
        self.out.modules[self.name] = module(self.name, self.ports, "\n".join(self.body))
        return self.out

    # Facts

    def elements(self, value: str) -> int:
        """Elements of one lane in one clock."""
        return int(np.prod(self.facts.features(value)))

    def kind(self, value: str) -> Fixed:
        """Element type."""
        return self.graph.values[value].fixed

    def beat_width(self, value: str) -> int:
        """Bits of a value's beat."""
        return self.elements(value) * self.facts.lanes(value) * self.kind(value).width

    def valid_line(self, taps: dict[str, int], source: str = "in_valid") -> None:
        """A shift register of the valid bit, tapped at each output's latency."""
        depth = max(taps.values())
        if depth == 0:
            names = "".join(f"  assign out_{identifier(v)}_valid = {source};\n" for v in taps)
            self.body.append(comment("no register: valid passes through") + names)
            return
        self.body.append(
            comment("valid travels beside the data") + f"  reg {bus(depth)} valid_reg;\n"
            "  always @(posedge clk) begin\n"
            f"    if (rst) begin\n      valid_reg <= {depth}'d0;\n    end else begin\n"
            + (
                f"      valid_reg <= {{valid_reg[{depth - 2}:0], {source}}};\n"
                if depth > 1
                else f"      valid_reg <= {source};\n"
            )
            + "    end\n  end\n"
            + "".join(
                f"  assign out_{identifier(value)}_valid = "
                f"{f'valid_reg[{latency - 1}]' if latency else source};\n"
                for value, latency in taps.items()
            )
        )

    def counter(self, name: str, count: int, step: str) -> None:
        """A counter modulo ``count``."""
        size = counter_bits(count)
        self.body.append(
            f"  reg {bus(size)} {name};\n"
            f"  wire {name}_last = {name} == {size}'d{count - 1};\n"
            "  always @(posedge clk) begin\n"
            f"    if (rst) begin\n      {name} <= {size}'d0;\n"
            f"    end else if ({step}) begin\n"
            f"      {name} <= {name}_last ? {size}'d0 : {name} + 1'b1;\n    end\n  end\n"
        )

    def rom(self, name: str, rows: Sequence[IntArray], width: int, size: int) -> None:
        """A function that maps a counter to packed integers."""
        total = max(len(rows[0]) * width, 1)
        lines = []
        for index, row in enumerate(rows):
            word = 0
            for position, value in enumerate(row):
                word |= (int(value) & ((1 << width) - 1)) << (position * width)
            lines.append(f"      {size}'d{index}: {name} = {total}'h{word:x};")
        joined = "\n".join(lines)
        self.body.append(
            f"  function {bus(total)} {name};\n    input {bus(size)} index;\n"
            f"    case (index)\n{joined}\n"
            f"      default: {name} = {total}'d0;\n    endcase\n  endfunction\n"
        )

    # Lanes

    def lane(self, stage: LaneStage) -> None:
        """The same datapath for each token of a beat."""
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

    # Views: how a MatMul's operand is wired from streams and constants

    def view(
        self, value: str, lane_bus: str, prefix: str, wanted: int, whole: bool = False
    ) -> list[str]:
        """Declare one token's (or, ``whole``, all tokens') elements of an operand.

        ``lane_bus`` formats the bus slice that holds one base value's token:
        ``{value}`` is its identifier. Returns the elements' names.
        """
        refs: list[tuple[str, int, int]] = []

        def leaf(name: str) -> Nodes:
            shape = self.graph.values[name].shape if whole else self.facts.features(name)
            if self.facts.kinds.get(name) == "constant":
                op = self.facts.producers[name].op
                assert isinstance(op, Constant)
                if op.raw.shape[0] != 1:
                    raise ScheduleError(
                        "E310",
                        "no hardware for a per-token constant as an operand of MatMul",
                        layer=self.graph.values[value].layer,
                        fix="add it before a Cast",
                    )
                nodes = np.empty(op.raw.shape[1:], np.int64)
                for index in np.ndindex(nodes.shape):
                    refs.append(("", int(op.raw[0][index]), 0))
                    nodes[index] = len(refs) - 1
                return nodes
            nodes = np.empty(shape, np.int64)
            for count, index in enumerate(np.ndindex(shape)):
                refs.append((name, count, 0))
                nodes[index] = len(refs) - 1
            return nodes

        def shift(node: int, by: int) -> int:
            name, index, before = refs[node]
            refs.append((name, index, before + by))
            return len(refs) - 1

        nodes = self.facts.wire(value, leaf, whole, shift).reshape(-1)
        kind = self.kind(value)
        width = kind.width + (not kind.signed)
        names, rows = [], []
        for index, node in enumerate(nodes[:wanted]):
            name, element, by = refs[int(node)]
            if not name:
                text = literal(element << by)
            else:
                base = self.kind(name)
                part = bits(lane_bus.format(value=identifier(name)), element, base.width)
                text = f"$signed({part})" if base.signed else f"$signed({{1'b0, {part}}})"
                text += f" <<< {by}" if by else ""
            names.append(f"{prefix}_{index}")
            rows.append(f"  wire signed {bus(width)} {prefix}_{index} = {text};")
        self.body.append("\n".join(rows) + "\n")
        return names

    def operand_pins(self, value: str, count: int) -> Pins:
        """Pins of a dot product's operand: signed, one bit wider than an unsigned type."""
        kind = self.kind(value)
        return Pins(count, Fixed(True, kind.width + (not kind.signed), kind.frac))

    # Tensor x tensor

    def dot(self, stage: DotStage) -> None:
        """A row of ``a`` against a gathered frame of ``b``."""
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
            rows.append(self._lane_view(a, lane, prefix, f"a{lane}", elements))
        return rows

    def _lane_view(self, value: str, lane: int, prefix: str, label: str, wanted: int) -> list[str]:
        """Elements of one lane: slices are taken from a wire per base and lane."""
        for base in self.facts.bases(value):
            width = self.elements(base) * self.kind(base).width
            whole = prefix.format(value=identifier(base))
            self.body.append(
                f"  wire {bus(width)} {label}_{identifier(base)} = {bits(whole, lane, width)};\n"
            )
        return self.view(value, f"{label}_{{value}}", label, wanted)

    def _token_of_frame(self, b: str, token: int, label: str, wanted: int) -> list[str]:
        return self._lane_view(b, token, "frame_{value}", label, wanted)

    def _frame_buffer(self, stage: DotStage, bases: list[str]) -> None:
        """Shadow registers fill while the active frame is read; rotation brings key groups."""
        facts, b = self.facts, stage.node.inputs[1]
        beats, lanes, tokens = facts.beats(b), facts.lanes(b), facts.tokens(b)
        slots = stage.group * stage.fold if stage.fold > 1 else tokens
        if stage.by_trigger:
            self.ports.insert(4, "input  wire swap")
            self.out.swap = True
        elif beats > 1:
            self.counter("key_beat", beats, "key_valid")
            self.body.append("  wire swap = key_valid && key_beat_last;\n")
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
            f"      active_reg <= {_shifted('active_reg', depth, 'in_valid')};\n"
            f"      last_reg <= {_shifted('last_reg', depth, 'in_valid && group_in_last')};\n"
            "    end\n"
            f"    first_reg <= {_shifted('first_reg', depth, first)};\n  end\n"
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

    # Folded constant matrices

    def mac(self, stage: MacStage) -> None:
        """Multipliers, weight ROM and accumulators."""
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
            f"      active_reg <= {_shifted('active_reg', latency, step)};\n"
            f"      last_reg <= {_shifted('last_reg', latency, f'{step} && phase_last')};\n"
            "    end\n"
            f"    first_reg <= {_shifted('first_reg', latency, begins)};\n"
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

    # Reductions and gathering

    def accumulate(self, stage: AccumulateStage) -> None:
        """Sum or maximum over beats or key groups."""
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
        width = made.width + (not made.signed)
        before = stage.circuit.latencies["y"] if stage.circuit else 0
        flags = self._step_flags(before)
        rows = per if stage.tokens else per // stage.width
        every = []
        for lane in range(stage.lanes):
            names = self._masked(stage, lane, per, kind.width, neutral)
            results = self._tree(stage, lane, names, kind, made, rows)
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
        steps = "".join(f"      {n} <= {_shifted(n, before, s)};\n" for n, s in names.items())
        self.body.append(
            f"{text}  always @(posedge clk) begin\n    if (rst) begin\n{resets}"
            f"    end else begin\n{steps}    end\n  end\n"
        )
        active, first, last = (f"{n}[{before - 1}]" for n in names)
        return active, first, last

    def _masked(
        self, stage: AccumulateStage, lane: int, per: int, width: int, neutral: Sequence[int]
    ) -> list[str]:
        """Elements, those beyond the tensor replaced by what does not count."""
        source = f"in_{identifier(stage.node.inputs[0])}"
        names, rows = [], []
        inner = stage.width
        count = per * inner if stage.tokens else per
        for index in range(count):
            if stage.tokens:
                position, padded = index, index // per >= inner - stage.padding
            else:
                position, padded = lane * per + index, index % inner >= inner - stage.padding
            part = bits(source, position, width)
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

    def gather(self, stage: GatherStage) -> None:
        """All beats of a frame side by side."""
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


def _shifted(name: str, depth: int, source: str) -> str:
    return f"{{{name}[{depth - 2}:0], {source}}}" if depth > 1 else source
