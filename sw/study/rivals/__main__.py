"""Write the page; ``--measure`` measures before. Imports the page and the measuring."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from gateformer.hw.settings import Settings
from gateformer.quant.errors import ConfigError
from gateformer.study.rivals.measure import FRAMES, LEVELS, Failure, Row, ours, plain, theirs
from gateformer.study.rivals.page import OURS, page
from gateformer.study.rivals.program import Program, subjects

KEPT = Path("docs/rivals.json")


def main(arguments: list[str]) -> int:
    """Print the page of what is kept; measure and keep it before where that is asked."""
    parser = argparse.ArgumentParser(prog="python -m gateformer.study.rivals")
    parser.add_argument("--measure", action="store_true", help="generate, simulate and synthesize")
    parser.add_argument("--da4ml", default=sys.executable, help="an interpreter that has da4ml")
    parser.add_argument("--alkaid", help="an interpreter that has alkaid; absent: left out")
    parser.add_argument("--cache", type=Path, help="folder of yosys' results")
    parser.add_argument("--only", action="append", help="a program's name; others stay as kept")
    asked = parser.parse_args(arguments)
    if asked.measure:
        told = measured(asked)
        KEPT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(page(json.loads(KEPT.read_text(encoding="utf-8")), subjects()), end="")
    return 0


def measured(asked: argparse.Namespace) -> dict[str, Any]:
    """Return the rows of all programs, and what failed; of those not asked for, as kept.

    Raises
    ------
    ConfigError
        E006 where rows that would stay come from another yosys or other frames.
    """
    from gateformer.toolchains.yosys import yosys_version

    names = asked.only or [program.name for program in subjects()]
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {"rows": []}
    rows, failed = (
        [row for row in kept.get(part, []) if row["program"] not in names]
        for part in ("rows", "failed")
    )
    made_with = {"yosys": yosys_version(), "frames": FRAMES}
    if (rows or failed) and any(kept[name] != now for name, now in made_with.items()):
        told = " and ".join(f"{name} {kept[name]}, not {now}" for name, now in made_with.items())
        raise ConfigError(
            "E006",
            "settings that contradict each other",
            layer="--only",
            cause=f"rows that stay were made with {told}",
            fix="Measure all of them, without --only",
        )
    for program in subjects():
        if program.name in names:
            with tempfile.TemporaryDirectory() as folder:
                found = each(program, asked, Path(folder))
            rows += plain(one for one in found if isinstance(one, Row))
            failed += plain(one for one in found if isinstance(one, Failure))
    return {**made_with, "rows": rows, "failed": failed}


def each(program: Program, asked: argparse.Namespace, work: Path) -> list[Row | Failure]:
    """Return one program's rows: ours apart and together, at II = T too, then the rivals'."""
    rows: list[Row | Failure] = []
    for joint, how in ((False, "each, in twos"), (True, "joint, in threes")):
        for lanes in dict.fromkeys((program.tokens, 1)):
            settings = Settings(
                token_parallelism=lanes, joint=joint, ternary=joint, cache=asked.cache
            )
            place = work / f"{joint}{lanes}"
            rows.append(ours(program, settings, f"{OURS}, {how}", place, asked.cache))
    for package, python in (("da4ml", asked.da4ml), ("alkaid", asked.alkaid)):
        if python:
            rows.append(theirs(program, package, python, work, asked.cache, LEVELS))
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
