"""The schedule: every stage, and the clock at which each of its beats enters and leaves.

Owns ``plan`` and ``Plan``. Imports facts, clusters and stages.

Clocks come in two paces. An *input-paced* stream follows the input's beats, gaps included:
beat i at ``in[i] + offset``. Where a whole frame is gathered (keys and values of attention,
a sum over tokens), the result is *frame-paced*: beat i at ``last + offset + i R``, ``last``
being the clock of the frame's last input beat and R the beat interval. All frame-paced streams
keep fixed distances, so plain delay lines align them; only where an input-paced stream meets a
frame-paced one is there a FIFO. Frames of a single slot know only the second pace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gateformer.hw.dataflow.circuits import (
    accumulate_circuit,
    circuit_of_cluster,
    dot_circuits,
    mac_parts,
    mac_reuse,
    mac_source,
    ports,
)
from gateformer.hw.dataflow.classify import Facts, classify
from gateformer.hw.dataflow.clusters import Cluster, clusters, needs
from gateformer.hw.dataflow.design import Design, Port
from gateformer.hw.dataflow.joint import merged
from gateformer.hw.dataflow.lanes import Nodes
from gateformer.hw.dataflow.records import Pace, records
from gateformer.hw.dataflow.stages import (
    AccumulateStage,
    Circuit,
    DotStage,
    Feed,
    GatherStage,
    HwStage,
    LaneStage,
    MacStage,
    Rom,
)
from gateformer.hw.naming import check_names, identifier, plain
from gateformer.hw.netlist import costs
from gateformer.hw.netlist.net import Net
from gateformer.hw.settings import Settings
from gateformer.quant.errors import ScheduleError
from gateformer.quant.graph import Graph, Node
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.reduce import Reduce

Item = Node | Cluster


@dataclass(frozen=True, slots=True)
class Stream:
    """When a base value's beats are on its wires.

    Attributes
    ----------
    paced : {"input", "frame"}
        What its clocks follow.
    offset : int
        Clock of beat 0.
    late : float
        ns of logic before its wires; a delay line takes them away.
    """

    paced: Pace
    offset: int
    late: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A typed graph with its stages and clocks.

    Attributes
    ----------
    graph : Graph
        What is computed.
    facts : Facts
        Beats, folding and kinds.
    stages : tuple of HwStage
        In topological order.
    streams : dict of str to Stream
        Clocks of every base value.
    design : Design
        The outside view.
    """

    graph: Graph
    facts: Facts
    stages: tuple[HwStage, ...]
    streams: dict[str, Stream]
    design: Design


def factors(graph: Graph, name: str, features: int) -> tuple[float, ...]:
    """Real factors of a port's integers: one, one a feature, or one an element."""
    if name not in graph.scales:
        return (1.0,)
    each = np.broadcast_to(graph.scales[name], graph.values[name].shape).reshape(-1, features)
    each = each[:1] if (each == each[0]).all() else each
    flat = tuple(float(x) for x in each.ravel())
    return flat[:1] if len(set(flat)) == 1 else flat


def plan(graph: Graph, settings: Settings) -> Plan:
    """Schedule a typed graph.

    Parameters
    ----------
    graph : Graph
        Primitives with proven ranges.
    settings : Settings
        Token parallelism, reuse factors, logic budget.

    Returns
    -------
    Plan

    Raises
    ------
    ScheduleError
        E310 for what has no hardware, E311 for outputs that need none.
    """
    for name in graph.outputs:
        if name in graph.inputs:
            raise ScheduleError("E311", "an output that is an input", layer=name, fix="drop it")
    check_names(((v.name, v.layer) for v in graph.values.values()), graph.inputs)
    return _Planner(classify(graph, settings)).run()


class Arrival(NamedTuple):
    """Streams brought to one clock: how, by whose pace, when, and with how much logic before."""

    feeds: list[Feed]
    pace: Pace
    start: int
    late: dict[str, float]


class _Planner:
    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.graph = facts.graph
        self.streams: dict[str, Stream] = {}
        self.stages: list[HwStage] = []
        self.taken: set[str] = set()
        self.alias: dict[str, str] = {}
        self.interval = self._beat_interval()
        self.lead = (facts.slots - 1) * self.interval
        budget = facts.settings.logic_ns - costs.CLOCK_TO_Q + costs.CAUTION
        self.multiplier_slack = budget - costs.DSP_INPUT

    def _beat_interval(self) -> int:
        """The most clocks that a beat keeps any stage busy."""
        facts = self.facts
        busy = [1]
        for node in self.graph.nodes:
            name = node.output
            if facts.kinds[name] == "mac":
                busy.append(mac_reuse(facts, node))
            elif facts.kinds[name] == "dot":
                busy += [facts.folds[name], facts.folds.get(node.inputs[0], 1)]
        return max(busy)

    def run(self) -> Plan:
        """Schedule stage after stage, each once its operands are."""
        pace: Pace = "frame" if self.facts.slots == 1 else "input"
        for name in self.graph.inputs:
            self.streams[name] = Stream(pace, 0)
        found = clusters(self.facts)
        if self.facts.settings.joint:
            found = merged(self.facts, found)
        grouped = {n.output: c for c in found for n in c.nodes}
        waiting: dict[int, int] = {}
        readers: dict[str, list[Item]] = {}
        items: dict[int, Item] = {}
        for node in self.graph.nodes:
            if self.facts.kinds[node.output] in ("constant", "wire", "absorbed"):
                continue
            item: Item = grouped.get(node.output, node)
            items[id(item)] = item
        for item in items.values():
            needs = self._needs(item) - set(self.streams)
            waiting[id(item)] = len(needs)
            for name in needs:
                readers.setdefault(name, []).append(item)
        ready = [item for item in items.values() if not waiting[id(item)]]
        for item in ready:
            before = len(self.streams)
            self._place(item)
            for name in list(self.streams)[before:]:
                for reader in readers.get(name, []):
                    waiting[id(reader)] -= 1
                    if not waiting[id(reader)]:
                        ready.append(reader)
        for name in self.graph.outputs:
            if self.facts.kinds.get(name) in (None, "constant", "wire"):
                self._pass(name)
        return self._finish()

    def _needs(self, item: Item) -> set[str]:
        return set(needs(self.facts, item.nodes if isinstance(item, Cluster) else [item]))

    def _place(self, item: Item) -> None:
        if isinstance(item, Cluster):
            self._lane(item)
            return
        place = {
            "dot": self._dot,
            "mac": self._mac,
            "accumulate": self._accumulate,
            "gather": self._gather,
        }
        place[self.facts.kinds[item.output]](item)

    # Alignment

    def _align(
        self, bases: list[str], holds: frozenset[str] = frozenset(), least: int = 0,
        pace: Pace | None = None, slack: float = costs.LATE,
    ) -> Arrival:  # fmt: skip
        """Bring streams to one clock, not before ``least``.

        Streams with more than ``slack`` ns of logic before them are registered first.
        """
        streams = {b: self.streams[b] for b in bases}
        if pace is None:
            all_input = all(s.paced == "input" for s in streams.values())
            pace = "input" if all_input else "frame"
        start = least
        for base, stream in streams.items():
            ready = stream.offset + (base in holds or stream.late > slack)
            if stream.paced != pace:
                # Written by clock in[i] + offset, read by a strobe one clock before the start.
                ready = max(stream.offset + (base in holds) + 2 - self.lead, 1 + (base in holds))
            start = max(start, ready)
        feeds, late = [], {}
        for base, stream in streams.items():
            held = base in holds
            if stream.paced == pace:
                delay = start - held - stream.offset
                feeds.append(Feed(base, delay, hold=held))
                late[base] = stream.late if delay == 0 and not held else 0.0
            else:
                wait = start - stream.offset + self.lead
                # Where the input stalls before its last slot, all beats but one may wait.
                depth = max(-(-wait // self.interval) + 2, self.facts.beats(base))
                feeds.append(Feed(base, depth=depth, hold=held))
                late[base] = 0.0
        return Arrival(feeds, pace, start, late)

    def _whole(self, source: str) -> Pace | None:
        """Pace at which a frame's beats are taken together, where they end before the frame does.

        The result counts from the frame's last slot, so such beats wait for it.
        """
        return "frame" if self.facts.beats(source) < self.facts.slots else None

    def _own_name(self, layer: str, value: str) -> str:
        """The layer's name, or the point's within it where the layer has several stages."""
        for candidate in (layer, value):
            name = identifier(candidate)
            if name not in self.taken:
                break
        count = 2
        while name in self.taken:
            name = f"{identifier(value)}_{count}"
            count += 1
        self.taken.add(name)
        return name

    # Stages

    def _lane(self, cluster: Cluster) -> None:
        facts = self.facts
        inner = {n.output for n in cluster.nodes}
        exported = [
            n.output
            for n in cluster.nodes
            if n.output in self.graph.outputs
            or any(r.output not in inner for r in facts.readers(n.output))
            or facts.leaves_graph(n.output)
        ]
        fold = facts.folds[cluster.nodes[0].output]
        bases = sorted(self._needs(cluster), key=list(self.streams).index)
        holds = frozenset(b for b in bases if fold > 1 and facts.folds.get(b, 1) == 1)
        arrival = self._align(bases, holds)
        circuit, roms, _, whole = circuit_of_cluster(facts, cluster, exported, arrival.late)
        self._add_lane(cluster.layer, exported, circuit, roms, arrival, whole, fold, cluster.nodes)

    def _add_lane(
        self, layer: str, exported: list[str], circuit: Circuit, roms: list[Rom],
        arrival: Arrival, whole: bool, fold: int, nodes: list[Node],
    ) -> None:  # fmt: skip
        feeds, pace, start, _ = arrival
        stage = LaneStage(
            self._own_name(layer, exported[-1]), layer, feeds, {}, start, pace,
            circuit=circuit, roms=roms, lanes=1 if whole else self.facts.lanes(exported[-1]),
            fold=fold, whole=whole, nodes=nodes,
        )  # fmt: skip
        for name in exported:
            self._emit(stage, name, pace, start + circuit.latencies[name], circuit.late[name])
        self.stages.append(stage)

    def _pass(self, name: str) -> None:
        """Register an output that is only wiring."""
        facts = self.facts
        whole = facts.is_vector(name)
        net = Net(facts.settings.logic_ns, facts.settings.ternary)
        bases: dict[str, None] = {}

        def leaf(base: str) -> Nodes:
            if facts.kinds.get(base) == "constant":
                raise ScheduleError(
                    "E311",
                    "an output that depends on no input",
                    layer=self.graph.values[name].layer,
                    fix="drop the output",
                )
            bases[base] = None
            low, high = self.graph.values[base].bounds if whole else facts.element_bounds(base)
            return ports(net, base, low, high)

        nodes = facts.wire(name, leaf, whole, net.shifted)
        circuit = Circuit.of(net, {name: nodes})
        layer = self.graph.values[name].layer
        facts.folds.setdefault(name, 1)
        self._add_lane(layer, [name], circuit, [], self._align(list(bases)), whole, 1, [])

    def _emit(self, stage: HwStage, name: str, pace: Pace, offset: int, late: float = 0.0) -> None:
        stage.outputs[name] = offset
        self.streams[name] = Stream("frame" if self.facts.slots == 1 else pace, offset, late)

    def _dot(self, node: Node) -> None:
        facts = self.facts
        op = node.op
        assert isinstance(op, MatMul)
        a, b = node.inputs
        chain = facts.absorbed[node.output]
        result = chain[-1].output if chain else node.output
        score = op.contract == "features"
        fold = facts.folds[node.output] if score else facts.folds.get(a, 1)
        group = facts.group(node.output) if score else facts.group(a)
        hold = score and fold > 1
        buffered = facts.slots > 1 or fold > 1
        accumulate = 0 if score or fold == 1 else fold
        rows, columns = list(facts.bases(a)), list(facts.bases(b))
        keys, key_pace, complete, _ = self._align(columns)
        late = (0.0, 0.0)
        if not buffered:
            every = [*dict.fromkeys([*rows, *columns])]
            both = self._align(every, pace="frame", slack=self.multiplier_slack)
            feeds = [f for f in both.feeds if f.value in rows]
            keys = [f for f in both.feeds if f.value in columns]
            late = (max(both.late[v] for v in rows), max(both.late[v] for v in columns))
            start = key_start = both.start
        else:
            # The frame of keys is complete when its last beat is on the wires.
            complete += (facts.beats(b) - 1) * self.interval if key_pace == "frame" else 0
            feeds, _, start, delays = self._align(
                rows, least=complete + 1, pace="frame", slack=self.multiplier_slack
            )
            late = (0.0 if hold else max(delays.values()), 0.0)
            wait = start - 1 - complete + hold
            keys = [
                Feed(k.value, depth=k.depth + -(-wait // self.interval))
                if k.depth
                else Feed(k.value, k.delay + wait)
                for k in keys
            ]
            key_start = complete + wait
        circuits, pick = dot_circuits(facts, node, group, [] if accumulate else chain, late)
        # Distinct dot products leave together.
        latency = max(c.latencies["y"] for c in circuits)
        for circuit in circuits:
            circuit.latencies["y"] = latency
        latency += hold + accumulate
        layer = self.graph.values[node.output].layer
        point = f"{layer}/{'score' if score else 'context'}"
        stage = DotStage(
            self._own_name(point, node.output), layer, feeds, {}, start, "frame",
            node=node, keys=keys, circuits=circuits, pick=pick, lanes=facts.lanes(a), fold=fold,
            group=group, buffered=buffered,
            by_trigger=key_pace == "input" and facts.beats(b) < facts.slots,
            result=result, hold=hold, accumulate=accumulate, key_start=key_start,
        )  # fmt: skip
        self._emit(stage, result, "frame", start + latency)
        self.stages.append(stage)

    def _mac(self, node: Node) -> None:
        facts = self.facts
        chain = facts.absorbed[node.output]
        result = chain[-1].output if chain else node.output
        source = mac_source(facts, node)
        together = self._whole(source) if source != node.inputs[0] else None
        feeds, pace, start, late = self._align(
            list(facts.bases(source)), pace=together, slack=self.multiplier_slack
        )
        parts = mac_parts(facts, node, chain, max(late.values()))
        frame = parts.beats > 1
        first = start
        if frame and pace == "frame":
            first += (parts.beats - 1) * self.interval
        # Operand registers and later clocks of a folded beat, the sum, the accumulator.
        latency = (parts.reuse if parts.reuse > 1 else 0) + parts.dot.latencies["y"] + 1
        latency += parts.post.latencies["y"] if parts.post else 0
        layer = self.graph.values[node.output].layer
        stage = MacStage(
            self._own_name(layer, result), layer, feeds, {}, start, pace, node=node,
            parts=parts, result=result, latency=latency,
        )  # fmt: skip
        self._emit(stage, result, "frame" if frame else pace, first + latency)
        self.stages.append(stage)

    def _accumulate(self, node: Node) -> None:
        facts = self.facts
        op = node.op
        assert isinstance(op, Reduce)
        source = node.inputs[0]
        circuit = accumulate_circuit(facts, node)
        tokens = op.axis == "tokens"
        together = self._whole(source) if tokens else None
        feeds, pace, start, _ = self._align(list(facts.bases(source)), pace=together, slack=0.0)
        before = circuit.latencies["y"] if circuit else 0
        count = facts.beats(source) if tokens else facts.folds[source]
        over = facts.lanes(source) if tokens else facts.group(source)
        real = facts.tokens(source) if tokens else self.graph.values[source].shape[-1]
        if tokens:
            first = start + ((count - 1) * self.interval if pace == "frame" else 0)
        else:
            first = start + count - 1
        layer = self.graph.values[node.output].layer
        stage = AccumulateStage(
            self._own_name(layer, node.output), layer, feeds, {}, start, pace, node=node,
            circuit=circuit, count=count, width=over, padding=count * over - real,
            lanes=1 if tokens else facts.lanes(source), tokens=tokens,
        )  # fmt: skip
        self._emit(stage, node.output, "frame" if tokens else pace, first + before + 1)
        self.stages.append(stage)

    def _gather(self, node: Node) -> None:
        facts = self.facts
        source = node.inputs[0]
        feeds, pace, start, _ = self._align(list(facts.bases(source)), pace=self._whole(source))
        beats = facts.beats(source)
        first = start + ((beats - 1) * self.interval if pace == "frame" else 0)
        layer = self.graph.values[node.output].layer
        stage = GatherStage(
            self._own_name(layer, node.output), layer, feeds, {}, start, pace, node=node,
            beats=beats, lanes=facts.lanes(source),
        )  # fmt: skip
        self._emit(stage, node.output, "frame", first + 1)
        self.stages.append(stage)

    # The outside view

    def _finish(self) -> Plan:
        facts = self.facts
        inputs = [n for n in self.graph.inputs if n not in self.graph.masks]
        masks = {shown: mask for mask, shown in self.graph.masks.items()}
        ports_in = tuple(self._port("s_axis", n, i, masks.get(n)) for i, n in enumerate(inputs))
        ports_out = tuple(
            self._port("m_axis", n, i, None) for i, n in enumerate(self.graph.outputs)
        )
        paces = {name: stream.paced for name, stream in self.streams.items()}
        stages = tuple(
            record
            for stage in self.stages
            for record in records(self.facts, stage, self.interval, paces)
        )
        drafted = Design(
            plain(self.graph.name), ports_in, ports_out, stages, self.interval,
            self.graph.outputs, 1,
        )  # fmt: skip
        capacity = -(-(drafted.latency_cycles + 2) // drafted.interval_cycles) + 1
        return Plan(
            self.graph, facts, tuple(self.stages), dict(self.streams),
            replace(drafted, capacity=capacity),
        )  # fmt: skip

    def _port(self, side: str, name: str, index: int, mask: str | None) -> Port:
        value = self.graph.values[name]
        label = side if index == 0 else f"{side}_{identifier(name)}"
        features = int(np.prod(value.shape[1:])) if len(value.shape) > 1 else value.shape[0]
        return Port(
            label,
            name,
            self.facts.tokens(name),
            features,
            value.fixed,
            self.facts.lanes(name),
            mask,
            factors(self.graph, name, features),
            self.graph.floors.get(name),
        )
