"""A self-checking plain-Verilog testbench with its vectors, for any other simulator.

Owns ``testbench``. Imports the design's ports and the streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

import jinja2
import numpy as np

from gateformer.hw.dataflow.design import Design, Port
from gateformer.quant.types import IntArray
from gateformer.quant.version import __version__
from gateformer.sim.rtl.simulate import quiet_clocks
from gateformer.sim.rtl.streams import Beats, pack


def testbench(
    design: Design, frames: Mapping[str, IntArray], expected: Mapping[str, IntArray]
) -> dict[str, str]:
    """Return the testbench of ``gf_<name>_axis`` and its vectors.

    Parameters
    ----------
    design : Design
        The scheduled design.
    frames, expected : mapping of str to ndarray of int
        Raw integers of inputs (masks too) and outputs by value, at least one frame.

    Returns
    -------
    dict of str to str
        ``gf_<name>_axis_tb.v`` (the top module has that name too) and a ``.mem`` file a stream,
        which must lie in the folder that the simulation runs in. It prints one line that starts
        with PASS or FAIL and ends the simulation.
    """
    top = f"gf_{design.name}_axis"
    sent = {port.name: pack(port, frames) for port in design.inputs}
    wanted = {port.name: pack(port, expected) for port in design.outputs}
    count = len(sent[design.inputs[0].name]) // design.inputs[0].beats

    def facts(port: Port, beats: Beats) -> dict[str, object]:
        user = 0 if beats.user is None else port.lanes
        return {
            "name": port.name,
            "beats": port.beats,
            "data": port.axis_bits,
            "user": user,
            "word": port.axis_bits + 1 + user,
            "total": len(beats),
            "file": f"{top}_{port.name}.mem",
        }

    source = resources.files("gateformer.sim.rtl").joinpath("testbench.v.j2").read_text("utf-8")
    template = jinja2.Template(
        source, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    text = template.render(
        top=top,
        version=__version__,
        frames=count,
        latency=design.latency_cycles,
        patience=quiet_clocks(design),
        inputs=[facts(p, sent[p.name]) for p in design.inputs],
        outputs=[facts(p, wanted[p.name]) for p in design.outputs],
    )
    files = {f"{top}_tb.v": text + "\n"}
    for name, beats in (sent | wanted).items():
        files[f"{top}_{name}.mem"] = words(beats)
    return files


def words(beats: Beats) -> str:
    """Beats as hexadecimal words, one a line: tdata in the low bits, then tlast, then tuser."""
    bits = beats.data.shape[1] * 8
    user = np.zeros((len(beats), 1), np.bool_) if beats.user is None else beats.user
    digits = -(-(bits + 1 + (0 if beats.user is None else user.shape[1])) // 4)
    lines = []
    for data, last, mask in zip(beats.data, beats.last, user, strict=True):
        high = sum(1 << (lane + 1) for lane in np.flatnonzero(mask)) | int(last)
        lines.append(f"{int.from_bytes(data.tobytes(), 'little') | high << bits:0{digits}x}")
    return "\n".join(lines) + "\n"
