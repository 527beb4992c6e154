"""Writing a resolved configuration as TOML, so that the copy in a run can be run again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateformer.config.schema import Config

BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(config: Config) -> str:
    """Return a configuration as TOML, keys in the order of the schema."""
    return tree_to_toml(config.model_dump(mode="json", exclude_none=True))


def tree_to_toml(tree: Mapping[str, Any]) -> str:
    """Return a tree of tables and JSON values as TOML, keys in their order."""
    return "\n".join(_table(tree, ())) + "\n"


def _table(tree: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    plain = {key: value for key, value in tree.items() if not isinstance(value, dict)}
    if path and (plain or not tree):
        yield f"\n[{'.'.join(_key(part) for part in path)}]"
    for key, value in plain.items():
        # A JSON text or number is a TOML one too.
        yield f"{_key(key)} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _table(value, (*path, key))


def _key(text: str) -> str:
    return text if BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
