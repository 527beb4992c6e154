"""Builds and runs cocotb simulations on Icarus Verilog and Verilator.

Owns the build cache. The only module that imports cocotb's runner,
and only in a process of its own, so that no other process's environment changes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateformer.quant.signals import heeding_signals
from gateformer.sim.rtl.tools import Simulator, run_tool, tool_environment, tool_version

__all__ = [
    "Build",
    "Simulator",
    "build",
    "cached",
    "content_key",
    "run_cocotb",
    "tool_environment",
    "waveform",
    "write_sources",
]

ICARUS_OPTIONS = ("-Wall", "-Wno-timescale")
VERILATOR_OPTIONS = ("-Wno-fatal", "-Wno-lint", "-Wno-style", "-O3", "--x-assign", "fast")
_FORMAT = "2"  # part of every cache key: raise it when the layout of a build changes


@dataclass(frozen=True, slots=True)
class Build:
    """A simulation model, built.

    Attributes
    ----------
    simulator : {"icarus", "verilator"}
        Which simulator it is for.
    top : str
        The top module.
    folder : Path
        Where the model lies, complete.
    data : tuple of str
        Names of files that the model reads when it runs.
    waves : bool
        Whether it can write a waveform.
    """

    simulator: Simulator
    top: str
    folder: Path
    data: tuple[str, ...]
    waves: bool

    def supply(self, folder: Path) -> None:
        """Copy what the model reads at run time into the folder it will run in."""
        for name in self.data:
            shutil.copyfile(self.folder / "sources" / name, folder / name)


def build(
    simulator: Simulator, files: Mapping[str, str], top: str, cache: Path, waves: bool = False
) -> Build:
    """Build a simulation model, or find it built.

    Parameters
    ----------
    simulator : {"icarus", "verilator"}
        The simulator.
    files : mapping of str to str
        Text by file name: Verilog (``.v``) and what ``$readmemh`` reads.
    top : str
        The top module.
    cache : Path
        Folder of finished builds, one a content hash.
    waves : bool
        Whether the model can write a waveform.

    Raises
    ------
    ToolError
        E501 or E505 where a tool is missing, E502 where it fails.
    """
    environment = tool_environment(simulator)
    options = ICARUS_OPTIONS if simulator == "icarus" else VERILATOR_OPTIONS
    key = content_key(files, _FORMAT, simulator, tool_version(simulator), top, waves, *options)
    data = tuple(sorted(name for name in files if not name.endswith(".v")))

    def make(folder: Path) -> None:
        sources = write_sources(files, folder)
        request = {
            "action": "build",
            "simulator": simulator,
            "top": top,
            "sources": sources,
            "folder": str(folder),
            "waves": waves,
            "options": options,
        }
        _worker(request, folder, environment, cache / f"{key}.log")

    return Build(simulator, top, cached(cache / key, make), data, waves)


def run_cocotb(built: Build, module: str, work: Path, settings: Mapping[str, str]) -> None:
    """Run the tests of a cocotb module on a built model.

    Parameters
    ----------
    built : Build
        The model.
    module : str
        Python module of the tests.
    work : Path
        Folder the simulation runs in; gets the waveform and ``simulation.log``.
    settings : mapping of str to str
        Further environment of the simulation.

    Raises
    ------
    ToolError
        E502 where the simulator fails; its last lines are the cause.
    """
    work = work.absolute()  # the worker runs elsewhere
    work.mkdir(parents=True, exist_ok=True)
    built.supply(work)
    log = work / "simulation.log"
    request = {
        "action": "test",
        "simulator": built.simulator,
        "top": built.top,
        "folder": str(built.folder),
        "waves": built.waves,
        "module": module,
        "work": str(work),
        "settings": dict(settings),
    }
    _worker(request, work, tool_environment(built.simulator), log)


def waveform(built: Build, work: Path) -> Path | None:
    """Where a run left its waveform."""
    if not built.waves:
        return None
    return work / (f"{built.top}.fst" if built.simulator == "icarus" else "dump.vcd")


def content_key(files: Mapping[str, str], *options: object) -> str:
    """Hash of sources and options, as a folder name."""
    digest = hashlib.sha256(repr(options).encode())
    for name in sorted(files):
        digest.update(f"\0{name}\0".encode() + files[name].encode())
    return digest.hexdigest()[:24]


def cached(
    folder: Path, make: Callable[[Path], None], whole: Callable[[Path], bool] = Path.is_dir
) -> Path:
    """Have ``make`` fill a folder of another name, then give it this one.

    Nothing is done where it is whole; what else bears its name is replaced. The folder that is
    returned, and the one that ``make`` is given, are absolute: tools run in folders of their own.
    """
    folder = folder.absolute()
    if whole(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with heeding_signals():
            make(fresh)
        if not whole(folder):
            _remove(folder)
        fresh.rename(folder)
    except OSError:
        if not whole(folder):
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_sources(files: Mapping[str, str], folder: Path) -> list[str]:
    """Write all files below ``folder/sources``; returns the paths of the Verilog among them."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    for name, text in files.items():
        (sources / name).write_text(text, encoding="utf-8")
    return [str(sources / name) for name in files if name.endswith(".v")]


def _worker(
    request: Mapping[str, object], folder: Path, environment: Mapping[str, str], log: Path
) -> None:
    asked = folder / "request.json"
    asked.write_text(json.dumps(request), encoding="utf-8")
    run_tool([sys.executable, "-m", __name__, str(asked)], folder, environment, log)


def _serve(request: Mapping[str, Any]) -> None:
    """Do one request with cocotb's runner, in this process's environment."""
    from cocotb_tools.runner import get_runner

    runner = get_runner(request["simulator"])
    if request["action"] == "build":
        runner.build(
            sources=request["sources"],
            hdl_toplevel=request["top"],
            build_dir=request["folder"],
            build_args=request["options"],
            waves=request["waves"],
            timescale=("1ns", "1ps"),
            always=True,
        )
        return
    work = Path(request["work"])
    runner.test(
        test_module=request["module"],
        hdl_toplevel=request["top"],
        hdl_toplevel_lang="verilog",
        build_dir=request["folder"],
        test_dir=work,
        results_xml=str(work / "results.xml"),
        extra_env=request["settings"],
        plusargs=[f"+dumpfile_path={work / request['top']}.fst"],
        waves=request["waves"],
        timescale=("1ns", "1ps"),
    )


if __name__ == "__main__":
    _serve(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
