"""Decoders by name or from a file of any kind that is read: shapes alone, no weights.

Owns ``decoder_of`` and ``is_named``. Imports the known decoders and the readers of files.
"""

from __future__ import annotations

from pathlib import Path

from gateformer.quant import models
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import PimError
from gateformer.quant.frontends import gguf_file, hf_config


def is_named(model: str | Path) -> bool:
    """Return whether a decoder's name, its file or the folder of its ``config.json`` is meant."""
    path = Path(model)
    known = str(model) in models.names() or path.suffix in (".json", ".gguf")
    return known or (path / "config.json").is_file()


def decoder_of(model: str | Path | Decoder) -> Decoder:
    """Return a decoder.

    Parameters
    ----------
    model : str, Path or Decoder
        A known name, the path of a ``config.json`` or its folder, or of a GGUF file.

    Raises
    ------
    GateformerError or Problems
        E807 for an unknown name or a folder without a ``config.json``; else as
        `gateformer.quant.frontends.hf_config.load` and `gguf_file.shape` do.
    """
    if isinstance(model, Decoder):
        return model
    path = Path(model)
    if str(model) in models.names() or not (path.is_dir() or is_named(model)):
        return models.load(str(model))
    if path.suffix == ".gguf" and not path.is_dir():
        return gguf_file.shape(path)
    if path.suffix == ".json" or (path / "config.json").is_file():
        return hf_config.load(path)
    cause = "The folder holds no config.json"
    raise PimError("E807", "unknown model", layer=str(model), cause=cause)
