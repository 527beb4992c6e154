"""The driver as files that a board takes: every module that it imports, at its place.

Owns ``bundle``. Reads sources; of what they import, it loads packages alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "gateformer"
DRIVER = "gateformer.host.driver"
"""What a board's program imports; all else follows from it."""


def bundle() -> dict[str, str]:
    """Return the driver's sources by their path in a folder that Python looks into.

    Python 3.10 and numpy are all that they need.
    """
    found: dict[str, str] = {}
    waiting = [DRIVER]
    while waiting:
        module = waiting.pop()
        parent = module.rpartition(".")[0]
        if parent:
            waiting.append(parent)
        source = _source(module)
        if source is None or source[0] in found:
            continue
        path, text = source
        found[path] = text
        waiting += _imports(ast.parse(text))
    return dict(sorted(found.items()))


def _source(module: str) -> tuple[str, str] | None:
    """Return a module's path and text; None where the name is an object in a module."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    if spec is None or spec.origin is None:
        return None
    package = spec.submodule_search_locations is not None
    path = module.replace(".", "/") + ("/__init__.py" if package else ".py")
    return path, Path(spec.origin).read_text(encoding="utf-8")


def _imports(tree: ast.AST) -> Iterator[str]:
    """Yield what a module imports from this package, but for its checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from _imports(node)
