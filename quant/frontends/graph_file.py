"""``model.json``: a graph in gateformer's own format, read as data from anyone.

Owns ``load``. Imports the format and the executor of reals. A file holds numbers, names and shapes
alone; the graph is built and proven again from them, and must compute on one sample of zeros.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np

from gateformer.quant import serialize
from gateformer.quant.encoding import malformed
from gateformer.quant.errors import GateformerError, ModelError, Problems
from gateformer.quant.execute import run_reals
from gateformer.quant.expand import Attention, FoldedAttention
from gateformer.quant.frontends import plain_json
from gateformer.quant.frontends.keras.site import MAX_VALUE
from gateformer.quant.frontends.names import MAX_NAME, check_name
from gateformer.quant.graph import Graph, Node

POSITIVE = ("heads", "scale", "step")
"""Constants of any operation that are above zero; ``epsilon`` may be zero."""

LONGEST = 8 * MAX_NAME
"""Characters of a value's name: of layers in models in models, with its own place behind."""

UNFIT = (IndexError, KeyError, TypeError, AttributeError, ValueError, ArithmeticError)
"""What numpy and Python raise where an operation's constants do not fit together."""


def load(path: str | Path) -> Graph:
    """Read a graph on reals.

    Parameters
    ----------
    path : str or Path
        As `gateformer.quant.serialize.save` wrote it.

    Raises
    ------
    ModelError
        E101 where it is JSON of something else or a lowered graph, E107 where it is too large, E108
        for unsafe names, E111 and E115 for a version or a content that is not ours, E112 for
        tensors beyond all hardware.
    """
    path = Path(path)
    with path.open("rb") as file:
        text = file.read(plain_json.MAX_JSON_BYTES + 1)
    document = plain_json.parse(text, str(path))
    if "spec_version" not in document:
        raise ModelError(
            "E101",
            "not a model file",
            layer=str(path),
            cause="it is JSON, but no graph of gateformer's: an architecture without its weights?",
            fix="pass a file saved with model.save(), or a model.json of gateformer quantize",
        )
    try:
        graph = serialize.from_json(document)
        _check(graph)
        with np.errstate(all="ignore"):
            run_reals(graph, {n: np.zeros((1, *graph.values[n].shape)) for n in graph.inputs})
    except GateformerError:
        raise
    except UNFIT as error:
        raise malformed(f"its operations cannot run ({error})").at(str(path)) from error
    return graph


def _check_constants(node: Node) -> None:
    """Refuse constants that no network has and that only later steps would stumble over."""
    for name in (*POSITIVE, "epsilon"):
        given = getattr(node.op, name, None)
        if not isinstance(given, int | float):
            continue  # arrays may be negative: folded normalizations
        least = 0.0 if name == "epsilon" else np.nextafter(0.0, 1.0)
        if not least <= given < np.inf:
            what = "negative or infinite" if name == "epsilon" else "not above zero, or infinite"
            raise malformed(f"{type(node.op).__name__}.{name} of '{node.output}' is {what}")


def _check(graph: Graph) -> None:
    """Refuse lowered graphs, and tensors that no hardware of ours could hold."""
    if not graph.inputs or not graph.outputs:
        raise malformed("it has no input, or no output")
    check_name(graph.name, "graph")
    for value in graph.values.values():
        check_name(value.name, "value", LONGEST)
        check_name(value.layer, "layer", LONGEST)
    if any(value.type is not None for value in graph.values.values()):
        raise ModelError(
            "E101",
            "a lowered graph is no model",
            cause="its values are integers already",
            fix="pass the model that it was made from",
        )
    for node in graph.nodes:
        _check_constants(node)
    sizes = {name: prod(value.shape) for name, value in graph.values.items()}
    for node in graph.nodes:
        if isinstance(node.op, Attention | FoldedAttention):
            tokens, keys = (graph.values[name].shape[0] for name in node.inputs[:2])
            sizes[node.output] = max(sizes[node.output], tokens * keys * node.op.heads)
    Problems.raise_if_any(
        [
            ModelError(
                "E112",
                f"its tensors have {size} elements",
                layer=graph.values[name].layer,
                fix="make the layer smaller",
            )
            for name, size in sizes.items()
            if size > MAX_VALUE or min(graph.values[name].shape, default=0) < 1
        ]
    )
