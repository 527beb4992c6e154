"""A study's file: networks, their widths and techniques, and how they are built.

Owns ``Variant``, ``Study`` and ``read``. Imports the configuration's readers and recipes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from gateformer.config.read import check_there, model_problems, read_toml
from gateformer.config.schema import SAFE_NAME, PathText, Section
from gateformer.quant.errors import Problems

Width = Annotated[int, Field(ge=2, le=16)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


def safe(name: str) -> str:
    """Return a study's name; ValueError where it cannot name a file."""
    if not SAFE_NAME.fullmatch(name):
        raise ValueError("is no name of ASCII letters, digits and _, a letter first")
    return name


class Variant(Section):
    """One way to make the network smaller; each width of the study with it is a point."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    """What it is called in tables."""
    bits: list[Width] | None = None
    """Widths of its points; absent: the study's."""
    seeds: list[Seed] | None = None
    """Seeds of its points; absent: the study's."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Tables of the training recipe that differ, such as ``{techniques = {log_sqrt2 = 4}}``."""
    ptq: dict[str, Any] | None = None
    """Keys of post-training quantization (``gateformer quantize``) in place of training with
    quantizers; absent: the latter."""
    design: dict[str, Any] = Field(default_factory=dict)
    """Tables of the design that differ, such as ``{generate = {joint = false}}``."""
    against: str | None = None
    """The variant that it is set against; absent: the first."""


class Study(Section):
    """A study."""

    name: Annotated[str, AfterValidator(safe)]
    """Of its files and folders."""
    title: Annotated[str, Field(min_length=1, max_length=120)]
    """Heading on the page."""
    text: str = ""
    """What a reader needs to know of it, in Markdown."""
    recipe: PathText
    """The training recipe of all points, relative to this file."""
    bits: Annotated[list[Width], Field(min_length=1)]
    """Widths of weights, activations and attention, one point each."""
    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(default_factory=lambda: [1])
    """Of the training; a point for each."""
    data: PathText = "runs/jets5"
    """Folder of simulated events, relative to where the command runs."""
    synthesize: Literal["none", "first", "all"] = "first"
    """Whether yosys counts the cells of no point, of those of the first seed, or of all."""
    design: dict[str, Any] = Field(default_factory=dict)
    """Tables of every point's design."""
    variants: Annotated[list[Variant], Field(min_length=1)]
    """In the order of the tables."""

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError("two variants have the same name")
        for variant in self.variants:
            if variant.against is not None and variant.against not in names:
                raise ValueError(f"'{variant.name}' is set against '{variant.against}', no variant")
        return self

    def base(self, variant: Variant) -> str | None:
        """Return the name of what a variant is set against; None for the first itself."""
        wanted = variant.against or self.variants[0].name
        return None if wanted == variant.name else wanted


def read(path: Path) -> Study:
    """Read a study's file.

    Raises
    ------
    Problems or ConfigError
        E003, E004: no such file, no TOML; E001, E002: all unknown keys and wrong values.
    """
    check_there(path)
    tree = read_toml(path)
    try:
        study = Study.model_validate(tree)
    except ValidationError as error:
        Problems.raise_if_any(model_problems(error, tree, path.name, Study))
        raise AssertionError("a validation error without errors") from error
    recipe = (path.absolute().parent / study.recipe).absolute()
    return study.model_copy(update={"recipe": str(recipe)})


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return two trees of tables as one; `above` wins.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    out = dict(below)
    for key, value in above.items():
        known = out.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        out[key] = merged(known, value) if both else value  # type: ignore[arg-type] # mappings
    return out


def flat(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterable[tuple[str, Any]]:
    """Yield the dotted key and the value of every leaf of a tree of tables.

    >>> list(flat({"a": {"b": 1}, "c": 2}))
    [('a.b', 1), ('c', 2)]
    """
    for key, value in tree.items():
        place = (*above, key)
        if isinstance(value, Mapping):
            yield from flat(value, place)
        else:
            yield ".".join(place), value
