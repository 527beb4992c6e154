"""``gateformer generate pim``: a folder that Icarus compiles as it stands, or a clear refusal."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from gateformer.cli import main
from gateformer.hw.pim import device as hardware

TOPS = ["gf_pim_device", "gf_pim_asic"]


@pytest.mark.parametrize(
    "options",
    [
        "pim-rtl",
        "gddr6-aim --rows 3 --refresh per-bank --strict --weights int8",
        "pim-gpt --refresh none --weights int4",
    ],
)
def test_the_folder_compiles(
    options: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    arguments = [*options.split(), "--channels", "1", "--out", str(folder), "--json"]
    assert main(["generate", "pim", *arguments]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["folder"] == str(folder)
    assert answer["tops"] == TOPS
    assert all((folder / name).is_file() for name in answer["files"])
    if (icarus := shutil.which("iverilog")) is None:
        pytest.skip("iverilog is not installed")
    for part, top in zip(("memory", "asic"), TOPS, strict=True):
        command = [icarus, "-g2001", "-s", top, "-o", str(tmp_path / top), "-f", "files.f"]
        done = subprocess.run(
            command, cwd=folder / part, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "pim", "nothing"]) != 0
    assert "E807" in capsys.readouterr().err
    text = hardware.text_of("pim-gpt")
    (tmp_path / "timing.toml").write_text(text[: text.index("[refresh]")])
    assert main(["generate", "pim", str(tmp_path / "timing.toml")]) != 0
    assert "E805 device does not fit: 'timing'. It is a timing file" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("kept")
    assert main(["generate", "pim", "--out", str(tmp_path / "mine")]) != 0
    assert "E703" in capsys.readouterr().err
    assert [one.name for one in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_neither_command_deletes_the_other_s_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, verilog = str(tmp_path / "page"), str(tmp_path / "verilog")
    simulate = ["pim", "simulate", "gpt2-small", "--tokens", "1", "--out"]
    generate = ["generate", "pim", "--channels", "1", "--out"]
    assert main([*simulate, page]) == main([*generate, verilog]) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main([*simulate, verilog]) == 9
    assert "E703" in (said := capsys.readouterr().err) and "gateformer generate pim wrote" in said
    assert main([*generate, page]) == 9
    assert "E703" in (said := capsys.readouterr().err) and "gateformer pim simulate wrote" in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert main([*simulate, page]) == main([*generate, verilog]) == 0


@pytest.mark.parametrize("name", ["x; endmodule", "a\nmodule b", "..", "-f", "é"])
def test_a_name_that_cannot_stand_in_verilog(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"{name}.toml"
    devices = Path(hardware.__file__).parent / "devices"
    file.write_text((devices / "pim-rtl.toml").read_text("utf-8"), "utf-8")
    folder = tmp_path / "out"
    assert main(["generate", "pim", str(file), "--out", str(folder)]) == 10
    assert "E804 device name not for Verilog" in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "most"), [("--channels 1", 16384), ("", 2048), ("--channels 64", 256)]
)
def test_rows_are_as_many_as_simulators_take(
    options: str, most: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """512 MiB of cells; one row in each bank more is refused, and nothing is written."""
    arguments = ["generate", "pim", "pim-rtl", *options.split(), "--out", str(tmp_path / "out")]
    for rows in (most + 1, 1_000_000):
        assert main([*arguments, "--rows", str(rows)]) == 10
        said = capsys.readouterr().err
        assert "E805 more rows than simulators take" in said
        assert f"--rows {most} at most" in " ".join(said.split())
        assert not (tmp_path / "out").exists()
    assert main([*arguments, "--rows", str(most)]) == 0
