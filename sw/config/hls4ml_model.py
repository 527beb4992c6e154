"""The model that an hls4ml configuration names: which file, and what is in it.

Owns ``Places``, ``Found`` and ``find_model``. Imports the ledger and, when called, the frontends.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateformer.config.hls4ml_keys import MODELS
from gateformer.config.hls4ml_ledger import Ledger, Setting
from gateformer.quant.errors import ConfigError, ModelError, Problems
from gateformer.quant.graph import Graph

KERAS = ("KerasModel", "KerasH5")
"""Keys of a model that a frontend may read."""
FIX = "Name the model's .h5 or .keras file with --model"


@dataclass(frozen=True, slots=True)
class Places:
    """Where paths of the file lead from.

    Attributes
    ----------
    file : Path
        The file's folder.
    design : Path
        The folder of the ``design.toml``.
    """

    file: Path
    design: Path

    def find(self, text: str) -> Path | None:
        """Return the file that a path means.

        It leads from the working folder, as hls4ml takes it, or from the file's own, or the file
        lies there itself, as hls4ml leaves it.
        """
        places = (Path(text), self.file / text, self.file / Path(text).name)
        try:
            return next((place for place in places if place.is_file()), None)
        except (OSError, ValueError):
            return None

    def written(self, path: Path, text: str) -> str:
        """Return a found path as the design has it: from its folder, unless given whole."""
        if Path(text).is_absolute():
            return text
        return Path(os.path.relpath(path.absolute(), self.design.absolute())).as_posix()


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A model that was read.

    Attributes
    ----------
    written : str
        Its path as the design has it.
    graph : Graph
        As imported.
    classes : mapping of str to str
        Keras' class of each layer.
    """

    written: str
    graph: Graph
    classes: Mapping[str, str]


def find_model(
    top: Mapping[str, Setting], places: Places, instead: Path | None, ledger: Ledger
) -> Found | None:
    """Find and read the model; where that fails, the ledger has the faults.

    Parameters
    ----------
    top : mapping of str to Setting
        The file's keys.
    places : Places
        Where its paths lead from.
    instead : Path, optional
        The model that the user names in place of the file's.
    ledger : Ledger
        Takes what became of the keys.
    """
    named = [top[key] for key in MODELS if key in top and top[key].entry.value is not None]
    if instead is not None:
        for setting in named:
            ledger.drop(setting, "is --model in this call")
        if instead.is_file():
            return _read(instead, places.written(instead, str(instead)), ledger)
        place = f"--model {instead}"
        ledger.faults.append(
            ConfigError("E003", "file not found", layer=place, fix="Check the path")
        )
        return None
    readable = next((setting for setting in named if setting.key in KERAS), None)
    if readable is None:
        for setting in named:
            ledger.fault(setting, "Only Keras and QKeras files are read", FIX)
        if not named:
            missing = f"It has none of {', '.join(KERAS)}"
            error = ConfigError("E002", "no model", layer=ledger.file, cause=missing, fix=FIX)
            ledger.faults.append(error)
        return None
    for other in named:
        if other is not readable:
            ledger.drop(other, f"is not needed beside {readable.key}")
    text = readable.entry.value
    path = places.find(text) if isinstance(text, str) and text else None
    if path is None or not isinstance(text, str):
        ledger.fault(readable, f"'{readable.entry}' is no file", FIX, "E003")
        return None
    written = places.written(path, text)
    ledger.use(readable, f"model = {written}")
    return _read(path, written, ledger)


def _read(path: Path, written: str, ledger: Ledger) -> Found | None:
    from gateformer.quant.frontends import load
    from gateformer.quant.frontends.keras_file import layer_classes

    try:
        return Found(written, load(path), layer_classes(path))
    except Problems as error:
        ledger.faults += error.errors
    except ModelError as error:
        ledger.faults.append(error)
    return None
