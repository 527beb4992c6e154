"""What the command line says when something goes wrong, and with which exit code it ends."""

import errno
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

import typer

from gateformer.quant.errors import ConfigError, GateformerError, Interrupted, RunError
from gateformer.quant.signals import Ended

INTERNAL = 70
"""Exit code of a defect of gateformer's own (EX_SOFTWARE)."""
BROKEN_PIPE = 141
"""Exit code where the reader of our output went away, as shells count SIGPIPE."""
CRASH_LOG = "gateformer-crash.log"

FULL = {errno.ENOSPC, errno.EDQUOT}
DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def explain(error: BaseException) -> BaseException:
    """Turn what the user can act upon into a `GateformerError`; leave a defect as it is."""
    if isinstance(error, KeyboardInterrupt | typer.Abort | Ended):
        fix = "Nothing is half-written: the same command goes on with what is whole"
        if isinstance(error, Ended):
            return Interrupted(fix=fix, exit_code=int(error.code or 0))
        return Interrupted(fix=fix)
    if isinstance(error, typer.TyperException):
        cause = error.format_message().replace("Value error, ", "")
        return ConfigError("E005", "invalid command line", cause=cause)
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return explain_os(error)
    return error


def explain_os(error: OSError) -> BaseException:
    """Turn an operating system's refusal into a `RunError`, where it is one."""
    place = None if error.filename is None else str(error.filename)
    if error.errno in FULL:
        return RunError("E701", "disk full", layer=place, fix="Free space, then run it again")
    if error.errno in DENIED:
        return RunError(
            "E702",
            "permission denied",
            layer=place,
            fix="Choose another place, or change the permissions",
        )
    if place is None:
        return error
    return RunError("E706", "file system error", layer=place, cause=error.strerror or "")


def report(error: BaseException, *, as_json: bool) -> int:
    """Print the error, as one line a problem, and return the exit code."""
    if isinstance(error, BrokenPipeError):
        discard_output()
        return BROKEN_PIPE
    if isinstance(error, GateformerError):
        if as_json:
            print_json({"error": error.as_dict(), "exit_code": error.exit_code})
        say(str(error))
        return error.exit_code
    say(f"internal error: {type(error).__name__}: {error}. Its traceback is in {save(error)}")
    return INTERNAL


def print_json(answer: dict[str, object]) -> None:
    """Print JSON; where the output itself is what failed, print nothing."""
    try:
        print(json.dumps(answer), flush=True)
    except OSError:
        discard_output()


def discard_output() -> None:
    """Send what is left of the output nowhere, so that closing it raises no second error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print to the standard error, with colour on a terminal alone."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True)
    for line in text.splitlines():
        console.print(Text(line, style="red"))


def save(error: BaseException) -> Path:
    """Write the traceback to the working folder, or to a temporary one if that refuses."""
    text = "".join(traceback.format_exception(error))
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            (folder / CRASH_LOG).write_text(text, encoding="utf-8")
        except OSError:
            continue
        return folder / CRASH_LOG
    sys.stderr.write(text)
    return Path(os.devnull)
