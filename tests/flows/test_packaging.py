"""A wheel made from the sdist holds what the checkout holds, under ``gateformer`` alone."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = {"hw": "gateformer/hw", "quant": "gateformer/quant", "sim": "gateformer/sim"}
FLOORS["sw"] = "gateformer"
DATA = {".py", ".v", ".toml", ".json", ".j2", ".css", ".js", ".tcl", ".cpp", ".h", ".typed"}

pytestmark = pytest.mark.slow


def build(kind: str, source: Path, into: Path) -> Path:
    """Build an sdist or a wheel with the backend itself, so that nothing is downloaded."""
    hook = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(into)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", hook], cwd=source, capture_output=True, text=True, check=True
    )
    return into / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    for floor in FLOORS:
        shutil.copytree(ROOT / floor, source / floor, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    sdist = build("sdist", source, folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return build("wheel", unpacked, folder)


def test_wheel_holds_every_source_and_nothing_beside(wheel: Path) -> None:
    built = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {
        f"{package}/{path.relative_to(ROOT / floor)}"
        for floor, package in FLOORS.items()
        for path in (ROOT / floor).rglob("*.*")
        if path.suffix in DATA and "__pycache__" not in path.parts
    }
    assert built == wanted


def test_wheel_imports_from_every_floor(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    probe = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import gateformer.hw, gateformer.quant, gateformer.sim, gateformer.cli\n"
        "print(gateformer.hw.__file__)\n"
        "raise SystemExit(gateformer.cli.main(['--version']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path))
