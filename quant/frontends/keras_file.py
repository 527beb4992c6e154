"""Keras and QKeras files, ``.h5`` and ``.keras``, read as data.

Only h5py, json and zipfile look at a file: no TensorFlow, no pickle, no code from the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import is_zipfile

from gateformer.quant.errors import ModelError
from gateformer.quant.frontends import plain_json
from gateformer.quant.frontends.h5_store import open_store
from gateformer.quant.frontends.keras.archive import unpack
from gateformer.quant.frontends.keras.blueprint import Blueprint, read_blueprint
from gateformer.quant.frontends.keras.importer import import_graph
from gateformer.quant.frontends.keras.topology import unfold
from gateformer.quant.frontends.keras.weights import ArchiveWeights, LegacyWeights, Weights
from gateformer.quant.frontends.names import check_name
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
    with _opened(Path(path)) as (model, weights):
        name = model.layer.config.get("name")
        name = check_name(name, "model") if isinstance(name, str) and name else "model"
        return import_graph(name, unfold(model), weights)


def layer_classes(path: str | Path) -> dict[str, str]:
    """Return Keras' class of each layer of a file that ``load`` reads, inputs among them."""
    with _opened(Path(path)) as (model, _):
        topology = unfold(model)
    inputs = {layer.name: layer.kind for layer, _ in topology.inputs}
    return inputs | {name: layer.kind for name, layer in topology.layers.items()}


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Blueprint, Weights]]:
    if is_zipfile(path):
        metadata, config, weights = unpack(path)
        version = plain_json.parse(metadata, "metadata.json").get("keras_version")
        with open_store(weights, "the file's weights") as store:
            yield _blueprint(config, version), ArchiveWeights(store)
        return
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
        version = store.text("/", "keras_version")
        yield _blueprint(found, version), LegacyWeights(store, WEIGHTS_GROUP)


def _blueprint(config: bytes | str, version: object) -> Blueprint:
    return read_blueprint(plain_json.parse(config, "the model's configuration"), _major(version))


def _major(version: object) -> int:
    text = version.decode("utf-8", "replace") if isinstance(version, bytes) else str(version)
    return 3 if text.startswith("3") else 2
