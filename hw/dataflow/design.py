"""What a scheduled design is, seen from outside: its ports, its stages and their clocks.

Owns the plain records that the emitter, the simulators and the reports share.
Imports number types only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gateformer.quant.types import Fixed, Overflow


@dataclass(frozen=True, slots=True)
class Port:
    """One AXI4-Stream of the design: a tensor, a beat of tokens at a time.

    A beat holds ``lanes`` tokens, tokens ascending, features ascending within, element 0 in the
    low bits; on AXI4-Stream each element is extended to whole bytes by its type's sign.
    Of a last partial beat the unused lanes are zeros.

    Attributes
    ----------
    name : str
        Verilog name: ``s_axis`` / ``m_axis`` for the first, ``s_axis_<value>`` for further ones.
    value : str
        The graph's value.
    tokens : int
        Tokens a frame; 1 for a vector.
    features : int
        Elements a token.
    type : Fixed
        Type of each element.
    lanes : int
        Tokens a beat.
    mask : str or None
        Graph value of the padding mask that travels in ``tuser``, one bit a lane.
    scale : tuple of float
        What raw x 2^-frac is multiplied by to be the model's: one factor, one a feature, or one an
        element, tokens first.
    floor : Overflow or None
        The host rounds reals down, and this happens beyond the type; None: it rounds them to the
        nearest step and saturates.
    """

    name: str
    value: str
    tokens: int
    features: int
    type: Fixed
    lanes: int
    mask: str | None = None
    scale: tuple[float, ...] = (1.0,)
    floor: Overflow | None = None

    @property
    def beats(self) -> int:
        """Beats a frame."""
        return -(-self.tokens // self.lanes)

    @property
    def element_bits(self) -> int:
        """Bits of one element on AXI4-Stream: whole bytes."""
        return -(-self.type.width // 8) * 8

    @property
    def axis_bits(self) -> int:
        """Width of ``tdata``."""
        return self.lanes * self.features * self.element_bits

    @property
    def bits(self) -> int:
        """Width of the bare top's packed port, without padding."""
        return self.lanes * self.features * self.type.width


@dataclass(frozen=True, slots=True)
class Cost:
    """FPGA resources: 6-input LUTs, flip-flops, DSP48E2 slices, 36 Kbit block RAMs."""

    lut: float = 0.0
    ff: float = 0.0
    dsp: float = 0.0
    bram: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.lut + other.lut, self.ff + other.ff, self.dsp + other.dsp, self.bram + other.bram
        )

    def times(self, count: int) -> Cost:
        """The cost of ``count`` copies."""
        return Cost(self.lut * count, self.ff * count, self.dsp * count, self.bram * count)


@dataclass(frozen=True, slots=True)
class Link:
    """How one stage input is fed, and when.

    Attributes
    ----------
    source : str
        Stage (or input port's value) that makes the stream.
    kind : {"stream", "frame"}
        ``stream``: beat by beat. ``frame``: the whole frame is gathered before it is used
        (keys and values of attention).
    delay : int
        Clocks of a fixed delay line between the two.
    depth : int
        Beats of a FIFO where an input-paced stream meets a frame-paced stage; 0 for none.
    """

    source: str
    kind: Literal["stream", "frame"]
    delay: int = 0
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """One pipeline stage: it never stalls, and its clocks are known.

    Attributes
    ----------
    name : str
        The layer's name, unique; also the Verilog instance's.
    kind : str
        ``stream``: beat i leaves ``latency`` clocks after beat i came.
        ``gather``: beat i leaves ``latency + i x interval`` clocks after the last beat of all
        ``frame`` links came. ``reduce``: the single beat leaves ``latency`` clocks after the
        last beat came.
    links : tuple of Link
        Inputs.
    latency : int
        Clocks as above.
    beats : int
        Beats that leave a frame.
    reuse : int
        Clocks a beat keeps the stage's multipliers busy.
    paced : {"input", "frame"}
        Whether gaps between the input's beats show at the output (``input``) or are gone.
    offset : int
        Clock of output beat 0: for ``frame``-paced stages counted from the clock at which the
        last input beat is in the input register, for ``input``-paced ones from that of beat 0.
    formula : str
        What it computes, for comments and reports.
    cost : Cost
        Predicted resources.
    multipliers : int
        Data x data or data x ROM multipliers.
    """

    name: str
    kind: Literal["stream", "gather", "reduce"]
    links: tuple[Link, ...]
    latency: int
    beats: int
    reuse: int
    paced: Literal["input", "frame"]
    offset: int
    formula: str = ""
    cost: Cost = field(default_factory=Cost)
    multipliers: int = 0


@dataclass(frozen=True, slots=True)
class Design:
    """A scheduled design.

    Attributes
    ----------
    name : str
        Verilog-safe model name; tops are ``gf_<name>`` (bare) and ``gf_<name>_axis``.
    inputs, outputs : tuple of Port
        Streams at the boundary. All inputs advance together: slot i of a frame takes one beat
        of every input that has more than i beats.
    stages : tuple of Stage
        In topological order.
    beat_interval : int
        Clocks between admitted slots: the largest reuse factor.
    output_stages : tuple of str
        Stage that feeds each output, in order.
    capacity : int
        Frames that may be inside at once (credits); output FIFOs hold as many.
    """

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    stages: tuple[Stage, ...]
    beat_interval: int
    output_stages: tuple[str, ...]
    capacity: int

    @property
    def slots(self) -> int:
        """Input slots a frame."""
        return max(p.beats for p in self.inputs)

    @property
    def interval_cycles(self) -> int:
        """Clocks between first beats of frames sent back to back."""
        return self.slots * self.beat_interval

    @property
    def latency_cycles(self) -> int:
        """Clocks from the first input handshake to the last output handshake, sink ready.

        The input register costs one clock, the output FIFO another; a frame is released once
        its last input slot is known to be good, and one beat a clock from then on.
        """
        by_name = {s.name: s for s in self.stages}
        last = (self.slots - 1) * self.beat_interval
        clocks = []
        for port, source in zip(self.outputs, self.output_stages, strict=True):
            stage = by_name[source]
            start = stage.offset + (last if stage.paced == "frame" else 0)
            handshake = last
            for beat in range(port.beats):
                handshake = max(handshake + 1, 1 + start + beat * self.beat_interval + 1)
            clocks.append(handshake)
        return max(clocks)

    @property
    def cost(self) -> Cost:
        """Predicted resources of all stages."""
        total = Cost()
        for stage in self.stages:
            total = total + stage.cost
        return total
