"""Reading a design: a ``design.toml`` or a bare model file, with overrides, all faults at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateformer.config.schema import SAFE_NAME, Config
from gateformer.quant.errors import ConfigError, Problems
from gateformer.quant.toml_faults import cause_of

MODEL_SUFFIXES = frozenset({".h5", ".hdf5", ".keras", ".json", ".onnx"})
"""Files that are taken for a model, not for a configuration."""

LARGEST = 1 << 20
"""Bytes of the largest configuration that is read."""

PATHS = (("model",), ("data", "file"), ("cache",))
"""Keys that hold paths, relative to the file that they stand in."""
TABLES_OF_PATHS = (("build", "paths"),)
"""Tables of which every value is one."""


def load(source: Path, overrides: Iterable[str] = ()) -> Config:
    """Read a design.

    Parameters
    ----------
    source : Path
        A ``design.toml``, or a model file: then every key has its default.
    overrides : iterable of str
        ``key=value``, the key dotted, the value as in TOML or a bare word; paths among them are
        relative to the working folder.

    Returns
    -------
    Config
        With absolute paths and a name.

    Raises
    ------
    Problems or ConfigError
        All unknown keys (with the nearest known one) and wrong values, as ``file:key``.
    """
    source = Path(source)
    if source.is_dir():
        source = source / "design.toml"
    bare = source.suffix.lower() in MODEL_SUFFIXES
    check_there(source)
    tree: dict[str, Any] = {"model": str(source.absolute())} if bare else read_toml(source)
    _anchor(tree, source.absolute().parent)
    own = set(_dotted(tree))
    given: set[str] = set()
    for text in overrides:
        given.add(".".join(override(tree, text)))
    if isinstance(tree.get("name"), type(None)):
        tree["name"] = default_name(source, bare)
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        Problems.raise_if_any(_problems(error, tree, source.name, given, own, Config))
        raise AssertionError("a validation error without errors") from error
    if not Path(config.model).is_file():
        raise ConfigError(
            "E003",
            "file not found",
            layer=f"{source.name}:model",
            cause=f"{config.model} is no file",
            fix="Name the model's file, relative to the configuration",
        )
    return config


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file's tree."""
    try:
        raw = path.read_bytes()
        if len(raw) > LARGEST:
            raise ConfigError("E004", "malformed TOML", layer=str(path), cause="It is over 1 MiB")
        return tomllib.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        cause = cause_of(error)
        raise ConfigError("E004", "malformed TOML", layer=str(path), cause=cause) from error


def override(tree: dict[str, Any], text: str) -> tuple[str, ...]:
    """Set one ``key=value`` in a tree; returns the key's parts."""
    key, equals, value = text.partition("=")
    parts = tuple(_split(key.strip()))
    if not equals or not all(parts):
        raise ConfigError(
            "E005",
            "invalid override",
            layer=text,
            fix="Write key=value, for example -o schedule.token_parallelism=3",
        )
    table = tree
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(
                "E005", "invalid override", layer=text, cause=f"'{part}' is no table of keys"
            )
    wanted = toml_value(value.strip())
    is_path = (parts in PATHS or parts[:-1] in TABLES_OF_PATHS) and isinstance(wanted, str)
    table[parts[-1]] = str(Path(wanted).absolute()) if is_path else wanted
    return parts


def toml_value(text: str) -> Any:
    """Return a text read as a TOML value, or itself where it is none."""
    try:
        tree = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return tree["value"] if len(tree) == 1 else text


def default_name(source: Path, bare: bool) -> str:
    """Return the name of a design that gives itself none: its folder's, or its model's."""
    stem = source.stem if bare or source.stem != "design" else source.absolute().parent.name
    name = re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_")[:60]
    return name if SAFE_NAME.fullmatch(name) else f"net_{name}".strip("_")


def check_there(source: Path) -> None:
    """Raise E003 where a file is not there, with a near name that is."""
    if source.is_file():
        return
    near = get_close_matches(source.name, _siblings(source), 1, 0.8)
    fix = f"Did you mean '{source.with_name(near[0])}'?" if near else "Check the path"
    raise ConfigError("E003", "file not found", layer=str(source), fix=fix)


def _siblings(source: Path) -> list[str]:
    try:
        return [
            path.name for path in source.absolute().parent.iterdir() if path.name != source.name
        ]
    except OSError:
        return []


def _split(key: str) -> list[str]:
    """Split a dotted key; the names of points and layers may hold dots themselves."""
    for head in ("types", "schedule.layers", "data.calibration", "data.test"):
        if key.startswith(f"{head}."):
            return [*head.split("."), key[len(head) + 1 :].strip("\"'")]
    return key.split(".")


def _anchor(tree: dict[str, Any], folder: Path) -> None:
    for *tables, key in PATHS:
        _anchor_in(_table(tree, tables), (key,), folder)
    for names in TABLES_OF_PATHS:
        table = _table(tree, names)
        _anchor_in(table, tuple(table), folder)


def _table(tree: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return an inner table, empty where there is none."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def _anchor_in(table: dict[str, Any], keys: Iterable[str], folder: Path) -> None:
    for key in keys:
        if isinstance(table.get(key), str) and table[key]:
            table[key] = str((folder / table[key]).absolute())


def model_problems(
    error: ValidationError, tree: Mapping[str, Any], file: str, model: type[BaseModel]
) -> Iterator[ConfigError]:
    """Yield one error a key of a TOML file that is no `model`, as ``file:key``."""
    return _problems(error, tree, file, set(), set(_dotted(tree)), model)


def _problems(
    error: ValidationError,
    tree: Mapping[str, Any],
    file: str,
    given: set[str],
    own: set[str],
    model: type[BaseModel],
) -> Iterator[ConfigError]:
    """Yield one error a key; a key of which several forms were tried has several causes.

    ``given`` are the overrides' keys, ``own`` those of the file itself.
    """
    by_key: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for found in error.errors():
        by_key.setdefault(_place(found, tree), []).append(found)
    for parts, found_here in by_key.items():
        key = ".".join(parts)
        overridden = any(f"{key}.".startswith(f"{one}.") for one in given) or (
            key not in own and any(one.startswith(f"{key}.") for one in given)
        )
        place = f"-o {key}" if overridden else f"{file}:{key}"
        yield _problem(place, parts, found_here, model)


def _place(found: ErrorDetails, tree: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the key at fault, without pydantic's names of the forms that it tried."""
    parts = tuple(str(part) for part in found["loc"])
    if found["type"] == "missing":
        return parts
    at: Any = tree
    for depth, part in enumerate(parts):
        if isinstance(at, list) and part.isdigit():
            at = at[int(part)]
            continue
        if not isinstance(at, dict) or part not in at:
            return parts[:depth]
        at = at[part]
    return parts


def _problem(
    place: str, parts: tuple[str, ...], found: Sequence[ErrorDetails], model: type[BaseModel]
) -> ConfigError:
    first = found[0]
    if first["type"] == "extra_forbidden":
        known = list(_keys(parts[:-1], model))
        near = get_close_matches(parts[-1], known, 1) or _deeper(parts, model)
        fix = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(known)}"
        return ConfigError("E001", "unknown configuration key", layer=place, fix=fix)
    if first["type"] == "missing":
        return ConfigError("E002", "missing configuration value", layer=place)
    causes = (one["msg"].removeprefix("Value error, ").removeprefix("Input ") for one in found)
    cause = ", or ".join(dict.fromkeys(causes))
    shown = repr(first["input"])
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    cause = cause if shown in cause else f"{shown} {cause}"
    return ConfigError("E002", "invalid configuration value", layer=place, cause=cause)


def _dotted(tree: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield every key of a tree, its tables' names before it."""
    for key, value in tree.items():
        yield above + key
        if isinstance(value, dict):
            yield from _dotted(value, f"{above}{key}.")


def _deeper(parts: tuple[str, ...], model: type[BaseModel]) -> list[str]:
    """Return the known keys that lie in a table which was left out: ``verilator`` for its own."""
    above = ".".join(parts[:-1])
    return [
        key
        for table in _keys(parts[:-1], model)
        if parts[-1] in _keys((*parts[:-1], table), model)
        for key in (f"{above}.{table}.{parts[-1]}".lstrip("."),)
    ]


def _keys(parts: Iterable[str], model: type[BaseModel]) -> Mapping[str, object]:
    """Return the keys of an inner table; of lists, those of their entries."""
    for part in parts:
        if part.isdigit():
            continue
        annotation = model.model_fields[part].annotation
        inner = get_args(annotation) if get_origin(annotation) is list else (annotation,)
        if not (isinstance(inner[0], type) and issubclass(inner[0], BaseModel)):
            return {}
        model = inner[0]
    return model.model_fields
