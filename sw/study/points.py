"""A study's points: each variant at each width and seed, its recipe and its design's overrides.

Owns ``Point`` and ``points``. Imports the study's file and the recipes' reader.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gateformer.config.read import model_problems
from gateformer.config.schema import Config
from gateformer.quant.errors import ConfigError, GateformerError, Problems
from gateformer.quant.ptq.settings import Recipe as Widths
from gateformer.quant.ptq.techniques import parse
from gateformer.quant.train.brevitas.reading import checked
from gateformer.quant.train.brevitas.recipe import Recipe
from gateformer.quant.train.recipe import tables_of
from gateformer.study.schema import Study, Variant, flat, merged

FINITE = ConfigDict(allow_inf_nan=False)
"""TOML knows inf and nan; no setting takes them."""


@dataclass(frozen=True, slots=True)
class Point:
    """One network of a study.

    Attributes
    ----------
    study, variant : str
        Names of what it belongs to.
    bits, seed : int
        Width of weights, activations and attention; seed of the training.
    recipe : Recipe
        How it is trained; with `ptq`, how its floating-point network is.
    ptq : mapping or None
        Keys of post-training quantization, the widths among them.
    overrides : tuple of str
        ``key=value`` for its design.
    synthesize : bool
        Whether yosys counts its cells.
    """

    study: str
    variant: str
    bits: int
    seed: int
    recipe: Recipe
    ptq: tuple[tuple[str, Any], ...] | None
    overrides: tuple[str, ...]
    synthesize: bool

    @property
    def slug(self) -> str:
        """Its folder's name."""
        words = re.sub(r"[^A-Za-z0-9]+", "-", self.variant).strip("-").lower()
        return f"{words}-{self.bits}-{self.seed}"


def points(study: Study) -> list[Point]:
    """Return a study's points in the order of its tables.

    Raises
    ------
    Problems or GateformerError
        All that is wrong with any point's recipe or design, before anything is trained.
    """
    path = Path(study.recipe)
    tree = tables_of(path)
    wrong: list[GateformerError] = []
    found: list[Point] = []
    for variant in study.variants:
        place = f"{study.name}: {variant.name}"
        wrong += _design(study, variant, place)
        for bits in variant.bits or study.bits:
            for seed in variant.seeds or study.seeds:
                try:
                    found.append(_point(study, variant, bits, seed, tree, place))
                except Problems as several:
                    wrong += several.errors
                except GateformerError as error:
                    wrong.append(error)
    # A key that is wrong in a variant is wrong at each of its widths: it is told once.
    Problems.raise_if_any({str(error): error for error in wrong}.values())
    slugs = [point.slug for point in found]
    if len(set(slugs)) < len(slugs):
        raise ConfigError(
            "E006",
            "settings that contradict each other",
            layer=study.name,
            cause="Two variants' names are the same but for signs, or a width stands twice",
        )
    return found


def _point(
    study: Study, variant: Variant, bits: int, seed: int, tree: dict[str, Any], place: str
) -> Point:
    widths = dict.fromkeys(("weight", "activation", "attention"), bits)
    above = {"bits": widths, "training": {"seed": seed}}
    recipe = checked(merged(merged(tree, above), variant.recipe), place)
    ptq = None
    if variant.ptq is not None:
        given_ptq = {"weights": bits, "activations": bits, **variant.ptq}
        _check_ptq(given_ptq, place)
        ptq = tuple(sorted(given_ptq.items()))
    wanted = study.synthesize
    synthesize = wanted == "all" or (
        wanted == "first" and seed == (variant.seeds or study.seeds)[0]
    )
    design = {"synth": {"enabled": synthesize}}
    given = merged(merged(design, study.design), variant.design)
    overrides = tuple(f"{key}={json.dumps(value, default=str)}" for key, value in flat(given))
    return Point(study.name, variant.name, bits, seed, recipe, ptq, overrides, synthesize)


def _check_ptq(given: dict[str, Any], place: str) -> None:
    """Refuse keys and values that quantization after training does not take, all at once."""
    kinds = get_type_hints(Widths)
    known = [*kinds, "techniques"]
    faults: list[GateformerError] = []
    for key in given.keys() - set(known):
        near = get_close_matches(key, known, 1)
        fix = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(known)}"
        what = "unknown configuration key"
        faults.append(ConfigError("E001", what, layer=f"{place}: ptq.{key}", fix=fix))
    for key in kinds.keys() & given.keys():
        try:
            TypeAdapter(kinds[key], config=FINITE).validate_python(given[key], strict=True)
        except ValidationError as error:
            cause = "; ".join(found["msg"] for found in error.errors())
            what = "invalid configuration value"
            faults.append(ConfigError("E002", what, layer=f"{place}: ptq.{key}", cause=cause))
    techniques = given.get("techniques", {})
    if not isinstance(techniques, dict):
        what = "invalid configuration value"
        faults.append(ConfigError("E002", what, layer=f"{place}: ptq.techniques", cause="no table"))
        techniques = {}
    try:
        parse(f"{name}={number}" for name, number in techniques.items())
        if not faults:
            Widths(**{key: value for key, value in given.items() if key != "techniques"})
    except Problems as several:
        faults += several.errors
    except GateformerError as error:
        faults.append(error)
    Problems.raise_if_any(faults)


def _design(study: Study, variant: Variant, place: str) -> Iterator[ConfigError]:
    """Yield what is wrong with a variant's design; the model is known later."""
    tree = {"model": "model.onnx", **merged(study.design, variant.design)}
    try:
        Config.model_validate(tree)
    except ValidationError as error:
        yield from model_problems(error, tree, f"{place}: design", Config)
