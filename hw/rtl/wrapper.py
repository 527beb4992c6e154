"""What all stage modules share: ports, valid bits, counters, ROMs and the wiring of operands.

Owns ``StageText`` and the base class ``Wrapper``. Imports the plan and text pieces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from gateformer.hw.dataflow.lanes import Nodes
from gateformer.hw.dataflow.plan import Plan
from gateformer.hw.dataflow.stages import HwStage
from gateformer.hw.naming import identifier
from gateformer.hw.rtl.datapath import Pins
from gateformer.hw.rtl.text import bits, bus, comment, counter_bits, literal, module
from gateformer.quant.errors import ScheduleError
from gateformer.quant.ops.cast import Constant
from gateformer.quant.types import Fixed, IntArray

AnyStage = TypeVar("AnyStage", bound=HwStage)


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


class Wrapper(ABC, Generic[AnyStage]):
    """Writes the module of one stage; a subclass adds what is inside.

    Parameters
    ----------
    plan : Plan
        The schedule.
    stage : HwStage
        The stage.
    """

    def __init__(self, plan: Plan, stage: AnyStage) -> None:
        self.plan, self.stage = plan, stage
        self.graph, self.facts = plan.graph, plan.facts
        self.name = f"gf_{plan.design.name}_{stage.name}"
        self.out = StageText(self.name)
        self.body: list[str] = []
        self.ports = ["input  wire clk", "input  wire rst", "input  wire in_valid"]

    @abstractmethod
    def write(self) -> None:
        """Append the stage's inside to the body, its datapaths to the modules."""

    def text(self) -> StageText:
        """Return the module: input ports, inside, output ports."""
        for feed in self.stage.feeds:
            wide = bus(self.beat_width(feed.value))
            self.ports.append(f"input  wire {wide} in_{identifier(feed.value)}")
        self.write()
        for value in self.stage.outputs:
            self.ports.append(f"output wire out_{identifier(value)}_valid")
            self.ports.append(f"output wire {bus(self.beat_width(value))} out_{identifier(value)}")
        self.out.modules[self.name] = module(self.name, self.ports, "\n".join(self.body))
        return self.out

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

    def lane_view(self, value: str, lane: int, prefix: str, label: str, wanted: int) -> list[str]:
        """Elements of one lane: slices are taken from a wire per base and lane."""
        for base in self.facts.bases(value):
            width = self.elements(base) * self.kind(base).width
            whole = prefix.format(value=identifier(base))
            self.body.append(
                f"  wire {bus(width)} {label}_{identifier(base)} = {bits(whole, lane, width)};\n"
            )
        return self.view(value, f"{label}_{{value}}", label, wanted)


def shifted(name: str, depth: int, source: str) -> str:
    """The next value of a shift register that ``source`` enters."""
    return f"{{{name}[{depth - 2}:0], {source}}}" if depth > 1 else source
