"""A rival's Verilog of a program: run as a script, in an environment that has the rival.

``python generate.py da4ml|alkaid PROGRAM.json FOLDER LEVELS`` writes its project and ``told.json``:
the widths of what enters and leaves. Before, ``started.json`` takes the rival's version: what fails
from there on is the rival's. Imports numpy, the rival and nothing of gateformer, so that rivals
that cannot share an environment with it run in their own.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

STARTED = "started.json"
NAMES = {
    "da4ml": ("FixedVariableArrayInput", "comb_trace"),
    "alkaid": ("FVArrayInput", "trace"),
}
"""What each package calls an array of inputs, and the function that makes a netlist of it."""


def main(package: str, program: Path, folder: Path, levels: int) -> None:
    """Write the Verilog of a program, ``levels`` adders or so between registers."""
    asked = json.loads(program.read_text(encoding="utf-8"))
    trace = import_module(f"{package}.trace")
    ops = import_module(f"{package}.trace.ops")
    model = import_module(f"{package}.codegen").RTLModel
    folder.mkdir(parents=True, exist_ok=True)
    started = json.dumps({"version": version(package)})
    (folder / STARTED).write_text(started, encoding="utf-8")
    array, tracer = (getattr(trace, name) for name in NAMES[package])
    tokens, features = asked["shape"]
    x = array((tokens, features), hwconf=trace.HWConfig(1, -1, -1))
    values: dict[str, Any] = {"x": ops.quantize(x, 1, 7, 0)}
    for line in asked["lines"]:
        operands = [values[name] for name in line["inputs"]]
        values[line["output"]] = made(line, operands, ops)
    y = np.concatenate([values[name] for name in asked["outputs"]], axis=-1)
    netlist = tracer(x, y)
    own = {"prj_name": "rival", "path": folder, "latency_cutoff": levels}
    model(netlist, **own).write()
    told = {
        "version": version(package),
        "inputs": [form(interval) for interval in netlist.inp_qint],
        "outputs": [form(interval) for interval in netlist.out_qint],
    }
    (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")


def made(line: dict[str, Any], operands: list[Any], ops: Any) -> Any:
    """Return what a line computes."""
    first = operands[0]
    if line["kind"] == "dense":
        return first @ np.array(line["weight"], np.float64).T
    if line["kind"] == "drop":
        # alkaid 0.8.2 finds no order for a product of what its relu makes of a product.
        return ops.quantize(first, 0, line["bits"] - line["frac"], line["frac"])
    if line["kind"] == "relu":
        return ops.relu(first, f=np.full(first.shape, line["frac"]), round_mode="TRN")
    return first @ (operands[1].T if line["kind"] == "scores" else operands[1])


def form(interval: Any) -> tuple[int, int]:
    """Return bits and fraction bits of an interval ``low..high`` in steps: two's complement."""
    low, high, step = (float(bound) for bound in interval)
    if low == high == 0.0:
        return 0, 0
    frac = -round(np.log2(step))
    least, most = round(low / step), round(high / step)
    bits = max(most.bit_length(), (-least - 1).bit_length() if least < 0 else 0) + (least < 0)
    return bits, frac


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[1] not in NAMES:
        raise SystemExit("usage: generate.py da4ml|alkaid PROGRAM.json FOLDER LEVELS")
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
