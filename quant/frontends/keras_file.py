"""Keras and QKeras files, ``.h5`` and ``.keras``, read as data.

Only h5py, json and zipfile look at a file: no TensorFlow, no pickle, no code from the file.
"""

from __future__ import annotations

from pathlib import Path
from zipfile import is_zipfile

from gateformer.quant.errors import ModelError
from gateformer.quant.frontends import plain_json
from gateformer.quant.frontends.h5_store import open_store
from gateformer.quant.frontends.keras.archive import unpack
from gateformer.quant.frontends.keras.blueprint import read_blueprint
from gateformer.quant.frontends.keras.importer import import_graph
from gateformer.quant.frontends.keras.topology import unfold
from gateformer.quant.frontends.keras.weights import ArchiveWeights, LegacyWeights, Weights
from gateformer.quant.graph import Graph

WEIGHTS_GROUP = "model_weights"


def load(path: str | Path) -> Graph:
    """Read a Keras 2, Keras 3 or QKeras model.

    Parameters
    ----------
    path : str or Path
        ``.h5`` or ``.keras``, told apart by content.

    Returns
    -------
    Graph
        Values carry the layers' names; ``<layer>/linear`` is what a fused activation reads.

    Raises
    ------
    ModelError, Problems
        Everything that is wrong, at once; see docs/errors.md.
    """
    path = Path(path)
    if is_zipfile(path):
        metadata, config, weights = unpack(path)
        version = plain_json.parse(metadata, "metadata.json").get("keras_version")
        with open_store(weights, "the file's weights") as store:
            return _graph(config, _major(version), ArchiveWeights(store))
    with open_store(path, str(path)) as store:
        found = store.text("/", "model_config")
        if found is None:
            raise ModelError(
                "E101",
                "not a whole model",
                layer=str(path),
                cause="the file holds weights without a configuration",
                fix="save with model.save(), not model.save_weights()",
            )
        return _graph(
            found, _major(store.text("/", "keras_version")), LegacyWeights(store, WEIGHTS_GROUP)
        )


def _graph(config: bytes | str, keras: int, weights: Weights) -> Graph:
    root = plain_json.parse(config, "the model's configuration")
    model = read_blueprint(root, keras)
    name = model.layer.config.get("name")
    return import_graph(name if isinstance(name, str) else "model", unfold(model), weights)


def _major(version: object) -> int:
    text = version.decode("utf-8", "replace") if isinstance(version, bytes) else str(version)
    return 3 if text.startswith("3") else 2
