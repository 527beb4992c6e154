"""Keras 3's own predictions are the golden of the files that it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gateformer.quant.execute import run_reals
from gateformer.quant.frontends import load

pytestmark = [pytest.mark.tensorflow, pytest.mark.xdist_group("keras3")]

MODELS = Path(__file__).with_name("keras3_models.py")


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras3")
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "0", "CUDA_VISIBLE_DEVICES": "-1"}
    environment["KERAS_BACKEND"] = "tensorflow"
    command = [sys.executable, str(MODELS), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize("name", ["transformer", "masked"])
def test_models_equal_keras_3(golden: Path, name: str, suffix: str) -> None:
    held = np.load(golden / f"{name}.npz")
    graph = load(golden / f"{name}.{suffix}")
    data = {k.removeprefix("input "): held[k].astype(np.float64) for k in held if "input " in k}
    if name == "masked":
        assert graph.masks == {"mask": "x"}
        data["mask"] = data["mask"][..., None]
    found = run_reals(graph, data)
    np.testing.assert_allclose(found[graph.outputs[0]], held["output"], rtol=5e-5, atol=5e-6)
