"""ONNX and QONNX files, read as data.

The ``onnx`` package parses the protobuf; weights may lie beside the file, in its own folder alone.
No code from the file runs.
"""

from __future__ import annotations

from pathlib import Path

from gateformer.quant.frontends.onnx.importer import import_graph
from gateformer.quant.frontends.onnx.proto import read
from gateformer.quant.graph import Graph


def load(path: str | Path) -> Graph:
    """Read an ONNX or QONNX model.

    Parameters
    ----------
    path : str or Path
        A file of torch.onnx.export, Brevitas' ``export_qonnx`` or any other exporter.

    Returns
    -------
    Graph
        Composites and layout operations on reals, named after the model's modules.

    Raises
    ------
    ModelError, Problems
        Everything that is wrong, at once; see docs/errors.md.
    ToolError
        E505 without the onnx package.
    """
    return import_graph(read(Path(path)))
