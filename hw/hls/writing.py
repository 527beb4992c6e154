"""The project's files: what hls4ml writes, and the layers, tables and templates beside it.

Owns ``Source`` and ``write_project``. Imports hls4ml, when it is called.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from math import prod
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gateformer.hw.hls.bench import exact
from gateformer.hw.hls.extension import register
from gateformer.hw.hls.network import Block, Network
from gateformer.hw.hls.phases import tokens
from gateformer.hw.hls.project import HlsSettings
from gateformer.hw.hls.statements import Weight
from gateformer.hw.hls.targets import COMMON, Target
from gateformer.hw.hls.weights import quick, table_text
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Value
from gateformer.quant.types import Fixed

STAMP = "gateformer"
"""Goes into the name of hls4ml's shared library; hls4ml itself draws a random one."""

_WEIGHT_FILES = "add_files -tb firmware/weights\n"
"""Where hls4ml's scripts add weights as text, which are not written: the folder may be missing."""


@dataclass(frozen=True, slots=True)
class Source:
    """All that a project is written from.

    Attributes
    ----------
    top : str
        The C++ top function.
    graph : Graph
        The lowered network.
    settings : HlsSettings
        The user's choices.
    target : Target
        The backend.
    network : Network
        Layers joined by wires.
    beats : mapping of str to str
        C++ type of each value that passes between layers.
    classes : mapping of str to str
        hls4ml class of each layer's function.
    reuse : mapping of str to int
        Reuse factor of each layer's function.
    """

    top: str
    graph: Graph
    settings: HlsSettings
    target: Target
    network: Network
    beats: Mapping[str, str]
    classes: Mapping[str, str]
    reuse: Mapping[str, int]


def write_project(source: Source) -> dict[str, str]:
    """Every file of the project; path -> text, in the order of the paths."""
    register(source.target.backend)
    with (
        TemporaryDirectory(prefix="gateformer-hls-") as folder,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        model = _model(source, folder)
        model.config.config["Stamp"] = STAMP
        source.target.prepare(model)
        model.config.backend.writer.write_hls(model)
        texts = {
            path.relative_to(folder).as_posix(): path.read_text("utf-8").replace(folder, ".")
            for path in Path(folder).rglob("*")
            if path.is_file()
        }
    texts = dict(source.target.finish(texts, source.top, _depths(source, model)))
    texts = {path: quick(text) if "/weights/" in path else text for path, text in texts.items()}
    texts = {path: text if "_types/" in path else _tidy(text) for path, text in texts.items()}
    bench = f"{source.top}_test.cpp"
    texts |= {path: exact(texts[path]) for path in texts if PurePosixPath(path).name == bench}
    texts |= dict(_own(source))
    return dict(sorted(_needed(texts).items()))


def _tidy(text: str) -> str:
    """Without what hls4ml leaves at the ends of lines and where it inserts nothing."""
    plain = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", plain).replace(_WEIGHT_FILES, "")


def _depths(source: Source, model: Any) -> dict[str, int]:
    """Beats that each stream must hold, by its C++ variable."""
    network = source.network
    frames = {wire: tokens(source.graph.values[value]) for wire, value in network.values.items()}
    beats = frames | dict(network.depths)
    return {model.output_vars[wire].name: count for wire, count in beats.items()}


def _own(source: Source) -> Iterable[tuple[str, str]]:
    """Templates, layers and tables."""
    folder = files("gateformer.hw.hls") / "templates"
    root = f"{source.target.root}firmware"
    headers = {name: name for name in COMMON} | dict(source.target.headers)
    for name, kept in headers.items():
        yield f"{root}/gf/{name}", (folder / kept).read_text("utf-8")
    for block in source.network.blocks:
        if block.layer:
            yield f"{root}/layers/{block.layer.function}.h", block.layer.text
            for table in block.layer.tables:
                yield f"{root}/tables/{table.name}.h", table_text(table)


def _needed(texts: Mapping[str, str]) -> dict[str, str]:
    """All files but those of hls4ml's own layers that nothing includes."""
    kept = {path for path in texts if "/nnet_utils/" not in path}
    ends = list(kept)
    while ends:
        path = ends.pop()
        for name in re.findall(r'#include "([^"]+)"', texts[path]):
            for base in (str(PurePosixPath(path).parent), "firmware", "firmware/ap_types", "src"):
                found = _plain(f"{base}/{name}")
                if found in texts and found not in kept:
                    kept.add(found)
                    ends.append(found)
    return {path: text for path, text in texts.items() if path in kept}


def _plain(path: str) -> str:
    parts: list[str] = []
    for part in PurePosixPath(path).parts:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/".join(parts)


def _model(source: Source, folder: str) -> Any:
    """The hls4ml model, through all its flows."""
    from hls4ml.model.graph import ModelGraph

    wanted = list(source.network.outputs)

    class Exact(ModelGraph):  # type: ignore[misc] # hls4ml has no types
        """A model whose outputs are single tensors, where hls4ml takes all of a layer's."""

        def __init__(self, config: Any, inputs: Any, outputs: Any, initial_index: int = 0) -> None:
            super().__init__(config, inputs, wanted, initial_index)

    layers = [_input(source, name) for name in source.graph.inputs]
    inputs = [layer["name"] for layer in layers]
    layers += [_layer(source, block) for block in source.network.blocks]
    model = Exact.from_layer_list(_config(source, folder), layers, inputs, [])
    if source.settings.io_type == "io_stream":
        for wire, depth in source.network.depths.items():
            model.output_vars[wire].pragma = ("stream", depth)
    return model


def _config(source: Source, folder: str) -> dict[str, Any]:
    """hls4ml's configuration; it is also written into the project."""
    from hls4ml.backends import get_backend

    settings = source.settings
    config: dict[str, Any] = get_backend(source.target.backend).create_initial_config(
        part=settings.part or None,
        clock_period=settings.clock_ns,
        io_type=settings.io_type,
        write_weights_txt=False,
    )
    streams = settings.io_type == "io_stream"
    values, layers = source.network.values, {}
    for block in source.network.blocks:
        layers[block.name] = {
            "Precision": {"result": str(source.graph.values[values[block.outputs[0]]].fixed)},
            "ReuseFactor": source.reuse.get(block.name, 1),
        }
    for wire, value in values.items():
        if value in source.graph.inputs and wire not in layers:
            layers[wire] = {"Precision": {"result": str(source.graph.values[value].fixed)}}
    model = {
        "Precision": {"default": "fixed<16,6>"},
        "ReuseFactor": settings.reuse_factor,
        "Strategy": "Latency",
        "PipelineStyle": "dataflow" if streams else "pipeline",
    }
    if not streams:
        model["PipelineInterval"] = max(source.reuse.values())
    return config | {
        "Backend": source.target.backend,
        "ProjectName": source.top,
        "OutputDir": folder,
        "HLSConfig": {"Model": model, "LayerName": layers},
    }


def _shape(value: Value) -> list[int]:
    """Tokens x features: a beat is the last axis."""
    count = tokens(value)
    return [prod(value.shape)] if len(value.shape) == 1 else [count, prod(value.shape) // count]


def _input(source: Source, name: str) -> dict[str, Any]:
    wire = next(w for w, value in source.network.values.items() if value == name)
    return {
        "class_name": "InputLayer",
        "name": wire,
        "input_shape": _shape(source.graph.values[name]),
        "type_name": source.beats[name],
    }


def _layer(source: Source, block: Block) -> dict[str, Any]:
    values = source.network.values
    described = {
        "name": block.name,
        "inputs": list(block.inputs),
        "outputs": list(block.outputs),
        "gf_outputs": [_tensor(source, wire, values[wire]) for wire in block.outputs],
    }
    if block.layer is None:
        value = source.graph.values[values[block.inputs[0]]]
        streams = source.settings.io_type == "io_stream"
        count = tokens(value) if streams else prod(value.shape)
        return described | {
            "class_name": "GfFork",
            "gf_weights": [],
            "gf_call": f"gf::fork<{count}>",
            "gf_include": ["gf/gf.h"],
            "gf_config": "",
            "gf_constants": {},
        }
    function = block.layer.function
    return described | {
        "class_name": source.classes[function],
        "gf_weights": [_weight(weight) for weight in block.layer.weights],
        "gf_call": f"{function}<{function}_config>",
        "gf_include": [f"layers/{function}.h"],
        "gf_config": f"{function}_config",
        "gf_constants": dict(block.layer.constants),
    }


def _tensor(source: Source, wire: str, value: str) -> dict[str, Any]:
    found = source.graph.values[value]
    return {
        "shape": _shape(found),
        "variable": f"{wire}_out",
        "type": source.beats[value],
        "precision": _precision(found.fixed),
    }


def _weight(weight: Weight) -> dict[str, Any]:
    return {
        "name": weight.name,
        "var_name": weight.name,
        "type_name": f"{weight.name}_t",
        "precision": _precision(weight.type),
        "data": np.ldexp(weight.raw.astype(np.float64), -weight.type.frac),
    }


def _precision(kind: Fixed) -> Any:
    from hls4ml.model.types import FixedPrecisionType

    return FixedPrecisionType(kind.width, kind.integer, kind.signed)
