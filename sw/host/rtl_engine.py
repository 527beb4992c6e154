"""The generated Verilog behind the simulated board's DMAs, on Icarus or Verilator.

Owns ``RtlEngine``. Imports the simulations' builds and benches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateformer.host.description import Description
from gateformer.host.engine import Answer, Packet
from gateformer.quant.errors import MismatchError
from gateformer.sim.rtl.build import build
from gateformer.sim.rtl.jobs import Job, Record
from gateformer.sim.rtl.simulate import run_jobs
from gateformer.sim.rtl.streams import Beats, ByteArray
from gateformer.sim.rtl.tools import Simulator
from gateformer.sim.stalls import StallPattern


@dataclass(frozen=True, slots=True, eq=False)
class RtlEngine:
    """``gf_<name>_dma``, simulated clock by clock; each run begins at its reset.

    Attributes
    ----------
    description : Description
        The design's.
    files : mapping of str to str
        Text by file name: the core's, the boundary's, `gateformer.hw.rtl.dma_top.dma_files`.
    work : Path
        Folder for the runs' files.
    simulator : {"icarus", "verilator"}
        The simulator.
    cache : Path or None
        Folder of finished builds.
    stalls : StallPattern or None
        Stalls of the DMAs.
    """

    description: Description
    files: Mapping[str, str]
    work: Path
    simulator: Simulator = "icarus"
    cache: Path | None = None
    stalls: StallPattern | None = None

    def run(self, packets: Mapping[str, ByteArray]) -> Answer:
        """Take one packet an input; raises as `runs`."""
        return self.runs([packets])[0]

    def runs(self, series: Sequence[Mapping[str, ByteArray]]) -> list[Answer]:
        """Take packets, one an input, again and again, each time from reset.

        Raises
        ------
        MismatchError
            E403 where the words' streams break a rule.
        ToolError
            E501, E502 or E505 where a simulator is missing or fails.
        """
        top = f"gf_{self.description.name}_dma"
        built = build(self.simulator, self.files, top, self.cache or self.work / "builds")
        records = run_jobs(built, [self._job(packets) for packets in series], self.work)
        return [self._answer(record) for record in records]

    def _answer(self, record: Record) -> Answer:
        hung = [text for text in record.problems if text.startswith("no handshake")]
        broken = [text for text in record.problems if text not in hung]
        if broken:
            raise MismatchError(
                "E403",
                "stream protocol violated",
                layer=self.description.name,
                cause="; ".join(broken),
            )
        return Answer(
            {s.port.name: _packet(record, s.port.name) for s in self.description.outputs},
            record.frame_error is not None,
        )

    def _job(self, packets: Mapping[str, ByteArray]) -> Job:
        inputs, ties, counts = {}, {"soft_reset": 0}, []
        for stream in self.description.inputs:
            name, layout = stream.port.name, stream.layout
            counts.append(len(packets[name]) // layout.frame_bytes)
            words = packets[name].reshape(-1, layout.word_bytes)
            last = np.zeros(len(words), np.bool_)
            last[-1:] = True
            inputs[name] = Beats(words, last)
            ties[f"{name}_tkeep"] = (1 << layout.word_bytes) - 1
        outputs = {
            s.port.name: min(counts) * s.port.beats * s.layout.words
            for s in self.description.outputs
        }
        streams = (*self.description.inputs, *self.description.outputs)
        longest = max(s.port.beats * s.layout.words for s in streams)
        quiet = self.description.latency_cycles + self.description.interval_cycles + longest + 16
        return Job(inputs, outputs, self.stalls, quiet, 20 * quiet + 5000, ties=ties)


def _packet(record: Record, name: str) -> Packet:
    """Return what came up to the first ``tlast``: there a DMA's transfer ends."""
    last = np.flatnonzero(record.last[name])
    data = record.data[name]
    if not last.size:
        return Packet(data.reshape(-1), False)
    if last[0] + 1 != len(data):
        raise MismatchError("E403", "stream protocol violated", layer=name,
                            cause="words came behind their packet's end")  # fmt: skip
    return Packet(data.reshape(-1), True)
