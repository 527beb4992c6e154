"""Reading a recipe for Brevitas: TOML's tables into dataclasses, all faults at once.

Owns ``read`` and ``checked``. Imports the recipe and what opens the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gateformer.quant.errors import ConfigError, GateformerError, Problems
from gateformer.quant.train.brevitas.recipe import (
    Bits,
    Network,
    Recipe,
    Refinement,
    Samples,
    Techniques,
    Training,
)
from gateformer.quant.train.brevitas.tasks import TASKS
from gateformer.quant.train.recipe import tables_of, unusable

TABLES: Mapping[str, type[Any]] = {
    "data": Samples,
    "network": Network,
    "bits": Bits,
    "techniques": Techniques,
    "training": Training,
    "refinement": Refinement,
}
OPTIONAL = ("bits", "techniques")
"""Tables whose keys all have defaults."""
ABSENT = "refinement"
"""The table that is None where the file has none: it came later, and changes no older recipe."""


class _Wrong(Exception):  # noqa: N818 - what is wrong with a value, in words
    pass


def read(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    Problems or ConfigError
        E003, E004: no such file, no TOML; E001, E002: all unknown keys, with the nearest known
        one, missing ones and wrong values, as ``file:key``; E006: techniques that exclude each
        other.
    """
    return checked(tables_of(path), path.name)


def checked(tree: Mapping[str, Any], file: str) -> Recipe:
    """Return a recipe's tables as a recipe; `file` and errors as `read` has them."""
    wrong: list[GateformerError] = []
    wrong += _keys(tree, ("framework", "task", *TABLES), file, "")
    task = tree.get("task")
    if not isinstance(task, str) or task not in TASKS:
        wrong.append(_invalid(f"{file}:task", f"tasks are {', '.join(TASKS)}"))
    made = {
        name: _table(kind, tree.get(name, {} if name in OPTIONAL else None), file, name, wrong)
        for name, kind in TABLES.items()
        if name in tree or name != ABSENT
    }
    Problems.raise_if_any(wrong)
    try:
        return Recipe(task=str(task), **made)
    except ValueError as error:
        raise ConfigError(
            "E006", "settings that contradict each other", layer=file, cause=str(error)
        ) from error


def _table(kind: type[Any], values: Any, file: str, name: str, wrong: list[GateformerError]) -> Any:
    """Return one table as its dataclass; None, and its faults in `wrong`, where that fails."""
    place = f"{file}:{name}"
    if not isinstance(values, dict):
        wrong.append(ConfigError("E002", "missing table", layer=place))
        return None
    known = {field.name: field for field in fields(kind)}
    found = list(_keys(values, known, file, f"{name}."))
    hints = get_type_hints(kind)
    taken = {}
    for key, field in known.items():
        if key in values:
            try:
                taken[key] = _value(hints[key], values[key])
            except _Wrong as error:
                found.append(_invalid(f"{place}.{key}", str(error)))
        elif field.default is MISSING:
            found.append(ConfigError("E002", "missing configuration value", layer=f"{place}.{key}"))
    if not found:
        try:
            return kind(**taken)
        except ValueError as error:
            found.append(_invalid(place, str(error)))
    wrong += found
    return None


def _value(hint: Any, value: Any) -> Any:
    """Return a TOML value as the type of a field."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (hint,) = (one for one in inside if one is not NoneType)
        return _value(hint, value)
    if cause := unusable(value):  # first: Python does not write numbers of thousands of digits
        raise _Wrong(cause)
    if origin is Literal:
        if value not in inside:
            raise _Wrong(f"{value!r} is none of {', '.join(map(repr, inside))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise _Wrong(f"{value!r} is no list")
        endless = inside[-1] is Ellipsis
        if not endless and len(value) != len(inside):
            raise _Wrong(f"{value!r} has not {len(inside)} entries")
        kinds = inside[:1] * len(value) if endless else inside
        return tuple(_value(one, entry) for one, entry in zip(kinds, value, strict=True))
    accepted = (int, float) if hint is float else hint
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise _Wrong(f"{value!r} is no {hint.__name__}")
    return hint(value)


def _keys(
    values: Mapping[str, Any], known: Iterable[str], file: str, above: str
) -> Iterable[ConfigError]:
    """Yield an error for each key that nobody knows."""
    names = list(known)
    for key in values:
        if key not in names:
            near = get_close_matches(key, names, 1)
            fix = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(names)}"
            place = f"{file}:{above}{key}"
            yield ConfigError("E001", "unknown configuration key", layer=place, fix=fix)


def _invalid(place: str, cause: str) -> ConfigError:
    return ConfigError("E002", "invalid configuration value", layer=place, cause=cause)
