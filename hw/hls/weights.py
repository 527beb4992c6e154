"""Constant arrays in C++: hls4ml's weights and the look-up tables, quick to compile.

Owns ``quick`` and ``table_text``. Imports the statements.
"""

from __future__ import annotations

import re
from textwrap import wrap

from gateformer.hw.hls.statements import Table

WIDTH = 94
"""Columns of a list of numbers, its indentation not counted."""

_GUARD = re.compile(r"^#define \w+_H_$\n", re.MULTILINE)
_DEFINITION = re.compile(
    r"^(?P<head>(?:\[\[.*\]\] )?(?:static (?:const|constexpr) )?"
    r"(?P<type>[\w:]+) (?P<name>\w+)\[(?P<size>\d+)\])"
    r" = \{(?P<all>.*)\};$",
    re.MULTILINE,
)


def quick(text: str) -> str:
    """A header of hls4ml's in ``firmware/weights`` that compiles in no time.

    A compiler makes code of every decimal that initializes a fixed-point number: seconds for
    thousands of weights, and out of all proportion beyond. So a simulation gets the decimals as
    plain numbers and converts them as it starts; a synthesizer gets hls4ml's own definition.
    """
    found, count = _DEFINITION.subn(_quick, text)
    include = '\n#include "../gf/gf_weights.h"\n'
    return _GUARD.sub(lambda guard: guard[0] + include, found, count=1) if count else text


def _quick(found: re.Match[str]) -> str:
    kind, name, size = found["type"], found["name"], found["size"]
    return (
        f"#ifdef GF_SYNTHESIS\n{found['head']} =\n"
        f"#else\nstatic const double {name}_values[{size}] =\n#endif\n"
        f"{{\n{_listed(found['all'])}\n}};\n\n"
        "#ifndef GF_SYNTHESIS\n"
        f"static const {kind} (&{name})[{size}] = gf::weights<{kind}>({name}_values);\n#endif"
    )


def _listed(numbers: str) -> str:
    return "\n".join(f"    {line}" for line in wrap(numbers, WIDTH, break_on_hyphens=False))


def table_text(table: Table) -> str:
    """A look-up table as a read-only array of raw integers."""
    word = f"gf::{'' if table.type.signed else 'u'}rom<{table.type.width}>"
    if table.raw.ndim == 1:
        body = _listed(", ".join(str(int(x)) for x in table.raw))
    else:
        rows = ("{" + ", ".join(str(int(x)) for x in row) + "}" for row in table.raw)
        body = ",\n".join(f"    {row}" for row in rows)
    size = "".join(f"[{n}]" for n in table.raw.shape)
    guard = f"GF_TABLE_{table.name.upper()}_H_"
    return (
        f"// {table.about}\n\n#ifndef {guard}\n#define {guard}\n\n"
        f'#include "../gf/gf_types.h"\n\n'
        f"static const {word} {table.name}{size} = {{\n{body}\n}};\n\n#endif\n"
    )
