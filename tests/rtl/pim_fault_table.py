"""The seeded faults as docs/pim_rtl.md lists them.

Owns ``FAULTS`` and ``table``. Run as a program it puts the table into the page.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rtl.pim_faults import NUMBERS, Fault
from rtl.pim_faults_asic import ASIC
from rtl.pim_faults_memory import MEMORY
from rtl.pim_faults_units import UNITS

FAULTS = (*NUMBERS, *ASIC, *UNITS, *MEMORY)
BEGIN, END = "<!-- faults -->", "<!-- faults end -->"


def table(faults: Iterable[Fault]) -> str:
    """Return a row for each file and the bench that sees its faults."""
    rows: dict[tuple[str, str], list[str]] = {}
    for one in faults:
        rows.setdefault((one.file, one.bench), []).append(one.name)
    lines = [
        f"| {file.removeprefix('gf_pim_')} | {bench} | {'; '.join(names)} |"
        for (file, bench), names in rows.items()
    ]
    return "\n".join(["| file | seen by | faults |", "|---|---|---|", *lines])


if __name__ == "__main__":
    page = Path(__file__).parents[2] / "docs/pim_rtl.md"
    before, rest = page.read_text("utf-8").split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{table(FAULTS)}\n\n{END}{after}", "utf-8")
