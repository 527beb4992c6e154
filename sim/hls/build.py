"""Compiles an HLS project with g++ and the headers that hls4ml bundles for its backend.

Owns ``compile_project``. Imports the project, the cache of builds and the process runner.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from gateformer.hw.hls.project import Backend, IoType, Port, Project
from gateformer.quant.errors import ToolError
from gateformer.quant.tools import require_tool
from gateformer.sim.hls.processes import Hung, Job, run_jobs
from gateformer.sim.hls.program import Compiled, Progress, quiet, words_of
from gateformer.sim.hls.sycl import emulation, interface
from gateformer.sim.rtl.build import cached, content_key

_FORMAT = "2"  # part of every cache key: raise it when the layout of a build changes
LIMIT = 1800.0
"""Seconds that one translation unit may take."""
BENCH = "bench"
"""Folder of the bench's sources inside a build."""
PROGRAM = "frames"
DIGEST = f"{PROGRAM}.sha256"
"""Beside the program: what tells a damaged one."""
VERSION_LIMIT = 60.0
"""Seconds that the compiler may take to name its version."""


@dataclass(frozen=True, slots=True)
class Family:
    """How the projects of a backend are compiled.

    Attributes
    ----------
    bits : str
        Header of the bench that knows the backend's number types.
    include : tuple of str
        Folders of headers inside the project.
    standard : str
        The C++ standard that hls4ml's own scripts give the backend's compiler.
    least : int
        Bits of the narrowest type: Intel's compilers take none of one bit.
    root : str
        Folder of the sources inside the project.
    """

    bits: str
    include: tuple[str, ...]
    standard: str
    least: int = 1
    root: str = ""


AP = Family("gf_bits_ap.h", ("firmware", "firmware/ap_types"), "c++11")
AC = Family("gf_bits_ac.h", ("firmware", "firmware/ac_types"), "c++11", 2)
SYCL = Family("gf_bits_ac.h", ("src/firmware",), "c++17", 2, "src/")
FAMILIES: Mapping[Backend, Family] = {"vitis": AP, "vivado": AP, "quartus": AC, "oneapi": SYCL}
"""How each backend's projects are compiled."""
SHAPES: Mapping[tuple[Backend, IoType], str] = {
    ("vitis", "io_parallel"): "arrays",
    ("vitis", "io_stream"): "streams",
    ("vivado", "io_parallel"): "arrays",
    ("vivado", "io_stream"): "streams",
    ("quartus", "io_parallel"): "structs",
    ("quartus", "io_stream"): "streams",
    ("oneapi", "io_parallel"): "pipes",
    ("oneapi", "io_stream"): "pipes",
}
"""How the top takes its tensors: as arrays, as structs of arrays, as streams, or by pipes."""
OPTIONS = ("-O1", "-w", "-D_GLIBCXX_ASSERTIONS")
"""Quick to compile; assertions, so that an empty queue of hls4ml's ac streams is not read."""


def compile_project(
    project: Project, work: Path, cache: Path | None = None, progress: Progress | None = None
) -> Compiled:
    """Compile a project with a bench that passes raw integers, or find it compiled.

    Parameters
    ----------
    project : Project
        The project.
    work : Path
        Folder for the logs of a compiler that fails; and for builds where there is no cache.
    cache : Path, optional
        Folder of finished builds, one a content hash.
    progress : callable, optional
        Told of the translation units.

    Raises
    ------
    ToolError
        E501 without g++, E502 where it fails (its first error is the cause), E503 where it takes
        too long.
    """
    family = family_of(project)
    compiler = require_tool("g++")
    files = {**project.files, **bench_files(project, family)}
    key = content_key(files, _FORMAT, compiler_version(compiler), family.standard, *OPTIONS)
    folder = (cache or work / "builds").absolute() / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    found = whole(folder)

    def make(into: Path) -> None:
        write_tree(files, into)
        logs = work / f"{key}.logs"
        failed = False
        try:
            _compile(project, family, compiler, into, logs, progress or quiet)
        except ToolError:
            failed = True
            raise
        finally:
            if not failed:
                shutil.rmtree(logs, ignore_errors=True)

    cached(folder, make, whole)
    seconds = 0.0 if found else time.perf_counter() - start
    return Compiled(project, folder / PROGRAM, seconds)


def whole(folder: Path) -> bool:
    """Whether a build's program is there, executable, and the one that was linked."""
    program = folder / PROGRAM
    try:
        return os.access(program, os.X_OK) and (folder / DIGEST).read_bytes() == _digest(program)
    except OSError:
        return False


def _digest(program: Path) -> bytes:
    return hashlib.sha256(program.read_bytes()).hexdigest().encode()


def family_of(project: Project) -> Family:
    """Return how a project is compiled."""
    return FAMILIES[project.settings.backend]


def bench_files(project: Project, family: Family) -> dict[str, str]:
    """Return the bench's sources by name."""
    here = resources.files("gateformer.sim.hls").joinpath("bench")
    headers = emulation(BENCH) if family is SYCL else {}
    return headers | {
        f"{BENCH}/gf_bits.h": here.joinpath(family.bits).read_text("utf-8"),
        f"{BENCH}/gf_bench.h": here.joinpath("gf_bench.h").read_text("utf-8"),
        f"{BENCH}/gf_trace.h": here.joinpath("gf_trace.h").read_text("utf-8"),
        f"{BENCH}/{BENCH}.cpp": bench_text(project, family),
    }


def bench_text(project: Project, family: Family) -> str:
    """Return the C++ bench of a project."""
    import jinja2

    shape = SHAPES[project.settings.backend, project.settings.io_type]
    kernel, pipes = interface(project) if shape == "pipes" else ("", [])
    streams = project.settings.io_type == "io_stream"

    def facts(port: Port, side: str, number: int) -> dict[str, object]:
        name = f"{side}{number}"
        places = {
            "arrays": f"{name}_array",
            "structs": f"{'given' if side == 'in' else 'made'}.{port.variable}",
            "streams": f"{name}_queue",
            "pipes": "",
        }
        rank = number if side == "in" else number + len(project.inputs)
        return {
            "id": name,
            "variable": port.variable,
            "place": places[shape],
            "pipe": pipes[rank] if pipes else "",
            "beat": port.features if streams else port.size,
            "tokens": port.tokens,
            "features": port.features,
            "size": port.size,
            "words": port.size * words_of(port.type),
            "width": max(port.type.width, family.least),
            "frac": port.type.frac,
            "sign": str(port.type.signed).lower(),
        }

    kind = "bench_pipes.cpp.j2" if pipes else "bench.cpp.j2"
    source = resources.files("gateformer.sim.hls").joinpath("bench", kind).read_text("utf-8")
    template = jinja2.Template(
        source, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return template.render(
        top=project.top,
        header=f"{family.root}firmware/{project.top}.h",
        kernel=kernel,
        shape=shape,
        inputs=[facts(port, "in", i) for i, port in enumerate(project.inputs)],
        outputs=[facts(port, "out", i) for i, port in enumerate(project.outputs)],
    )


def write_tree(files: Mapping[str, str], folder: Path) -> None:
    """Write texts by their paths below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def units(project: Project) -> list[str]:
    """Return the project's translation units: the C++ files of its firmware."""
    return [
        name
        for name in project.files
        if name.startswith(f"{family_of(project).root}firmware/") and name.endswith(".cpp")
    ]


def environment() -> dict[str, str]:
    """Return the environment of the compiler: ccache must not see the folder's name."""
    return dict(os.environ) | {"CCACHE_NOHASHDIR": "1", "LC_ALL": "C"}


@functools.cache
def compiler_version(compiler: Path) -> str:
    """Return the first line that the compiler prints of itself."""
    with tempfile.TemporaryDirectory(prefix="gateformer-hls-") as scratch:
        log = Path(scratch) / "version"
        asked = Job((str(compiler), "--version"), log)
        try:
            run_jobs([asked], log.parent, environment(), patience=VERSION_LIMIT, life=int)
        except Hung:
            raise ToolError(
                "E503",
                "g++ ran out of time",
                layer=str(compiler),
                cause=f"It did not name its version within {VERSION_LIMIT:g} s",
                fix="Check its installation",
            ) from None
        return log.read_text("utf-8", errors="replace").partition("\n")[0]


def _compile(
    project: Project,
    family: Family,
    compiler: Path,
    folder: Path,
    logs: Path,
    progress: Progress,
) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    quick = shutil.which("ccache")
    start = (*([quick] if quick else []), str(compiler))
    include = [f"-I{name}" for name in (BENCH, *family.include, ".")]
    sources = [*units(project), f"{BENCH}/{BENCH}.cpp"]
    objects = [f"{name}.o" for name in sources]
    jobs = [
        Job(
            (*start, f"-std={family.standard}", *OPTIONS, *include, "-c", name, "-o", made),
            logs / f"compile_{number}.log",
        )
        for number, (name, made) in enumerate(zip(sources, objects, strict=True))
    ]
    total = len(jobs) + 1
    _run(jobs, folder, lambda done: progress(done, total))
    link = Job((str(compiler), *objects, "-pthread", "-o", PROGRAM), logs / "link.log")
    _run([link], folder, lambda done: progress(len(jobs) + done, total))
    if not os.access(folder / PROGRAM, os.X_OK):
        raise ToolError(
            "E502",
            "g++ made no program",
            layer=str(compiler),
            cause="It ended without an error",
            fix="Check its installation",
        )
    (folder / DIGEST).write_bytes(_digest(folder / PROGRAM))
    for name in objects:
        (folder / name).unlink(missing_ok=True)


def _run(jobs: list[Job], folder: Path, progress: Callable[[int], None]) -> None:
    """Run compilers side by side; E502 with the first error, E503 where one takes too long."""

    def life(finished: int) -> int:
        progress(finished)
        return finished

    try:
        codes = run_jobs(jobs, folder, environment(), patience=LIMIT, life=life)
    except Hung:
        raise ToolError(
            "E503",
            "g++ ran out of time",
            cause=f"A translation unit took over {LIMIT:g} s",
            fix="Raise the reuse factor, or split the network",
        ) from None
    if not any(codes):
        return
    told = [
        line
        for job in jobs
        if job.log.exists()
        for line in job.log.read_text("utf-8", errors="replace").splitlines()
    ]
    errors = [line for line in told if "error:" in line or "undefined reference" in line]
    causes = list(dict.fromkeys(errors))[:2] or list(dict.fromkeys(told))[-3:]
    code = next(code for code in codes if code)
    raise ToolError(
        "E502",
        f"g++ failed with exit code {code}",
        cause=" / ".join(causes),
        fix=f"See the logs in {jobs[0].log.parent}",
    )
