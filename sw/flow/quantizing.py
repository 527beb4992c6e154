"""A design from a design: the model quantized, its types, and what it lost.

Owns ``quantize``, ``Answer`` and ``widths_of``: what ``gateformer quantize`` does between reading
its arguments and printing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateformer.config.schema import Config, Quantize
from gateformer.config.write import tree_to_toml
from gateformer.flow.cache import cache_folder
from gateformer.flow.data import Samples, data_files, read_samples
from gateformer.flow.publish import publish, refuse_strangers
from gateformer.flow.steps.importing import Import
from gateformer.flow.steps.lowering import options
from gateformer.flow.view import Memory
from gateformer.quant.errors import ConfigError, DataError, Problems
from gateformer.quant.graph import Graph
from gateformer.quant.metrics import METRICS
from gateformer.quant.ptq.mixed import Goal
from gateformer.quant.ptq.pipeline import Made, make
from gateformer.quant.ptq.settings import Recipe
from gateformer.quant.types import Fixed

COMMAND = "quantize"
MODEL = "model.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One quantizer.

    Attributes
    ----------
    place, kind : str
        Its name; ``weights``, ``value`` or ``point``.
    elements, bits : int
        How many numbers, of how many bits.
    step : str
        Its type, or the steps of a matrix.
    error : float or None
        Root mean square of what it changes, relative to what it takes in.
    """

    place: str
    kind: str
    elements: int
    bits: int
    step: str
    error: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was made.

    Attributes
    ----------
    folder : Path
        The new design.
    rows : tuple of Row
        Its quantizers.
    bits : mapping
        ``weights`` and ``activations``: mean bits, and how many there are.
    notes : tuple of mapping
        Decisions by layer.
    accuracy : mapping
        Metrics on the test data, of reals and of integers, and the outputs' relative error; empty
        without labels.
    sensitivity : mapping
        Error by place and width, where widths were searched.
    calibration : tuple of str
        Arrays of the data that ranges come from.
    held_out : bool
        Whether the test data are others.
    """

    folder: Path
    rows: tuple[Row, ...]
    bits: Mapping[str, float]
    notes: tuple[Mapping[str, str], ...]
    accuracy: Mapping[str, float]
    sensitivity: Mapping[str, Mapping[int, float]]
    calibration: tuple[str, ...]
    held_out: bool

    def summary(self) -> Iterator[str]:
        """Yield lines for a person."""
        yield (
            f"{self.bits['weights']:.2f} bits a weight in the mean "
            f"({self.bits['weight_count']:,.0f} of them), "
            f"{self.bits['activations']:.2f} an activation ({self.bits['activation_count']:,.0f})"
        )
        found = self.accuracy
        if "accuracy_float" in found:
            yield (
                f"Accuracy {found['accuracy_float']:.4f} on reals, "
                f"{found['accuracy_integer']:.4f} on integers"
            )
        if "auc_float" in found:
            yield f"AUC {found['auc_float']:.4f} on reals, {found['auc_integer']:.4f} on integers"
        yield f"Outputs differ by {found['relative_error']:.2%} of their spread (rms)"
        if not self.held_out:
            names = ", ".join(self.calibration)
            yield f"Ranges come from the test inputs themselves ({names}), so the figures flatter"


def widths_of(texts: Iterable[str]) -> dict[str, int]:
    """Read ``PLACE=BITS``; E005 for all that are none, at once."""
    faults, found = [], {}
    for text in texts:
        place, _, bits = text.rpartition("=")
        if not place or not bits.isascii() or not bits.isdecimal():
            fix = "write PLACE=BITS, for example --width block1_up/kernel=4"
            faults.append(ConfigError("E005", "invalid --width", layer=text, fix=fix))
            continue
        found[place] = int(bits)
    Problems.raise_if_any(faults)
    return found


def quantize(
    config: Config,
    recipe: Recipe,
    techniques: Mapping[str, float],
    goal: Goal | None,
    out: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> Answer:
    """Quantize a design's model and write the new design.

    Parameters
    ----------
    config : Config
        The design; its data calibrate and test.
    recipe : Recipe
        Widths and methods.
    techniques : mapping of str to float
        By name.
    goal : Goal or None
        Lets widths be searched.
    out : Path or None
        The folder; by default ``<design>_quantized``.
    progress : callable, optional
        Told how far it is.

    Raises
    ------
    DataError
        E604 without data.
    RunError
        E703 where the folder holds other files.
    """
    folder = out or Path(f"{config.name}_quantized")
    refuse_strangers(Path(os.path.realpath(folder)), COMMAND)
    if config.data.file is None:
        raise DataError(
            "E604",
            "data lacks what the request needs",
            layer="data.file",
            cause="Ranges come from real inputs",
            fix="Give --data FILE",
        )
    list(data_files(config))
    graph = Memory(config).get(Import)
    calibration = read_samples(config.data, graph, "calibration")
    test = read_samples(config.data, graph, "test")
    _check_places(graph, recipe, config)
    few = config.quantize.samples
    labels = None if calibration.labels is None else calibration.labels[:few]
    if "truncate" in techniques:
        guard = {"truncate": _guard(techniques["truncate"])}
        config = config.model_copy(update={"quantize": config.quantize.model_copy(update=guard)})
    made = make(
        graph,
        {name: x[:few] for name, x in calibration.inputs.items()},
        recipe,
        techniques={**_shares(config.quantize), **techniques},
        goal=goal,
        labels=labels,
        options=options(config),
        fold=config.quantize.fold_heads,
        types={n: Fixed.parse(t) for n, t in config.types.items() if n != "default"},
        progress=progress,
    )
    answer = Answer(
        folder=folder,
        rows=tuple(_rows(made)),
        bits={
            "weights": made.bits.weights,
            "activations": made.bits.activations,
            "weight_count": made.bits.weight_count,
            "activation_count": made.bits.activation_count,
        },
        notes=tuple(asdict(note) for note in made.notes),
        accuracy=_accuracy(graph, _typed(config, made), test),
        sensitivity={place: dict(by) for place, by in made.sensitivity.items()},
        calibration=calibration.arrays,
        held_out=calibration.arrays != test.arrays,
    )
    publish(_files(config, made, answer, folder), folder, COMMAND)
    return answer


def _check_places(graph: Graph, recipe: Recipe, config: Config) -> None:
    """E001 for widths of places that the network does not have, all at once."""
    from difflib import get_close_matches

    from gateformer.quant.passes.fold_heads import fold_heads
    from gateformer.quant.ptq.pipeline import joined
    from gateformer.quant.ptq.places import places

    folded, _ = fold_heads(joined(graph)[0], config.quantize.fold_heads)
    known = [place.name for place in places(folded)]
    faults = []
    for name in recipe.widths:
        if name not in known:
            near = get_close_matches(name, known, 1)
            fix = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(known)}"
            what = "width of a place that the model does not have"
            faults.append(ConfigError("E001", what, layer=name, fix=fix))
    Problems.raise_if_any(faults)


def _rows(made: Made) -> Iterator[Row]:
    for place in made.places:
        yield Row(
            place.name,
            place.kind,
            place.elements,
            made.recipe.widths[place.name],
            made.steps[place.name],
            made.errors.get(place.name),
        )


def _guard(number: float) -> int:
    """Bits of ``truncate``; E022 where the design could not hold them."""
    if number != round(number) or not 0 <= number <= 16:
        raise ConfigError("E022", f"truncate={number:g}", fix="Give it 0 to 16 bits")
    return round(number)


def _shares(quantize: Quantize) -> dict[str, float]:
    """Return the techniques that the design itself asks for: the new model holds them."""
    if quantize.shares == "log_sqrt2":
        return {"log_sqrt2": float(quantize.shares_bits)}
    if quantize.shares == "clipped":
        return {"clipped_softmax": quantize.shares_alpha}
    return {}


def _typed(config: Config, made: Made) -> Graph:
    """Return the integers of the design's run: of sums that it truncates, truncated."""
    if config.quantize.truncate is None:
        return made.typed
    from gateformer.hw.dataflow.truncate import truncate

    cache = cache_folder(config, "adders")
    graph, _ = truncate(made.typed, config.quantize.truncate, config.generate.adders, cache)
    return graph


def _accuracy(graph: Graph, typed: Graph, test: Samples) -> dict[str, float]:
    """Metrics on the test data, of the model that came and of the integers that go."""
    from gateformer.quant.ptq.evaluate import outputs

    exact, integer = outputs(graph, test.inputs), outputs(typed, test.inputs)
    spread = float(((exact - exact.mean(0)) ** 2).mean()) or 1.0
    found = {"relative_error": (float(((integer - exact) ** 2).mean()) / spread) ** 0.5}
    classes = max(2, exact.shape[1])
    if test.labels is None or len(graph.outputs) > 1 or int(test.labels.max()) >= classes:
        return found
    for name, metric in METRICS.items():
        if name == "auc" and len(np.unique(test.labels)) < 2:
            continue  # an area needs two classes
        found[f"{name}_float"] = metric(exact, test.labels)
        found[f"{name}_integer"] = metric(integer, test.labels)
    return found


def _files(config: Config, made: Made, answer: Answer, folder: Path) -> dict[str, str]:
    from gateformer.quant.serialize import to_json

    model = json.dumps(to_json(made.graph), allow_nan=False, separators=(",", ":"))
    table = {k: v for k, v in asdict(answer).items() if k != "folder"}
    return {
        MODEL: model + "\n",
        "design.toml": design_text(config, made, folder),
        "quantize.json": json.dumps(table, indent=1) + "\n",
    }


def design_text(config: Config, made: Made, folder: Path) -> str:
    """Return the new design: the old one's settings, with the quantized model and its types.

    Types were chosen; what is left to calibrate are the points that index tables, at the recipe's
    width, on the same samples. Data are named by their way from the folder.
    """
    tree: dict[str, Any] = config.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    tree["model"] = MODEL
    tree["name"] = config.name
    place = Path(os.path.realpath(folder))
    tree["data"]["file"] = os.path.relpath(os.path.realpath(str(config.data.file)), place)
    tree["types"] = {name: str(kind) for name, kind in made.types.items()}
    quantize = tree.setdefault("quantize", {})
    for done in ("metric", "budget", "fold_affine", "shares", "shares_bits", "shares_alpha"):
        quantize.pop(done, None)
    quantize |= {"width": made.recipe.table_bits, "fold_heads": False}
    return tree_to_toml(tree)
