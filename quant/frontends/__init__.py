"""Model files in, graphs out: ``load`` looks at a file's content and picks its frontend."""

from __future__ import annotations

from pathlib import Path

import gateformer.quant.frontends.graph_file as graph_file
import gateformer.quant.frontends.keras_file as keras_file
import gateformer.quant.frontends.onnx_file as onnx_file
from gateformer.quant.errors import ModelError
from gateformer.quant.graph import Graph

FORMATS = {
    b"\x89HDF\r\n\x1a\n": keras_file.load,
    b"PK\x03\x04": keras_file.load,
    b"{": graph_file.load,
    b"\x08": onnx_file.load,
}
"""First bytes of a file -> the frontend that reads it. ONNX has no magic number: its first field is
the format's version as a rule, and the suffix decides where it is not."""

LOOK_ALIKES = {
    b"\x80": "it looks like a Python pickle, which can run code",
    b"GGUF": "it is a GGUF file, a language model: `gateformer pim generate` reads it",
}
"""First bytes of files that people pass by mistake -> what to tell them."""


def load(path: str | Path) -> Graph:
    """Read a trained model as data; no code in the file ever runs.

    Parameters
    ----------
    path : str or Path
        A Keras or QKeras ``.h5`` or ``.keras`` file, an ONNX or QONNX ``.onnx`` file, or a
        ``model.json`` of gateformer's own.

    Returns
    -------
    Graph
        Composites and layout operations on reals, named after the model's layers.

    Raises
    ------
    ModelError, Problems
        E10x: everything that cannot be imported, at once, with layer names.
    """
    path = Path(path)
    head = read_head(path)
    for magic, frontend in FORMATS.items():
        if head.startswith(magic):
            return frontend(path)
    if path.suffix.lower() == ".onnx" and head and not head.startswith(tuple(LOOK_ALIKES)):
        return onnx_file.load(path)
    raise ModelError(
        "E101",
        "not a model file",
        layer=str(path),
        cause=next(
            (cause for magic, cause in LOOK_ALIKES.items() if head.startswith(magic)),
            "the file is empty" if not head else "its first bytes are neither HDF5's nor zip's",
        ),
        fix="pass a Keras or QKeras file saved with model.save('model.h5') or '.keras', or an ONNX"
        " file that ends in .onnx",
    )


def read_head(path: Path) -> bytes:
    """First bytes of a file; E101 where there is none to read."""
    try:
        with path.open("rb") as file:
            return file.read(8)
    except IsADirectoryError:
        cause = "it is a folder (a TensorFlow SavedModel?)"
    except OSError as error:
        cause = (error.strerror or "it cannot be opened").lower()
    raise ModelError(
        "E101",
        "unreadable model file",
        layer=str(path),
        cause=cause,
        fix="pass an .h5, .keras or .onnx file that exists and that you may read",
    )
