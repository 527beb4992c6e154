"""A yosys script, run by the pyosys wheel or else by the yosys on PATH.

A build's folder has a copy of this file, so that the folder builds elsewhere without gateformer:
``python3 run_yosys.py synth.ys``. Imports pyosys and nothing of gateformer.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Run a script; yosys itself ends the process at its first error."""
    if len(arguments) != 2:
        raise SystemExit("usage: run_yosys.py SCRIPT")
    try:
        from pyosys import libyosys
    except ImportError:
        program = shutil.which("yosys")
        if program is None:
            print("ERROR: no yosys: pip install pyosys", flush=True)
            return 1
        return subprocess.call([program, "-s", arguments[1]])
    design = libyosys.Design()
    for line in Path(arguments[1]).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            # one command tells another's end; the log has each before its output
            print(f"yosys> {line}", flush=True)
            libyosys.run_pass(line, design)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
