"""A plan's calls as a script, for a machine that has the tool but not gateformer.

Owns ``script``. Imports the plan only.
"""

from __future__ import annotations

import shlex

from gateformer.toolchains.plan import PYTHON, Call, Plan

SCRIPT = "build.sh"
"""Its name, in the build's folder."""


def script(plan: Plan) -> str:
    """Return a plan's calls as a POSIX shell script, to be run where the tool is."""
    lines = [
        "#!/bin/sh",
        f"# What gateformer build --tool {plan.tool} calls here, for a machine that has the tool.",
        "set -eu",
        'cd -- "$(dirname -- "$0")"',
    ]
    for call in plan.calls:
        lines += ["", f"# {call.stage}", *_typed(call)]
    return "\n".join([*lines, ""])


def _typed(call: Call) -> list[str]:
    """Return the lines of one call, and of those that may stand in for it."""
    line = shlex.join(("python3" if call.program == PYTHON else call.program, *call.arguments))
    if call.otherwise is None:
        return [line]
    return [
        f"if command -v {shlex.quote(call.program)} >/dev/null 2>&1; then",
        f"  {line}",
        "else",
        *(f"  {other}" for other in _typed(call.otherwise)),
        "fi",
    ]
