"""The page docs/config.md, made of the schema: ``python -m gateformer.config.document``."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateformer.config.schema import Config

HEAD = """\
# Configuration

A design is a folder with a `design.toml`; every key but `model` has a default. Paths are relative
to the file. A model file in its place (`gateformer run model.h5`) takes every default.

```toml
model = "model.h5"

[data]
file = "jets.npz"

[types]
"block1/score" = "fixed<12,4>"    # W bits, I of them integer bits, the sign included

[schedule]
token_parallelism = 3
layers = { block1_ffn_up = 2 }
```

`-o key=value` sets a key for one call: `-o schedule.token_parallelism=3`,
`-o synth.enabled=false`, `-o types.default=fixed<17,7>`. A value is read as TOML, or else as a
text. `--data FILE` is `-o data.file=FILE`. The run keeps the resolved configuration as
`config.resolved.toml`, which can be run again.

Unknown keys and wrong values are reported all at once, as `file:key`, with the nearest known key.

`enabled` is `"auto"` (skip the step if its tool is missing, and say so), `true` (fail without it)
or `false`.
"""

FOOT = """\
<!-- Made by python -m gateformer.config.document > docs/config.md -->
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD, *sections(Config, "", "Keys before the first table."), FOOT]
    return "\n".join(parts)


def sections(model: type[BaseModel], path: str, about: str) -> Iterator[str]:
    """Yield a table for a section's own keys, then its sub-sections."""
    inner: list[tuple[str, type[BaseModel], str]] = []
    rows = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            inner.append((f"{path}.{name}".strip("."), kind, field.description or ""))
            continue
        text = " ".join((field.description or "").split()).replace("``", "`")
        rows.append(f"| `{name}` | {spelled(kind, field)} | {default(field)} | {text} |")
    if rows:
        title = f"## `[{path}]`" if path else "## Top"
        about = " ".join((about or model.__doc__ or "").split())
        lines = [title, "", about, "", "| key | value | default | meaning |", "|---|---|---|---|"]
        yield "\n".join([*lines, *rows, ""])
    for place, kind, told in inner:
        yield from sections(kind, place, told)


def default(field: FieldInfo) -> str:
    """Return a default as TOML writes it."""
    value = field.default
    if field.is_required():
        return "required"
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def spelled(kind: Any, field: FieldInfo) -> str:
    """Return the values that a key takes."""
    origin = get_origin(kind)
    if origin in (UnionType, Union):
        parts = [spelled(part, field) for part in get_args(kind) if part is not type(None)]
        return " or ".join(dict.fromkeys(parts))
    if origin is Literal:
        return ", ".join(f'`"{one}"`' for one in get_args(kind))
    if origin is dict:
        return f"table of {spelled(get_args(kind)[1], field)}"
    if hasattr(kind, "__metadata__"):
        return spelled(get_args(kind)[0], field) + limits(kind.__metadata__)
    words = {int: "integer", float: "number", str: "text", bool: "`true` or `false`"}
    return words.get(kind, str(kind)) + limits(field.metadata)


def limits(metadata: Any) -> str:
    """Return the limits among a field's metadata, in words."""
    found: dict[str, float] = {}
    for one in metadata:
        for part in [one, *getattr(one, "metadata", ())]:
            for bound in ("ge", "gt", "le"):
                value = getattr(part, bound, None)
                if value is not None:
                    found[bound] = value
    words = [f"from {found['ge']:,}"] if "ge" in found else []
    words += [f"over {found['gt']:,}"] if "gt" in found else []
    words += [f"to {found['le']:,}"] if "le" in found else []
    return f" {' '.join(words)}" if words else ""


if __name__ == "__main__":
    print(page(), end="")
