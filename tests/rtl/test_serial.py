"""gf_<name>_uart on Icarus: frames by bytes in, frames by bytes out, breaks in between."""

from __future__ import annotations

from pathlib import Path

import pytest
from equiv.networks import NETWORKS, icarus, network, vectors
from equiv.serial_bench import bench

from gateformer.hw.dataflow.plan import plan
from gateformer.hw.rtl.emit import emit
from gateformer.hw.rtl.serial import serial_top
from gateformer.hw.settings import Settings
from gateformer.quant.execute import run

pytestmark = pytest.mark.icarus

DIVISOR = 5


@pytest.mark.parametrize(
    ("name", "lanes"), [("dense", 1), ("dense", 4), ("masked", 1), ("two_outputs", 2), ("cross", 1)]
)
def test_bytes_in_and_out(name: str, lanes: int, tmp_path: Path) -> None:
    graph = network(NETWORKS[name], kind="fixed<9,4>" if lanes == 4 else "fixed<8,3>")
    planned = plan(graph, Settings(token_parallelism=lanes))
    frames = vectors(graph, 3)
    about, told = bench(planned.design, frames, run(graph, frames), DIVISOR)
    files = {**emit(planned).files, **serial_top(planned.design, DIVISOR), **about}
    for file, text in files.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    said = icarus(tmp_path, "bench", [file for file in files if file.endswith(".v")])
    assert said[-1] == told, said


def test_the_top_says_what_travels() -> None:
    design = plan(network(NETWORKS["cross"], kind="fixed<8,3>"), Settings()).design
    text = serial_top(design, 434)["gf_cross_uart.v"]
    assert "// in:  6 times 4 of x, 5 of y bytes a frame" in text
    assert "parameter Divisor = 434" in text
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()
