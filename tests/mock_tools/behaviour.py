"""What the fake vendor tools share: a record of their calls, and ways to go wrong.

They are told by two environment variables: ``MOCK_CALLS`` names the file that each call is
written to as a line of JSON, ``MOCK_MODE`` how to behave (``ok`` where it is absent).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORTS = HERE / "reports"
MODE = os.environ.get("MOCK_MODE", "ok")


def begin(tool: str, errors: dict[str, str]) -> None:
    """Record the call, then go wrong as the mode says; ``errors`` are the tool's own words."""
    with Path(os.environ["MOCK_CALLS"]).open("a", encoding="utf-8") as file:
        line = {"tool": tool, "arguments": sys.argv[1:], "folder": str(Path.cwd())}
        file.write(json.dumps(line) + "\n")
    if MODE == "noise":
        for _ in range(400):
            sys.stdout.buffer.write(b"INFO: \xff\xfe\x80 bytes that are no text \x1b[31m\r" * 200)
        sys.stdout.buffer.write(b"x" * 300_000 + b"\n")
        sys.stdout.flush()
    if MODE == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if MODE == "hang":
        hang()
    if MODE in errors:
        print("INFO: starting", flush=True)
        print(errors[MODE], flush=True)
        print("ERROR: and what follows from the first", flush=True)
        sys.exit(1)


def hang() -> None:
    """Ignore the wish to end, start a child that does so too, and wait."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(
        [sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(600)"]
    )
    Path(os.environ["MOCK_CALLS"] + ".pids").write_text(f"{os.getpid()} {child.pid}")
    print("INFO: working", flush=True)
    time.sleep(600)


def leave(report: str, path: str) -> None:
    """Write a report; in mode ``silent`` none, in mode ``garbage`` one that nobody can read."""
    if MODE == "silent":
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if MODE == "garbage":
        target.write_bytes(b"\x00\xff garbage \xfe")
    else:
        shutil.copyfile(REPORTS / report, target)


def tcl(prelude: str, script: str, arguments: list[str]) -> None:
    """Run a script under plain Tcl, with stand-ins for the tool's own commands."""
    reports = {"MOCK_REPORTS": str(REPORTS), "MOCK_MODE": MODE}
    command = ["tclsh", str(HERE / prelude), script, *arguments]
    sys.exit(subprocess.run(command, env=os.environ | reports, check=False).returncode)
