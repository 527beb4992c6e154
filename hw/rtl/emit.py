"""The emitter: a plan becomes Verilog files.

Owns the bare core ``gf_<name>``: stages, delay lines, FIFOs and row callers, wired by name.
Imports the plan, the stage texts and the boundary.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateformer.hw.dataflow.design import Cost
from gateformer.hw.dataflow.plan import Plan
from gateformer.hw.dataflow.stages import DotStage, Feed, HwStage
from gateformer.hw.naming import identifier
from gateformer.hw.rtl.boundary import boundary, library
from gateformer.hw.rtl.stage_text import stage_text
from gateformer.hw.rtl.text import (
    bus,
    comment,
    counter_bits,
    header,
    instance,
    module,
)
from gateformer.hw.rtl.wrapper import StageText

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
        Modules right below the core, stages or chains of them -> their names.
    costs : dict of str to Cost
        Predicted resources by the same modules.
    """

    files: dict[str, str]
    core: str
    top: str
    taps: dict[str, Tap]
    stages: dict[str, str]
    costs: dict[str, Cost]


def emit(plan: Plan) -> Rtl:
    """Write all Verilog of a plan: one file a stage or chain, the core, the boundary, the library.

    Stages that hand over logic without a register between them form a *chain*, a module of its
    own, so that every module that is synthesized by itself stands between registers.
    """
    core = _Core(plan)
    name = f"gf_{plan.design.name}"
    files = {}
    for text in core.texts.values():
        files[f"{text.name}.v"] = header(plan.graph.name, []) + "\n".join(text.modules.values())
    for chain in core.chains:
        if len(chain.stages) > 1:
            files[f"{chain.module}.v"] = header(plan.graph.name, []) + chain.text
    latency = plan.design.latency_cycles - 2
    about = f"bare core: latency {latency} clocks from the first in_valid to the last out_valid"
    files[f"{name}.v"] = header(plan.graph.name, [about]) + core.text(name)
    files |= library(CORE_LIBRARY) | boundary(plan.design)
    made = {s.name: s.cost for s in plan.design.stages}
    costs = {
        chain.module: sum((made[next(iter(s.outputs))] for s in chain.stages), Cost())
        for chain in core.chains
    }
    return Rtl(
        files, name, f"{name}_axis", core.taps(),
        {chain.module: chain.name for chain in core.chains}, costs,
    )  # fmt: skip


@dataclass(slots=True)
class _Chain:
    """Stages between two registers, and the module that holds them.

    Attributes
    ----------
    name, module : str
        Label and Verilog module.
    stages : list of HwStage
        In topological order.
    inner : set of str
        Wires that only its own stages use.
    text : str
        The module, where there are several stages.
    """

    name: str
    module: str
    stages: list[HwStage]
    inner: set[str] = field(default_factory=set)
    text: str = ""


Wires = dict[str, tuple[str, int]]
"""Port -> the wire it is joined to, and its width."""


@dataclass(slots=True)
class _Core:
    plan: Plan
    texts: dict[str, StageText] = field(default_factory=dict)
    chains: list[_Chain] = field(default_factory=list)
    wires: dict[str, Wires] = field(default_factory=dict)
    feeding: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for stage in self.plan.stages:
            text = stage_text(self.plan, stage)
            self.texts[stage.name] = text
            self.wires[stage.name], self.feeding[stage.name] = self._joined(stage, text)
        self.chains = self._chains()
        self._hide()

    def _chains(self) -> list[_Chain]:
        """Join stages that hand over logic without a register between."""
        home: dict[str, list[HwStage]] = {}
        maker = {v: s.name for s in self.plan.stages for v in s.outputs}
        for stage in self.plan.stages:
            group = [stage]
            home[stage.name] = group
            both = [*stage.feeds, *(stage.keys if isinstance(stage, DotStage) else [])]
            if isinstance(stage, DotStage) and stage.buffered:
                both = stage.feeds
            for feed in both:
                direct = not (feed.delay or feed.depth or feed.hold)
                if not direct or self.plan.streams[feed.value].late == 0:
                    continue
                other = home[maker[feed.value]]
                if other is not group:
                    other += group
                    for member in group:
                        home[member.name] = other
                    group = other
        order = {s.name: i for i, s in enumerate(self.plan.stages)}
        found = []
        for group in {id(g): g for g in home.values()}.values():
            group.sort(key=lambda s: order[s.name])
            name = group[0].name
            if len(group) > 1:
                name = f"{name}_to_{group[-1].name}"
            found.append(_Chain(name, f"gf_{self.plan.design.name}_{name}", group))
        return found

    def _hide(self) -> None:
        """Find the wires that no one outside a chain reads, and write the chains' modules."""
        ends = " ".join(f"{n} {n}_valid" for n in map(identifier, self.plan.graph.outputs))
        shared = " ".join([self._rows(), self._delays(), *self.feeding.values(), ends])
        readers: dict[str, set[str]] = {}
        for word in set(re.findall(r"\w+", shared)):
            readers[word] = {""}
        for chain in self.chains:
            for stage in chain.stages:
                for port, (wire, _) in self.wires[stage.name].items():
                    if not port.startswith("out_"):
                        readers.setdefault(wire, set()).add(chain.name)
        for chain in self.chains:
            if len(chain.stages) == 1:
                continue
            made: dict[str, int] = {}
            taken: dict[str, int] = {}
            for stage in chain.stages:
                for port, (wire, width) in self.wires[stage.name].items():
                    (made if port.startswith("out_") else taken)[wire] = width
            chain.inner = {w for w in made if readers.get(w, set()) <= {chain.name}}
            ports = [f"input  wire {_range(w)}{n}" for n, w in taken.items() if n not in made] + [
                f"output wire {_range(w)}{n}" for n, w in made.items() if n not in chain.inner
            ]
            inside = [f"  wire {_range(made[n])}{n};\n" for n in made if n in chain.inner]
            inside += [self._instance(s) for s in chain.stages]
            chain.text = module(chain.module, ports, "".join(inside))

    def _instance(self, stage: HwStage) -> str:
        wires = {port: wire for port, (wire, _) in self.wires[stage.name].items()}
        about = comment(f"stage {stage.name}: beat 0 enters at clock {stage.start}")
        return about + instance(self.texts[stage.name].name, f"stage_{stage.name}", {}, wires)

    def _placed(self, chain: _Chain) -> str:
        """A chain, or its only stage, in the core."""
        feeding = "".join(self.feeding[s.name] for s in chain.stages)
        if len(chain.stages) == 1:
            return feeding + self._instance(chain.stages[0])
        names: dict[str, str] = {}
        for stage in chain.stages:
            for wire, _ in self.wires[stage.name].values():
                if wire not in chain.inner:
                    names[wire] = wire
        return feeding + instance(chain.module, f"chain_{chain.name}", {}, names)

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
            inside = next((c for c in self.chains if name in c.inner), None)
            path = f"chain_{inside.name}." if inside else ""
            flag = f"{name}_valid"
            held = next((c for c in self.chains if flag in c.inner), None)
            flag = (f"chain_{held.name}." if held else "") + flag
            elements = self.width(value) // lanes // kind.width
            folds = facts.folds.get(value, 1)
            found[value] = Tap(path + name, flag, lanes, elements, kind.width, kind.signed, folds)
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
        parts += [self._placed(chain) for chain in self.chains]
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
        inner = {w for chain in self.chains for w in chain.inner}
        lines = []
        for stage in self.plan.stages:
            for port, (wire, width) in self.wires[stage.name].items():
                if port.startswith("out_") and wire not in inner:
                    lines.append(f"  wire {_range(width)}{wire};")
        return "\n".join(lines) + "\n"

    def _rows(self) -> str:
        """Row callers: where input-paced streams wait for the frame."""
        text = ""
        for start, rows in sorted({k for s in self.plan.stages for k in self._calls(s)}):
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
        calls = {(stage.start - f.hold, facts.beats(f.value)) for f in stage.feeds if f.depth}
        if isinstance(stage, DotStage):
            calls |= {self._key_rows(stage, key) for key in stage.keys if key.depth}
        return calls

    def _key_rows(self, stage: DotStage, key: Feed) -> tuple[int, int]:
        """First clock and number of a key stream's beats behind its FIFO."""
        beats = self.plan.facts.beats(key.value)
        return stage.key_start - (beats - 1) * self.plan.design.beat_interval, beats

    def _delays(self) -> str:
        """Fixed delay lines, each continuing the next shorter one of the same stream."""
        wanted: dict[str, set[int]] = {}
        for stage in self.plan.stages:
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

    def _joined(self, stage: HwStage, text: StageText) -> tuple[Wires, str]:
        """Wires of a stage, and the FIFOs, hold registers and triggers that feed it."""
        wires: Wires = {"clk": ("clk", 1), "rst": ("rst", 1)}
        valid, data, feeding = self._feeds(stage)
        wires["in_valid"] = (valid, 1)
        if isinstance(stage, DotStage):
            for index, key in enumerate(stage.keys):
                name, its_valid = self._arrived(stage, key)
                if key.depth:
                    name = f"{stage.name}_key_{identifier(key.value)}"
                    its_valid, more = self._fifo(name, key, self._key_rows(stage, key))
                    feeding += more
                if index == 0 and stage.buffered:
                    wires["key_valid"] = (its_valid, 1)
                data[f"key_{identifier(key.value)}"] = (name, self.width(key.value))
            if text.swap:
                swap = f"{stage.name}_swap"
                feeding += f"  wire {swap};\n" + instance(
                    "gf_valid_delay", f"{swap}_delay", {"Depth": stage.key_start},
                    {"clk": "clk", "rst": "rst", "in": "frame_last", "out": swap},
                )  # fmt: skip
                wires["swap"] = (swap, 1)
        wires |= data
        for value in stage.outputs:
            label = identifier(value)
            wires[f"out_{label}_valid"] = (f"{label}_valid", 1)
            wires[f"out_{label}"] = (label, self.width(value))
        return wires, feeding

    def _feeds(self, stage: HwStage) -> tuple[str, Wires, str]:
        """``(valid, data wires, text)`` of the streams that enter a stage."""
        text, valid = "", ""
        data: Wires = {}
        for feed in stage.feeds:
            label = identifier(feed.value)
            name, its_valid = self._arrived(stage, feed)
            if feed.depth:
                rows = (stage.start - feed.hold, self.plan.facts.beats(feed.value))
                name = f"{stage.name}_{label}"
                its_valid, more = self._fifo(name, feed, rows)
                text += more
            if feed.hold:
                held, width = f"{stage.name}_{label}_held", self.width(feed.value)
                text += f"  wire {bus(width)} {held};\n" + instance(
                    "gf_hold", f"{held}_register", {"Width": width},
                    {"clk": "clk", "load": its_valid, "in": name, "out": held},
                )  # fmt: skip
                name = held
            else:
                valid = valid or its_valid
            data[f"in_{label}"] = (name, self.width(feed.value))
        return valid, data, text

    def _fifo(self, name: str, feed: Feed, rows: tuple[int, int]) -> tuple[str, str]:
        """``(valid, text)`` of the FIFO where a stream waits to be called row by row."""
        label, width = identifier(feed.value), self.width(feed.value)
        strobe = f"rows_{rows[1]}_at_{rows[0]}"
        text = f"  wire {bus(width)} {name};\n" + instance(
            "gf_skip_fifo", f"{name}_fifo", {"Width": width, "Depth": feed.depth},
            {
                "clk": "clk", "rst": "rst", "in_valid": f"{label}_valid", "in": label,
                "read": strobe, "out": name,
            },
        )  # fmt: skip
        return f"{strobe}_valid", text

    def _arrived(self, stage: HwStage, feed: Feed) -> tuple[str, str]:
        label = identifier(feed.value)
        name = f"{label}_d{feed.delay}" if feed.delay else label
        return name, f"{name}_valid"


def _range(width: int) -> str:
    """A vector range and a space; nothing for a single bit."""
    return f"{bus(width)} " if width > 1 else ""
