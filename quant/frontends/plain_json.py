"""JSON from untrusted files: bounded in size and depth, typed access with clear errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateformer.quant.errors import ModelError

MAX_JSON_BYTES = 64 << 20
MAX_DEPTH = 200
"""Far above any real model (nested models add about six levels each)."""


HEADLINES = {
    "E102": "unsupported layer",
    "E103": "malformed layer configuration",
    "E104": "missing or misshapen weights",
    "E105": "NaN or infinite weights",
    "E106": "code in a model file",
    "E109": "unsupported quantizer",
    "E112": "inconsistent shapes",
    "E114": "unsupported connection between layers",
}
"""What happened, by the code of an error about a layer."""


def parse(text: bytes | str, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    text : bytes or str
        Untrusted.
    what : str
        Its name in error messages.

    Raises
    ------
    ModelError
        E107 if it is too large or too deep, E101 if it is no JSON object in UTF-8.
    """
    if len(text) > MAX_JSON_BYTES:
        raise ModelError(
            "E107",
            f"{what} is too large",
            cause=f"{len(text)} bytes, the limit is {MAX_JSON_BYTES}",
            fix="save the model again without custom objects",
        )
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        if nesting(text) > MAX_DEPTH:
            raise ModelError(
                "E107", f"{what} is nested too deeply", cause=f"more than {MAX_DEPTH} levels"
            )
        value = json.loads(text)
    except UnicodeDecodeError:
        raise damaged(what, "it is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise damaged(what, f"it is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise damaged(what, "it is not a JSON object")
    return value


def damaged(what: str, cause: str) -> ModelError:
    """E101 for a part of a model file that cannot be read."""
    return ModelError("E101", f"{what} cannot be read", cause=cause, fix="save the model again")


def nesting(text: str) -> int:
    """Depth of brackets outside strings; found before a parser recurses into them."""
    depth = deepest = 0
    quoted = escaped = False
    for char in text:
        if quoted:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
        elif char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


class Config(Mapping[str, Any]):
    """A layer's configuration, read with types; each error names the layer and the key.

    Parameters
    ----------
    values : mapping
        As in the file.
    layer, kind : str
        The layer's name and class, for messages.
    """

    def __init__(self, values: object, layer: str, kind: str) -> None:
        self.layer = layer
        self.kind = kind
        if not isinstance(values, Mapping):
            raise self.error("its configuration is no JSON object")
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def error(
        self, cause: str, fix: str = "save the model again", code: str = "E103"
    ) -> ModelError:
        """Return an error about this layer (E103 unless told)."""
        what = HEADLINES[code]
        return ModelError(code, what, layer=self.layer, kind=self.kind, cause=cause, fix=fix)

    def unsupported(self, cause: str, fix: str) -> ModelError:
        """E102 about this layer."""
        return self.error(cause, fix, "E102")

    def integer(self, key: str, default: int | None = None, least: int = 0) -> int:
        """Integer of at least ``least``; JSON floats that are whole count."""
        value = self.get(key, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.error(f"'{key}' is {shorten(value)}, not an integer of at least {least}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Finite number."""
        value = self.get(key, default)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict) and "value" in value:
            value = value["value"]
        try:
            if isinstance(value, (int, float)) and abs(float(value)) < float("inf"):
                return float(value)
        except OverflowError:
            pass
        raise self.error(f"'{key}' is {shorten(value)}, not a finite number")

    def flag(self, key: str, default: bool = False) -> bool:
        """Truth value; 0 and 1 count."""
        value = self.get(key, default)
        if value in (0, 1, None) and not isinstance(value, float):
            return bool(value)
        raise self.error(f"'{key}' is {shorten(value)}, not true or false")

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string."""
        value = self.get(key, default)
        if not isinstance(value, str):
            raise self.error(f"'{key}' is {shorten(value)}, not a string")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        """List of integers; one integer counts as a list of one."""
        value = self.get(key)
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(i, int) and not isinstance(i, bool) for i in items):
            raise self.error(f"'{key}' is {shorten(value)}, not a list of integers")
        return tuple(items)


def shorten(value: object) -> str:
    """Text of a value for a message, at most 60 characters."""
    return _cut(repr(value))


def shorten_name(name: str) -> str:
    """Name for a message that puts it between quotes, at most 60 characters, none of control."""
    return _cut(repr(name)[1:-1])


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
