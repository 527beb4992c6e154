"""A network with real steps from its file to its board: everywhere the model's own reals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from equiv.networks import NETWORKS, Maker

from gateformer.config.schema import Config
from gateformer.flow.layers import layer_rows
from gateformer.flow.steps.accuracy import Accuracy
from gateformer.flow.steps.calibrating import Calibrate
from gateformer.flow.steps.importing import Import
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.steps.scheduling import Schedule
from gateformer.flow.view import Memory
from gateformer.host.description import Description
from gateformer.host.driver import Accelerator
from gateformer.host.engine import NumpyEngine
from gateformer.host.simulated_board import SimulatedBoard
from gateformer.quant.execute import run, run_reals
from gateformer.quant.graph import Builder
from gateformer.quant.serialize import save
from gateformer.quant.types import FloatArray


def written(name: str, folder: Path) -> tuple[Memory, FloatArray]:
    """A network of the catalogue as a model file, with data in the model's units."""
    builder = Builder(name)
    NETWORKS[name](Maker(builder, np.random.default_rng(1)))
    graph = builder.build()
    save(graph, folder / "model.json")
    data = np.random.default_rng(2).normal(0, 1, (120, *graph.values["x"].shape))
    expected = run_reals(graph, {"x": data})[graph.outputs[0]]
    labels = expected.reshape(len(data), -1).argmax(1)
    np.savez(folder / "data.npz", x_test=data[:60], y_test=labels[:60], x_calib=data[60:])
    config = Config.model_validate(
        {
            "model": str(folder / "model.json"),
            "data": {"file": str(folder / "data.npz")},
            "generate": {"adders": "csd"},
        }
    )
    return Memory(config), data[:60]


@pytest.mark.parametrize("name", ["scaled_dense", "scaled_attention"])
def test_from_the_file_to_the_board(name: str, tmp_path: Path) -> None:
    view, data = written(name, tmp_path)
    graph, lowered = view.get(Import), view.get(Lower).graph
    output = graph.outputs[0]
    exact = run_reals(graph, {"x": data})[output]
    assert all("step" in row.quantizers for row in layer_rows(graph) if "Scaled" in row.kind)

    outputs = view.get(Accuracy)
    assert outputs.float is not None and outputs.integer is not None
    np.testing.assert_allclose(outputs.float, exact.reshape(60, -1))
    spread = np.abs(exact).max()
    assert np.median(np.abs(outputs.integer - outputs.float)) < 0.02 * spread

    found = view.get(Calibrate).calibration
    assert found is not None
    rows = {row.value: row for row in found.rows}
    reference = np.sqrt((run_reals(graph, {"x": data}, keep=True)["coded"] ** 2).mean())
    assert rows["coded"].reference == pytest.approx(reference, rel=0.2)

    design = view.get(Schedule).design
    told = Description.of(design, 7, 5.0)
    told = Description.from_json(told.to_json())
    assert json.loads(told.to_json())["format"] == 2
    board = SimulatedBoard(told, NumpyEngine(told, lambda frames: run(lowered, frames)))
    with Accelerator(board, told) as chip:
        reals = np.asarray(chip.predict(data))
    assert (reals.reshape(60, -1) == outputs.integer).all()
