"""What a training run is made of: one TOML file, checked."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from gateformer.quant.errors import ConfigError, GateformerError, Problems
from gateformer.quant.toml_faults import cause_of
from gateformer.quant.train.pruning import Course


@dataclass(frozen=True, slots=True)
class Data:
    """The simulated jets.

    Attributes
    ----------
    seed:
        Seed of the training events; the test events have the next one.
    train, valid, test:
        Jets to fit, to choose the best epoch by, and to report on.
    calibration:
        Training jets shipped for choosing the types of intermediate values.
    """

    seed: int
    train: int
    valid: int
    test: int
    calibration: int

    def __post_init__(self) -> None:
        sizes = (self.train, self.valid, self.test, self.calibration)
        if min(sizes) < 1 or self.calibration > self.train or self.seed < 0:
            raise ValueError("sizes start at 1, and calibration jets are among the training jets")


@dataclass(frozen=True, slots=True)
class DigitsData:
    """The handwritten digits; those that are neither fitted nor valid are the test.

    Attributes
    ----------
    seed:
        Of the order in which they are dealt out.
    train, valid:
        Digits to fit, and to choose the best epoch by.
    calibration:
        Training digits shipped for choosing the types of intermediate values.
    """

    seed: int
    train: int
    valid: int
    calibration: int

    def __post_init__(self) -> None:
        sizes = (self.train, self.valid, self.calibration)
        if min(sizes) < 1 or self.calibration > self.train or self.seed < 0:
            raise ValueError("sizes start at 1, and calibration digits are among the training ones")


@dataclass(frozen=True, slots=True)
class Quantization:
    """Bits of the network's numbers, as QKeras counts them.

    Attributes
    ----------
    input_bits, input_integer:
        Signed inputs: bits with the sign, and integer bits without it.
    weight_bits, weight_integer:
        Signed symmetric kernels and biases.
    activation_bits, activation_integer:
        Signed sums after each residual connection.
    relu_bits, relu_integer:
        Unsigned outputs of the rectified layers.
    """

    input_bits: int
    input_integer: int
    weight_bits: int
    weight_integer: int
    activation_bits: int
    activation_integer: int
    relu_bits: int
    relu_integer: int

    def __post_init__(self) -> None:
        for kind in ("input", "weight", "activation", "relu"):
            bits, integer = getattr(self, f"{kind}_bits"), getattr(self, f"{kind}_integer")
            if not (2 <= bits <= 16 and 0 <= integer < bits):
                raise ValueError(f"{kind}: {bits} bits with {integer} integer bits make no type")


@dataclass(frozen=True, slots=True)
class Training:
    """The fit: in floating point first, then with quantizers.

    Attributes
    ----------
    seed:
        Seed of the initial weights and of the order of the samples.
    batch:
        Samples a step.
    float_epochs, float_rate:
        Passes over the training samples, and Adam's initial learning rate.
    quantized_epochs, quantized_rate:
        The same with quantizers.
    score_limit:
        Attention scores beyond plus or minus this are penalized, so that exp(score) can be read
        from a small table without subtracting the maximum.
    """

    seed: int
    batch: int
    float_epochs: int
    float_rate: float
    quantized_epochs: int
    quantized_rate: float
    score_limit: float

    def __post_init__(self) -> None:
        if min(self.batch, self.float_epochs, self.quantized_epochs) < 1:
            raise ValueError("batch and epochs start at 1")
        if not 0 <= self.seed < 2**32:
            raise ValueError("the seed lies in 0..2^32 - 1")
        if min(self.float_rate, self.quantized_rate, self.score_limit) <= 0.0:
            raise ValueError("learning rates and score_limit are above 0")


@dataclass(frozen=True, slots=True)
class Techniques:
    """What a recipe switches on by name.

    Attributes
    ----------
    pruning:
        Share of each layer's weights that becomes zero in floating point and stays zero.
    """

    pruning: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.pruning < 1.0:
            raise ValueError("pruning is a share below 1")

    def course(self, grows: bool) -> Course | None:
        """Return the zeros of a fit; None without pruning."""
        return Course(self.pruning, grows) if self.pruning else None


HEAD = ("framework", "task")
"""Keys before the tables: what trains it, and on what; `gateformer train` goes by them."""

Samples = TypeVar("Samples", Data, DigitsData)


@dataclass(frozen=True, slots=True)
class Recipe(Generic[Samples]):
    """A whole recipe; each attribute is a table of the file."""

    data: Samples
    quantization: Quantization
    training: Training
    techniques: Techniques = field(default_factory=Techniques)


Table = TypeVar("Table", Data, DigitsData, Quantization, Training, Techniques)


def read(path: Path, data: type[Samples]) -> Recipe[Samples]:
    """Read a recipe with data of one kind; all keys are required and unknown ones are errors.

    Raises
    ------
    ConfigError, Problems
        E001, E002: all that is wrong with it, at once; E006 for a batch beyond the samples.
    """
    tables = tables_of(path)
    for key in HEAD:
        tables.pop(key, None)
    tables.setdefault("techniques", {"pruning": 0.0})
    wrong: list[GateformerError] = []
    wrong += _faults(tables, [field.name for field in fields(Recipe)], str(path))
    parts = (
        _table(data, tables.get("data"), "data", wrong),
        _table(Quantization, tables.get("quantization"), "quantization", wrong),
        _table(Training, tables.get("training"), "training", wrong),
        _table(Techniques, tables.get("techniques"), "techniques", wrong),
    )
    Problems.raise_if_any(wrong)
    recipe: Recipe[Samples] = Recipe(*parts)  # type: ignore[arg-type] # none is None now
    if recipe.training.batch > recipe.data.train:
        raise ConfigError(
            "E006",
            "settings that contradict each other",
            layer=str(path),
            cause=f"a batch of {recipe.training.batch} out of {recipe.data.train} samples",
        )
    return recipe


def tables_of(path: Path) -> dict[str, Any]:
    """Return a recipe's tables, unchecked.

    Raises
    ------
    ConfigError
        E003 without the file, E004 where it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError("E003", "no such recipe", layer=str(path)) from error
    except (ValueError, RecursionError) as error:
        cause = cause_of(error)
        raise ConfigError("E004", "malformed TOML", layer=str(path), cause=cause) from error


def unusable(value: object) -> str:
    """Return why nothing can be computed with a number, as TOML allows it; else nothing.

    >>> unusable(float("nan")), unusable(1.5)
    ('nan is no finite number', '')
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value!r} is no finite number"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "It is beyond 64 bits"
    return ""


def _table(kind: type[Table], values: Any, name: str, wrong: list[GateformerError]) -> Table | None:
    """Return `values` as one of the tables; where it is none, None, and why in `wrong`."""
    wanted: dict[str, Any] = {field.name: field.type for field in fields(kind)}
    if not isinstance(values, dict):
        if values is not None:  # what is missing is told with all that is
            wrong.append(ConfigError("E002", "not a table", layer=name))
        return None
    found = [*_faults(values, list(wanted), name)]
    for key in wanted.keys() & values.keys():
        numbers = (int,) if wanted[key] == "int" else (int, float)
        if isinstance(values[key], bool) or not isinstance(values[key], numbers):
            what = f"not a number of type {wanted[key]}"
            found.append(ConfigError("E002", what, layer=f"{name}.{key}"))
        elif cause := unusable(values[key]):
            what = "invalid configuration value"
            found.append(ConfigError("E002", what, layer=f"{name}.{key}", cause=cause))
    if not found:
        try:
            return kind(**values)
        except ValueError as error:
            found.append(ConfigError("E002", "invalid value", layer=name, cause=str(error)))
    wrong += found
    return None


def _faults(values: dict[str, Any], wanted: list[str], where: str) -> Iterator[ConfigError]:
    """Yield an error for keys that are unknown, and for those that are missing."""
    if unknown := sorted(set(values) - set(wanted)):
        yield ConfigError(
            "E001",
            f"unknown configuration key {', '.join(unknown)}",
            layer=where,
            fix=f"The keys are {', '.join(wanted)}",
        )
    if missing := [key for key in wanted if key not in values]:
        yield ConfigError("E002", f"missing {', '.join(missing)}", layer=where)
