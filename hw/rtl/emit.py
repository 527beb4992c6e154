"""The emitter: a plan becomes Verilog files.

Owns the bare core ``gf_<name>``: stages, delay lines, FIFOs and row callers, wired by name.
Imports the plan, the stage texts and the boundary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateformer.hw.dataflow.design import Cost
from gateformer.hw.dataflow.plan import Plan
from gateformer.hw.dataflow.stages import DotStage, Feed, HwStage
from gateformer.hw.naming import identifier
from gateformer.hw.rtl.boundary import boundary, library
from gateformer.hw.rtl.text import (
    bus,
    comment,
    counter_bits,
    header,
    instance,
    module,
)
from gateformer.hw.rtl.wrappers import StageText, stage_text

CORE_LIBRARY = ("gf_delay.v", "gf_hold.v", "gf_rows.v", "gf_skip_fifo.v", "gf_valid_delay.v")
"""Library files that cores instantiate."""


@dataclass(frozen=True, slots=True)
class Tap:
    """Where a value can be watched in a simulation.

    Attributes
    ----------
    signal, valid : str
        Hierarchical names below the bare core.
    lanes, elements, width : int
        Tokens a beat, elements a token and clock, bits an element.
    signed : bool
        Whether elements are two's complement.
    folds : int
        Clocks over which a token's last axis is spread.
    """

    signal: str
    valid: str
    lanes: int
    elements: int
    width: int
    signed: bool
    folds: int


@dataclass(frozen=True, slots=True)
class Rtl:
    """Generated sources.

    Attributes
    ----------
    files : dict of str to str
        Verilog text by file name.
    core, top : str
        Module names of the bare core and of the AXI4-Stream top.
    taps : dict of str to Tap
        Observable values by graph name.
    stages : dict of str to str
        Stage module -> stage name.
    costs : dict of str to Cost
        Predicted resources by stage module.
    modules : dict of str to int
        Every distinct module with how often it is there, library modules apart.
    """

    files: dict[str, str]
    core: str
    top: str
    taps: dict[str, Tap]
    stages: dict[str, str]
    costs: dict[str, Cost]
    modules: dict[str, int]


def emit(plan: Plan) -> Rtl:
    """Write all Verilog of a plan: one file a stage, the core, the boundary, the library."""
    core = _Core(plan)
    files = {}
    for stage, text in core.texts:
        files[f"{text.name}.v"] = header(plan.graph.name, [f"stage {stage.name}"]) + "\n".join(
            text.modules.values()
        )
    name = f"gf_{plan.design.name}"
    files[f"{name}.v"] = header(
        plan.graph.name,
        [
            f"bare core: latency {plan.design.latency_cycles - 2} clocks from in_valid, "
            f"a frame every {plan.design.interval_cycles}"
        ],
    ) + core.text(name)
    files |= library(CORE_LIBRARY) | boundary(plan.design)
    made = {s.name: s.cost for s in plan.design.stages}
    costs = {text.name: made[next(iter(stage.outputs))] for stage, text in core.texts}
    return Rtl(
        files, name, f"{name}_axis", core.taps(),
        {text.name: stage.name for stage, text in core.texts}, costs,
        {name: 1, f"{name}_axis": 1}
        | {m: text.instances.get(m, 1) for _, text in core.texts for m in text.modules},
    )  # fmt: skip


@dataclass(slots=True)
class _Core:
    plan: Plan
    texts: list[tuple[HwStage, StageText]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.texts = [(s, stage_text(self.plan, s)) for s in self.plan.stages]

    def width(self, value: str) -> int:
        """Bits of a value's beat."""
        facts = self.plan.facts
        count = 1
        for size in facts.features(value):
            count *= size
        return count * facts.lanes(value) * self.plan.graph.values[value].fixed.width

    def taps(self) -> dict[str, Tap]:
        """Every stream of the core."""
        found = {}
        facts = self.plan.facts
        for value in self.plan.streams:
            kind = self.plan.graph.values[value].fixed
            name = identifier(value)
            lanes = facts.lanes(value)
            found[value] = Tap(
                name, f"{name}_valid", lanes, self.width(value) // lanes // kind.width,
                kind.width, kind.signed, facts.folds.get(value, 1),
            )  # fmt: skip
        return found

    def text(self, name: str) -> str:
        """The core module."""
        design, graph = self.plan.design, self.plan.graph
        ports = ["input  wire clk", "input  wire rst", "input  wire in_valid"]
        for value in graph.inputs:
            ports.append(f"input  wire {bus(self.width(value))} in_{identifier(value)}")
        for index, port in enumerate(design.outputs):
            label = identifier(port.value)
            ports.append(f"output wire {'out' if index == 0 else f'out_{label}'}_valid")
            ports.append(f"output wire {bus(port.bits)} out_{label}")
        parts = [self._inputs()]
        parts += [self._streams(), self._rows(), self._delays()]
        parts += [self._stage(stage, text) for stage, text in self.texts]
        for index, port in enumerate(design.outputs):
            label = identifier(port.value)
            valid = "out_valid" if index == 0 else f"out_{label}_valid"
            parts.append(f"  assign {valid} = {label}_valid;\n  assign out_{label} = {label};\n")
        return module(name, ports, "\n".join(p for p in parts if p))

    def _inputs(self) -> str:
        """Input streams; a value with fewer beats than the frame has slots ends early."""
        facts = self.plan.facts
        slots = facts.slots
        text = comment("slots of a frame, counted from its first beat")
        if slots > 1:
            size = counter_bits(slots)
            text += (
                f"  reg {bus(size)} slot;\n"
                f"  wire frame_last = in_valid && slot == {size}'d{slots - 1};\n"
                "  always @(posedge clk) begin\n"
                f"    if (rst) begin\n      slot <= {size}'d0;\n"
                "    end else if (in_valid) begin\n"
                f"      slot <= frame_last ? {size}'d0 : slot + 1'b1;\n    end\n  end\n"
            )
        else:
            text += "  wire frame_last = in_valid;\n"
        for value in self.plan.graph.inputs:
            label, beats = identifier(value), facts.beats(value)
            kind = self.plan.graph.values[value].fixed
            early = f" && slot < {counter_bits(slots)}'d{beats}" if beats < slots else ""
            text += comment(f"{value}: {kind}")
            text += f"  wire {label}_valid = in_valid{early};\n"
            text += f"  wire {bus(self.width(value))} {label} = in_{label};\n"
        return text

    def _streams(self) -> str:
        lines = []
        for stage in self.plan.stages:
            for value in stage.outputs:
                label = identifier(value)
                lines += [f"  wire {label}_valid;", f"  wire {bus(self.width(value))} {label};"]
        return "\n".join(lines) + "\n"

    def _rows(self) -> str:
        """Row callers: where input-paced streams wait for the frame."""
        text = ""
        for start, rows in sorted({k for s, _ in self.texts for k in self._calls(s)}):
            label = f"rows_{rows}_at_{start}"
            trigger = "frame_last"
            if start > 1:
                trigger = f"{label}_trigger"
                text += f"  wire {trigger};\n" + instance(
                    "gf_valid_delay", f"delay_{label}", {"Depth": start - 1},
                    {"clk": "clk", "rst": "rst", "in": "frame_last", "out": trigger},
                )  # fmt: skip
            text += f"  wire {label};\n" + instance(
                "gf_rows", f"call_{label}",
                {"Rows": rows, "Interval": self.plan.design.beat_interval},
                {"clk": "clk", "rst": "rst", "trigger": trigger, "strobe": label},
            )  # fmt: skip
            text += f"  wire {label}_valid;\n" + instance(
                "gf_valid_delay", f"valid_{label}", {"Depth": 1},
                {"clk": "clk", "rst": "rst", "in": label, "out": f"{label}_valid"},
            )  # fmt: skip
        return text

    def _calls(self, stage: HwStage) -> set[tuple[int, int]]:
        facts = self.plan.facts
        return {(stage.start - f.hold, facts.beats(f.value)) for f in stage.feeds if f.depth}

    def _delays(self) -> str:
        """Fixed delay lines, each continuing the next shorter one of the same stream."""
        wanted: dict[str, set[int]] = {}
        for stage, _ in self.texts:
            feeds = [*stage.feeds, *(stage.keys if isinstance(stage, DotStage) else [])]
            for feed in feeds:
                if feed.delay and not feed.depth:
                    wanted.setdefault(feed.value, set()).add(feed.delay)
        text = ""
        for value, delays in wanted.items():
            label, before = identifier(value), 0
            for delay in sorted(delays):
                source = label if not before else f"{label}_d{before}"
                name = f"{label}_d{delay}"
                text += f"  wire {bus(self.width(value))} {name};\n  wire {name}_valid;\n"
                text += instance(
                    "gf_delay", f"delay_{name}",
                    {"Width": self.width(value), "Depth": delay - before},
                    {"clk": "clk", "in": source, "out": name},
                )  # fmt: skip
                text += instance(
                    "gf_valid_delay", f"delay_{name}_valid", {"Depth": delay - before},
                    {"clk": "clk", "rst": "rst", "in": f"{source}_valid", "out": f"{name}_valid"},
                )  # fmt: skip
                before = delay
        return text

    def _stage(self, stage: HwStage, text: StageText) -> str:
        out = comment(f"stage {stage.name}: beat 0 enters at clock {stage.start}")
        wires = {"clk": "clk", "rst": "rst"}
        valid, data, extra = self._feeds(stage)
        out += extra
        wires["in_valid"] = valid
        if isinstance(stage, DotStage):
            more = ""
            for index, key in enumerate(stage.keys):
                name = identifier(key.value) + (f"_d{key.delay}" if key.delay else "")
                if index == 0 and stage.buffered:
                    wires["key_valid"] = f"{name}_valid"
                data[f"key_{identifier(key.value)}"] = name
            if text.swap:
                more = f"  wire {stage.name}_swap;\n" + instance(
                    "gf_valid_delay", f"{stage.name}_swap_delay", {"Depth": stage.key_start},
                    {"clk": "clk", "rst": "rst", "in": "frame_last", "out": f"{stage.name}_swap"},
                )  # fmt: skip
                wires["swap"] = f"{stage.name}_swap"
            out += more
        wires |= data
        for value in stage.outputs:
            label = identifier(value)
            wires[f"out_{label}_valid"] = f"{label}_valid"
            wires[f"out_{label}"] = label
        return out + instance(text.name, f"stage_{stage.name}", {}, wires)

    def _feeds(self, stage: HwStage) -> tuple[str, dict[str, str], str]:
        """``(valid, data wires, text)`` of the streams that enter a stage."""
        text, valid = "", ""
        data: dict[str, str] = {}
        for feed in stage.feeds:
            label = identifier(feed.value)
            name, its_valid = self._arrived(stage, feed)
            if feed.depth:
                rows = (stage.start - feed.hold, self.plan.facts.beats(feed.value))
                strobe = f"rows_{rows[1]}_at_{rows[0]}"
                name, its_valid = f"{stage.name}_{label}", f"{strobe}_valid"
                width = self.width(feed.value)
                text += f"  wire {bus(width)} {name};\n" + instance(
                    "gf_skip_fifo", f"{name}_fifo", {"Width": width, "Depth": feed.depth},
                    {
                        "clk": "clk", "rst": "rst", "in_valid": f"{label}_valid", "in": label,
                        "read": strobe, "out": name,
                    },
                )  # fmt: skip
            if feed.hold:
                held, width = f"{stage.name}_{label}_held", self.width(feed.value)
                text += f"  wire {bus(width)} {held};\n" + instance(
                    "gf_hold", f"{held}_register", {"Width": width},
                    {"clk": "clk", "load": its_valid, "in": name, "out": held},
                )  # fmt: skip
                name = held
            else:
                valid = valid or its_valid
            data[f"in_{label}"] = name
        return valid, data, text

    def _arrived(self, stage: HwStage, feed: Feed) -> tuple[str, str]:
        label = identifier(feed.value)
        name = f"{label}_d{feed.delay}" if feed.delay else label
        return name, f"{name}_valid"
