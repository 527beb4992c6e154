"""Stages: the five kinds of hardware that a design is made of, with netlists and latencies.

Owns the stage records and how each one's arithmetic is built. Imports facts, lanes and netlists.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from gateformer.hw.dataflow.design import Cost
from gateformer.hw.dataflow.lanes import Nodes
from gateformer.hw.netlist.net import Net
from gateformer.quant.graph import Node
from gateformer.quant.types import IntArray


@dataclass(frozen=True, slots=True)
class Rom:
    """A constant that differs from token to token: one entry a beat (and key group).

    Attributes
    ----------
    name : str
        Graph value of the constant.
    entries : ndarray of int, (beats x folds, lanes, elements)
        Raw integers; tokens and keys beyond the tensor hold zeros.
    """

    name: str
    entries: IntArray


@dataclass(slots=True)
class Circuit:
    """A netlist with named outputs: what one Verilog datapath module holds.

    Attributes
    ----------
    net : Net
        The operations.
    outputs : dict of str to ndarray of int
        Nodes of each output, in the order of its elements.
    latencies : dict of str to int
        Clocks from the inputs to each output.
    late : dict of str to float
        ns of logic between the last register and each output.
    """

    net: Net
    outputs: dict[str, Nodes]
    latencies: dict[str, int]
    late: dict[str, float]

    @classmethod
    def of(
        cls, net: Net, outputs: dict[str, Nodes], registered: Container[str] | None = None
    ) -> Circuit:
        """Fix when outputs leave: all of them, or those ``registered``, from registers."""
        leaving = {
            k: net.leaving(
                [int(n) for n in v.ravel()], registered is not None and k not in registered
            )
            for k, v in outputs.items()
        }
        clocks = {k: clock for k, (clock, _) in leaving.items()}
        return cls(net, outputs, clocks, {k: ns for k, (_, ns) in leaving.items()})

    @property
    def cost(self) -> Cost:
        """Predicted resources."""
        ends = [(int(n), self.latencies[k]) for k, v in self.outputs.items() for n in v.ravel()]
        return self.net.cost(ends)


@dataclass(slots=True)
class Feed:
    """How a stream reaches a stage.

    Attributes
    ----------
    value : str
        Base value.
    delay : int
        Clocks of the fixed delay line.
    depth : int
        Beats of the FIFO between an input-paced stream and a frame-paced stage; 0 for none.
    hold : bool
        Keep a token's value for all its key groups.
    """

    value: str
    delay: int = 0
    depth: int = 0
    hold: bool = False


@dataclass(slots=True)
class HwStage:
    """What all stages have.

    Attributes
    ----------
    name : str
        Unique; the Verilog instance and module are named after it.
    layer : str
        Source layer.
    feeds : list of Feed
        Streams that enter beat by beat.
    outputs : dict of str to int
        Values made here -> clock of beat 0, counted as in ``design.Stage``.
    start : int
        Clock at which beat 0 enters, counted alike.
    """

    name: str
    layer: str
    feeds: list[Feed] = field(default_factory=list)
    outputs: dict[str, int] = field(default_factory=dict)
    start: int = 0
    paced: str = "frame"


@dataclass(slots=True)
class LaneStage(HwStage):
    """The same arithmetic for each token of a beat; fully pipelined."""

    circuit: Circuit = field(kw_only=True)
    roms: list[Rom] = field(kw_only=True)
    lanes: int = field(kw_only=True)
    fold: int = field(kw_only=True)
    whole: bool = field(kw_only=True)
    nodes: list[Node] = field(kw_only=True)


@dataclass(slots=True)
class DotStage(HwStage):
    """Tensor x tensor: a row of ``a`` against a gathered frame of ``b``.

    Attributes
    ----------
    keys : list of Feed
        Streams gathered into the frame buffer.
    circuits : list of Circuit
        Distinct dot products; ``pick[h, j]`` says which one makes an element.
    """

    node: Node = field(kw_only=True)
    keys: list[Feed] = field(kw_only=True)
    circuits: list[Circuit] = field(kw_only=True)
    pick: Nodes = field(kw_only=True)
    lanes: int = field(kw_only=True)
    fold: int = field(kw_only=True)
    group: int = field(kw_only=True)
    buffered: bool = field(kw_only=True)
    by_trigger: bool = field(kw_only=True)
    result: str = field(kw_only=True)
    hold: bool = field(kw_only=True)
    accumulate: int = field(kw_only=True)
    key_start: int = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class MacParts:
    """A Dense folded over clocks.

    Attributes
    ----------
    source : str
        Value whose beats come in; before flattening, where tokens are gathered.
    chunk : int
        Features a clock.
    reuse : int
        Clocks a beat.
    beats : int
        Beats over which one result is accumulated; 1 for a per-token matrix.
    weights : ndarray of int, (beats x reuse, outputs, chunk)
        Raw weights of each clock.
    bias : ndarray of int, (outputs,)
        At the accumulator's fraction bits.
    dot : Circuit
        ``chunk`` products and their sum.
    post : Circuit or None
        Casts of all outputs behind the accumulators.
    """

    source: str
    chunk: int
    reuse: int
    beats: int
    weights: IntArray
    bias: IntArray
    dot: Circuit
    post: Circuit | None


@dataclass(slots=True)
class MacStage(HwStage):
    """A constant matrix folded over clocks: multipliers with weight ROMs and accumulators."""

    node: Node = field(kw_only=True)
    parts: MacParts = field(kw_only=True)
    result: str = field(kw_only=True)
    latency: int = field(kw_only=True)


@dataclass(slots=True)
class AccumulateStage(HwStage):
    """Sum or maximum over the beats of a frame, or over the key groups of a token.

    Attributes
    ----------
    circuit : Circuit or None
        Tree before the accumulator; None where one element comes a clock.
    count : int
        Clocks that are accumulated.
    width : int
        Lanes, or keys of a group, that the tree takes.
    padding : int
        Of the last clock, how many of them lie beyond the tensor.
    lanes : int
        Independent tokens a beat.
    tokens : bool
        Whether tokens are reduced (else keys).
    """

    node: Node = field(kw_only=True)
    circuit: Circuit | None = field(kw_only=True)
    count: int = field(kw_only=True)
    width: int = field(kw_only=True)
    padding: int = field(kw_only=True)
    lanes: int = field(kw_only=True)
    tokens: bool = field(kw_only=True)


@dataclass(slots=True)
class GatherStage(HwStage):
    """All beats of a frame side by side, as one vector."""

    node: Node = field(kw_only=True)
    beats: int = field(kw_only=True)
    lanes: int = field(kw_only=True)
