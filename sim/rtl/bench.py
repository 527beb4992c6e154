"""The cocotb test that runs inside the simulator: drives every stream and counts every clock.

Owns the AXI4-Stream drivers, monitors and protocol checks. Runs in the simulation's process only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from gateformer.sim.rtl.jobs import FOLDER, Job, Record, Watch, load_jobs, save_records
from gateformer.sim.rtl.streams import ByteArray
from gateformer.sim.stalls import stalls_of

_RESET_CLOCKS = 4
_MOST_PROBLEMS = 20


class Source:
    """Drives one input; a beat once offered stays until it is taken."""

    def __init__(self, dut: Any, name: str, job: Job) -> None:
        beats = job.inputs[name]
        self.name = name
        self.clocks: list[int] = []
        self._count = len(beats)
        self._data = [int.from_bytes(row.tobytes(), "little") for row in beats.data]
        self._last = beats.last.tolist()
        self._user: list[int] | None = None
        if beats.user is not None:
            weights = [1 << lane for lane in range(beats.user.shape[1])]
            self._user = [sum(w for w, b in zip(weights, row, strict=True) if b)
                          for row in beats.user.tolist()]  # fmt: skip
            self._tuser = getattr(dut, f"{name}_tuser")
        self._stalls = stalls_of(job.stalls, name, source=True)
        self._tdata = getattr(dut, f"{name}_tdata")
        self._tvalid = getattr(dut, f"{name}_tvalid")
        self._tready = getattr(dut, f"{name}_tready")
        self._tlast = getattr(dut, f"{name}_tlast")
        self._offering = False
        self._driven = False

    @property
    def done(self) -> bool:
        """Whether all beats were taken."""
        return len(self.clocks) == self._count

    def idle(self) -> None:
        """Offer nothing."""
        self._tvalid.value = 0
        self._tlast.value = 0
        self._tdata.value = 0
        if self._user is not None:
            self._tuser.value = 0

    def drive(self, clock: int) -> None:
        """Set the signals of this clock."""
        if self._offering:
            return
        at = len(self.clocks)
        self._offering = at < self._count and not self._stalls[clock]
        if self._offering:
            self._tdata.value = self._data[at]
            self._tlast.value = int(self._last[at])
            if self._user is not None:
                self._tuser.value = self._user[at]
        if self._offering != self._driven:
            self._tvalid.value = int(self._offering)
            self._driven = self._offering

    def sample(self, clock: int, problems: list[str]) -> bool:
        """Look at the clock's end whether the beat was taken."""
        ready = str(self._tready.value)
        if ready not in ("0", "1"):
            problems.append(f"{self.name}: tready is {ready} in clock {clock}")
        if not (self._offering and ready == "1"):
            return False
        self.clocks.append(clock)
        self._offering = False
        return True


class Sink:
    """Takes one output's beats and checks that an offer stays as it was until it is taken."""

    def __init__(self, dut: Any, name: str, job: Job) -> None:
        self.name = name
        self.clocks: list[int] = []
        self.data: list[int] = []
        self.last: list[bool] = []
        self.expected = job.outputs[name]
        self._stalls = stalls_of(job.stalls, name, source=False)
        self._tdata = getattr(dut, f"{name}_tdata")
        self._tvalid = getattr(dut, f"{name}_tvalid")
        self._tready = getattr(dut, f"{name}_tready")
        self._tlast = getattr(dut, f"{name}_tlast")
        self.bytes = len(self._tdata) // 8
        self._ready = False
        self._offer: tuple[str, str] | None = None

    @property
    def done(self) -> bool:
        """Whether all expected beats came."""
        return len(self.clocks) >= self.expected

    def idle(self) -> None:
        """Take nothing."""
        self._tready.value = 0

    def drive(self, clock: int) -> None:
        """Set the signals of this clock."""
        ready = not self._stalls[clock]
        if ready != self._ready:
            self._tready.value = int(ready)
            self._ready = ready

    def sample(self, clock: int, problems: list[str]) -> bool:
        """Look at the clock's end whether a beat came."""
        valid = str(self._tvalid.value)
        if valid == "0":
            if self._offer is not None:
                problems.append(f"{self.name}: tvalid fell before tready in clock {clock}")
                self._offer = None
            return False
        if valid != "1":
            problems.append(f"{self.name}: tvalid is {valid} in clock {clock}")
            return False
        data, last = str(self._tdata.value), str(self._tlast.value)
        if self._offer not in (None, (data, last)):
            problems.append(f"{self.name}: tdata or tlast changed before tready in clock {clock}")
        if not self._ready:
            self._offer = (data, last)
            return False
        self._offer = None
        if set(data + last) - {"0", "1"}:
            problems.append(f"{self.name}: undefined bits in clock {clock}")
            data = data.translate(str.maketrans("xXzZuUwW-", "0" * 9))
        self.clocks.append(clock)
        self.data.append(int(data, 2))
        self.last.append(last == "1")
        return True


class Probe:
    """Records one internal signal."""

    def __init__(self, dut: Any, name: str, watch: Watch) -> None:
        self.name = name
        self._records: list[bytes] = []
        self._bits = watch.bits
        self._signal, self._valid = _inside(dut, watch.signal), _inside(dut, watch.valid)

    def sample(self) -> None:
        """Look at the clock's end whether the signal is valid."""
        if str(self._valid.value) == "1":
            self._records.append(str(self._signal.value).lower().encode())

    @property
    def bits(self) -> ByteArray:
        """All records, a row each."""
        return np.frombuffer(b"".join(self._records), np.uint8).reshape(-1, self._bits)


def _inside(dut: Any, path: str) -> Any:
    handle = dut.core
    for level in path.split("."):
        handle = getattr(handle, level)
    return handle


async def run_job(dut: Any, job: Job) -> Record:
    """Reset, then drive and watch every clock until the job is done."""
    edge = RisingEdge(dut.clk)
    sources = [Source(dut, name, job) for name in job.inputs]
    sinks = [Sink(dut, name, job) for name in job.outputs]
    probes = [Probe(dut, name, watch) for name, watch in job.watches.items()]
    streams: list[Source | Sink] = [*sources, *sinks]
    dut.rst.value = 1
    for name, value in job.ties.items():
        getattr(dut, name).value = value
    for stream in streams:
        stream.idle()
    for _ in range(_RESET_CLOCKS):
        await edge
    dut.rst.value = 0
    problems: list[str] = []
    frame_error: int | None = None
    clock, quiet = 0, 0
    while job.abort is None or clock < job.abort:
        for stream in streams:
            stream.drive(clock)
        await edge
        if frame_error is None and str(dut.frame_error.value) != "0":
            frame_error = clock
        for probe in probes:
            probe.sample()
        moved = [stream.sample(clock, problems) for stream in streams]
        clock += 1
        quiet = 0 if any(moved) else quiet + 1
        if quiet > job.drain and all(stream.done for stream in streams):
            break
        if quiet > job.patience:
            problems.append(f"no handshake for {quiet} clocks up to clock {clock}")
            break
    return Record(
        {s.name: np.array(s.clocks, np.int64) for s in sources},
        {s.name: np.array(s.clocks, np.int64) for s in sinks},
        {
            s.name: np.frombuffer(
                b"".join(v.to_bytes(s.bytes, "little") for v in s.data), np.uint8
            ).reshape(-1, s.bytes)
            for s in sinks
        },
        {s.name: np.array(s.last, np.bool_) for s in sinks},
        tuple(problems[:_MOST_PROBLEMS]),
        frame_error,
        clock,
        {probe.name: probe.bits for probe in probes},
    )


@cocotb.test()
async def bench(dut: Any) -> None:
    """Run all jobs, one after the other, and write what they showed."""
    folder = Path(os.environ[FOLDER])
    Clock(dut.clk, 10, "ns").start()
    records = [await run_job(dut, job) for job in load_jobs(folder)]
    save_records(folder, records)
