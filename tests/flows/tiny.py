"""A small Keras 2 model file, written by hand: two Dense layers over four tokens.

With it, settings that run it quickly, and what a call of the command line gives.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

OFF = tuple(
    f"-o{key}.enabled=false"
    for key in ("simulate.icarus", "simulate.verilator", "read_back", "synth", "report")
)
"""Nothing but the model and its schedule."""
FEW = ("-osimulate.icarus.vectors=20", "-osimulate.verilator.vectors=20")
TYPES = "-otypes.default=fixed<8,4>"

Answer = tuple[int, dict[str, Any], str]
"""Exit code, JSON, and what was said."""
Call = Callable[..., Answer]


def write_model(path: Path, tokens: int = 4, seed: int = 5, last: str | None = None) -> Path:
    """Write ``x -> Dense(3, relu) -> Dense(2)`` with weights that are multiples of 1/8.

    A layer ``last`` of the class of that name, without weights, may follow.
    """
    layers = [("up", "relu", 2, 3), ("down", "linear", 3, 2)]
    config = [
        {
            "class_name": "InputLayer",
            "config": {"name": "x", "batch_input_shape": [None, tokens, 2], "dtype": "float32"},
        },
        *(
            {
                "class_name": "Dense",
                "config": {
                    "name": name,
                    "units": units,
                    "activation": activation,
                    "use_bias": True,
                    "dtype": "float32",
                },
            }
            for name, activation, _, units in layers
        ),
    ]
    if last:
        config.append({"class_name": last, "config": {"name": "last", "dtype": "float32"}})
    model = {"class_name": "Sequential", "config": {"name": "tiny", "layers": config}}
    random = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.13.1"
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = json.dumps(model)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = ["x", *(name for name, *_ in layers)]
        weights.create_group("x").attrs["weight_names"] = np.array([], dtype="S1")
        for name, _, inputs, units in layers:
            group = weights.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0", f"{name}/bias:0"]
            for part, shape in (("kernel", (inputs, units)), ("bias", (units,))):
                value = random.integers(-8, 9, shape) / 8
                group.create_dataset(f"{name}/{part}:0", data=value.astype(np.float32))
    return path
