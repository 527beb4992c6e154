"""What runs inside the yosys subprocess: a module, mapped to a library's cells.

Run as ``python area_worker.py request.json``: any yosys error ends the process, so it must not be
ours. Imports pyosys and nothing of gateformer. The request's keys are ``sources``, ``top``,
``parameters``, ``kept`` (modules whose instances stay apart, and are mapped once), ``left_out``
(modules whose inside is not counted) and ``liberty``. The result is ``stat.json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

MAPPING = "strash\ndc2\ndch\n&get -n\n&nf\n&put\n"
"""abc's script: yosys' own without proofs of equivalence, which take minutes on multipliers, gives
areas within two in a hundred of these."""


def main(request: Path) -> None:
    """Do what the request asks and leave the result beside it."""
    from pyosys import libyosys

    asked = json.loads(request.read_text(encoding="utf-8"))
    folder, top, liberty = request.parent, asked["top"], asked["liberty"]
    script = folder / "mapping.abc"
    script.write_text(MAPPING, encoding="utf-8")
    design = libyosys.Design()

    def yosys(command: str) -> None:
        libyosys.run_pass(command, design)

    yosys("read_verilog -D SYNTHESIS " + " ".join(f'"{name}"' for name in asked["sources"]))
    for name in asked["left_out"]:
        yosys(f"blackbox {name}")
    chosen = "".join(f" -chparam {key} {value}" for key, value in asked["parameters"].items())
    yosys(f"hierarchy -check -top {top}{chosen}")
    yosys("proc")
    for name in asked["kept"]:  # a module with parameters has them in its name
        yosys(f"setattr -mod -set keep_hierarchy 1 {name} *\\{name} *\\{name}\\*")
    yosys("flatten")
    yosys("synth -auto-top -run coarse:check -noabc")
    yosys(f'dfflibmap -liberty "{liberty}"')
    yosys(f'abc -liberty "{liberty}" -script "{script}"')
    yosys("opt_clean -purge")
    yosys(f'tee -q -o "{folder / "stat.json"}" stat -json -hierarchy -liberty "{liberty}"')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
