"""Beats in memory: how a DMA's words carry the beats of a stream.

Owns ``Words``, which the generated wrapper and the host's driver share. Imports the ports only.

A beat may have any number of bytes, a DMA's stream only 4, 8, 16 ... (AMD PG021: 8 to 1,024 bits,
a power of two). So a beat starts at a word: its bytes, lowest first, then those of its mask bits,
then zeros up to the next word. A frame is its beats, a packet any number of frames.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.hw.dataflow.design import Port

NARROW, WIDE = 4, 8
"""Bytes of a word: the wide one is as wide as the Zynq-7000's memory ports (AMD UG585), the narrow
one serves beats that fit it."""


@dataclass(frozen=True, slots=True)
class Words:
    """How one stream lies in memory.

    Attributes
    ----------
    port : Port
        The stream.
    """

    port: Port

    @property
    def data_bytes(self) -> int:
        """Bytes of a beat's ``tdata``."""
        return self.port.axis_bits // 8

    @property
    def mask_bytes(self) -> int:
        """Bytes of a beat's mask: one bit a lane, the first token's in the lowest bit."""
        return 0 if self.port.mask is None else -(-self.port.lanes // 8)

    @property
    def word_bytes(self) -> int:
        """Bytes of a word."""
        return NARROW if self.data_bytes + self.mask_bytes <= NARROW else WIDE

    @property
    def words(self) -> int:
        """Words of a beat."""
        return -(-(self.data_bytes + self.mask_bytes) // self.word_bytes)

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat in memory."""
        return self.words * self.word_bytes

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame in memory."""
        return self.port.beats * self.beat_bytes
