"""Calibrate: types of what the model leaves unquantized, from data, as given, or the default."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from gateformer.config.schema import Config, Data, Quantize
from gateformer.flow.data import data_files
from gateformer.flow.files import write_whole
from gateformer.flow.step import Metric, Outcome, Step, View
from gateformer.flow.steps.folding import Fold
from gateformer.quant.calibrate import Calibration
from gateformer.quant.compare import LayerError
from gateformer.quant.errors import ConfigError, DataError, Problems
from gateformer.quant.expand.context import Options, Types
from gateformer.quant.graph import Graph
from gateformer.quant.types import Fixed

FALLBACK = Fixed(True, 17, 10)
"""Where neither data nor types are given: fixed<17,7>, as in arXiv 2402.01047's firmware."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Types, and where they come from.

    Attributes
    ----------
    types : Types
        For lowering.
    source : str
        As a sentence.
    calibration : Calibration or None
        What calibration found, where there is data.
    """

    types: Types
    source: str
    calibration: Calibration | None


class Calibrate(Step[Chosen]):
    """Chooses types."""

    name = "calibrate"
    needs = (Fold,)
    uses = ("types", "quantize", "data")

    def files(self, config: Config) -> Iterable[Path]:
        """Yield the data's file."""
        return data_files(config)

    def make(self, view: View) -> Chosen:
        """Return the types."""
        graph, _ = view.get(Fold)
        base = given(view.config, graph)
        if view.config.data.file is None:
            if base.default is None:
                text = f"no data and no default: {FALLBACK} for all that is not named"
                return Chosen(replace(base, default=FALLBACK), text, None)
            return Chosen(base, f"no data: {base.default} for all that is not named", None)
        found = on_data(view.config.quantize, view.config.data, graph, base)
        default = "" if base.default is None else f", others {base.default}"
        return Chosen(found.types, f"{len(found.types.calibrated)} calibrated{default}", found)

    def write(self, view: View, product: Chosen, folder: Path) -> Outcome:
        """Write the types, and the error of each value."""
        types = {name: str(kind) for name, kind in product.types.calibrated.items()}
        default = None if product.types.default is None else str(product.types.default)
        kept = {"source": product.source, "default": default, "calibrated": types}
        write_whole(folder / "types.json", json.dumps(kept, indent=1) + "\n")
        metrics: dict[str, Metric] = {"calibrate.source": product.source}
        found = product.calibration
        if found is None:
            return Outcome(metrics, product.source)
        rows = [plain_row(row) for row in found.rows]
        write_whole(folder / "errors.json", json.dumps(rows, indent=1) + "\n")
        metrics |= {
            "calibrate.width": found.width,
            "calibrate.cost": found.cost,
            "calibrate.metric": view.config.quantize.metric,
            "calibrate.saturated": sum(row.saturated for row in found.rows),
        }
        words = f"{product.source}; {view.config.quantize.metric} error {found.cost:.3g}"
        return Outcome(metrics, words)

    def load(self, view: View, folder: Path) -> Chosen:
        """Read the types."""
        kept = json.loads((folder / "types.json").read_text("utf-8"))
        graph, _ = view.get(Fold)
        types = replace(
            given(view.config, graph),
            calibrated=MappingProxyType(
                {name: Fixed.parse(text) for name, text in kept["calibrated"].items()}
            ),
            default=None if kept["default"] is None else Fixed.parse(kept["default"]),
        )
        return Chosen(types, kept["source"], None)


def given(config: Config, graph: Graph) -> Types:
    """Return the configuration's types; every name must be one of the model's."""
    known = {*graph.values, *graph.layers}
    faults = []
    for name in config.types:
        near = get_close_matches(name, known, 1)
        if name != "default" and name not in known and not _inside(name, graph):
            faults.append(
                ConfigError(
                    "E001",
                    "type of a point that the model does not have",
                    layer=f"types.{name}",
                    fix=f"Did you mean '{near[0]}'?" if near else "gateformer inspect lists layers",
                )
            )
    Problems.raise_if_any(faults)
    kinds = {name: Fixed.parse(text) for name, text in config.types.items()}
    default = kinds.pop("default", None)
    return Types(MappingProxyType(kinds), default=default)


def _inside(name: str, graph: Graph) -> bool:
    return any(name.startswith(f"{layer}/") for layer in graph.layers)


def on_data(quantize: Quantize, data: Data, graph: Graph, base: Types) -> Calibration:
    """Calibrate on the configuration's data."""
    from gateformer.flow.data import read_samples
    from gateformer.quant.calibrate import Budget, calibrate

    samples = read_samples(data, graph, "calibration")
    needs = quantize.metric in ("auc", "accuracy") and quantize.budget is not None
    if needs and samples.labels is None:
        raise DataError(
            "E604",
            "data lacks what the request needs",
            layer="quantize.metric",
            cause=f"A budget of {quantize.metric} needs labels, and {samples.reason}",
            fix="Set data.calibration_labels, or quantize.metric = 'rms'",
        )
    budget = Budget(
        kind=quantize.metric,
        limit=quantize.budget,
        width=quantize.width,
        samples=quantize.samples,
    )
    options = Options(softmax=quantize.softmax, multiplier_bits=quantize.multiplier_bits)
    return calibrate(graph, samples.inputs, base, options, budget, samples.labels)


def plain_row(row: LayerError) -> dict[str, object]:
    """Return a row as JSON values."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in {**asdict(row), "type": str(row.type)}.items()
    }
