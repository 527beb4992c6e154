"""The driver under PYNQ's interface: a stand-in for the package, simulated blocks in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gateformer.host.bundle import bundle
from gateformer.host.description import STATUS_BLOCK, Description, Stream
from gateformer.host.driver import Accelerator
from gateformer.host.engine import NumpyEngine
from gateformer.host.simulated_board import SimulatedBoard
from gateformer.hw.dataflow.design import Port
from gateformer.quant.errors import BoardError, GateformerError, Problems
from gateformer.quant.types import Fixed

X = Port("s_axis", "x", 4, 2, Fixed(True, 6, 3), 1)
Y = Port("m_axis", "y", 4, 2, Fixed(True, 8, 3), 1)
MADE = Description("toy", 99, 10.0, 9, 4, (Stream(X, "dma_0"),), (Stream(Y, "dma_0"),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the board takes: an empty bitstream, and the description."""
    (tmp_path / "toy.bit").touch()
    (tmp_path / "toy.hwh").touch()
    (tmp_path / "toy.json").write_text(MADE.to_json(), encoding="utf-8")
    return tmp_path


def stand_in(board: SimulatedBoard, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Put a package pynq beside a simulated board; what it was asked is kept."""
    asked = SimpleNamespace(overlays=[], shapes=[])

    def overlay(path: str) -> Any:
        asked.overlays.append(path)
        blocks: dict[str, Any] = {name: board.dma(name) for name in board.description.dmas}
        blocks[STATUS_BLOCK] = board.status
        return SimpleNamespace(ip_dict={name: {} for name in [*blocks, "ps"]}, **blocks)

    def allocate(shape: tuple[int, ...], dtype: str) -> Any:
        asked.shapes.append((shape, np.dtype(dtype)))
        return board.allocate(shape[0])

    module = ModuleType("pynq")
    module.__dict__.update(Overlay=overlay, allocate=allocate)
    monkeypatch.setitem(sys.modules, "pynq", module)
    return asked


def test_a_bitstream_is_opened_run_and_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = SimulatedBoard(MADE, NumpyEngine(MADE, lambda frames: {"y": frames["x"] + 1}))
    asked = stand_in(board, monkeypatch)
    with Accelerator.open(folder / "toy.bit", batch=3) as chip:
        got = chip.predict(np.zeros((5, 4, 2)))
    np.testing.assert_array_equal(got, 1 / 8)
    assert asked.overlays == [str(folder / "toy.bit")]
    assert asked.shapes == [((3 * 16,), np.dtype(np.uint8))] * 2
    assert all(buffer.freed for buffer in board.buffers)


def raised(call: Any) -> GateformerError:
    with pytest.raises(BoardError if call.__name__ != "several" else Problems) as caught:
        call()
    return caught.value


def test_missing_files_are_named_together(folder: Path) -> None:
    for suffix in (".bit", ".hwh"):
        (folder / f"toy{suffix}").unlink()

    def several() -> None:
        Accelerator.open(folder / "toy.bit")

    lines = str(raised(several)).splitlines()
    assert [line.split(":")[0] for line in lines] == ["E906 no .bit file", "E906 no .hwh file"]


def test_without_pynq_the_place_to_run_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynq", None)

    def one() -> None:
        Accelerator.open(folder / "toy.bit")

    told = str(raised(one))
    assert told.startswith("E906 PYNQ not installed") and "on the board" in told


def test_missing_blocks_are_named_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pynq")
    module.__dict__["Overlay"] = lambda path: SimpleNamespace(ip_dict={"ps": {}})
    monkeypatch.setitem(sys.modules, "pynq", module)

    def several() -> None:
        Accelerator.open(folder / "toy.bit")

    lines = str(raised(several)).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "E906 no block 'dma_0'",
        f"E906 no block '{STATUS_BLOCK}'",
    ]


@pytest.mark.parametrize(
    ("where", "error", "told"),
    [
        (
            "Overlay",
            PermissionError("Root permissions required"),
            "E906 bitstream not loaded: Root",
        ),
        ("allocate", RuntimeError("Failed to allocate Memory!"), "E906 no memory for a DMA"),
    ],
)
def test_what_pynq_refuses_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception, told: str
) -> None:
    stand_in(SimulatedBoard(MADE, NumpyEngine(MADE, lambda frames: frames)), monkeypatch)

    def refuse(*arguments: Any, **settings: Any) -> None:
        raise error

    monkeypatch.setattr(sys.modules["pynq"], where, refuse)

    def one() -> None:
        Accelerator.open(folder / "toy.bit")

    assert str(raised(one)).startswith(told)


def test_the_boards_own_python_runs_the_driver(tmp_path: Path) -> None:
    """PYNQ's images have Python 3.10: its own interpreter, where there is one with numpy."""
    python = shutil.which("python3.10")
    if python is None or subprocess.run([python, "-c", "import numpy"], check=False,
                                        capture_output=True).returncode:  # fmt: skip
        pytest.skip("not installed: Python 3.10 with numpy")
    for path, text in bundle().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    (tmp_path / "toy.json").write_text(MADE.to_json(), encoding="utf-8")
    (tmp_path / "run.py").write_text(BARE, encoding="utf-8")
    done = subprocess.run(
        [python, "run.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[[[ 0.125 -4.   ]]]\n", done.stderr


BARE = '''
"""The smallest board: one DMA that copies each word to where it goes."""
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from gateformer.host import Accelerator, Description


class Channel:
    idle, error, transferred = False, False, 0

    def __init__(self, board):
        self.board = board

    def start(self):
        self.idle = False

    def transfer(self, array, start, nbytes):
        self.array, self.nbytes = array, nbytes
        if self is self.board.dma.sendchannel:
            self.board.dma.recvchannel.array[:nbytes] = array[:nbytes]
            self.idle = self.board.dma.recvchannel.idle = True

    def wait(self):
        self.transferred = self.nbytes


class Board:
    def __init__(self):
        self.both = SimpleNamespace(sendchannel=Channel(self), recvchannel=Channel(self),
                                    read=lambda offset: 0, write=lambda offset, value: None)
        self.status = SimpleNamespace(read=lambda offset: 99 << 1, write=lambda o, v: None)

    @property
    def dma(self):
        class Both(SimpleNamespace):
            def __call__(self, name):
                return self
        return Both(**vars(self.both))

    def allocate(self, nbytes):
        return np.zeros(nbytes, np.uint8)

    def release(self, buffer):
        pass


with Accelerator(Board(), Description.load(Path("toy.json"))) as chip:
    print(chip.predict(np.array([[[0.125, -9], [0, 0], [0, 0], [0, 0]]]))[:, :1])
'''
