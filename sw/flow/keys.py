"""Which steps a run takes, and what decides each one's result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from gateformer.config.schema import Config
from gateformer.flow.files import digest_file, digest_of
from gateformer.flow.step import Step

SOURCES = frozenset({".py", ".v", ".h", ".toml", ".cpp", ".j2", ".tcl", ".html", ".css", ".js"})
"""Files whose text decides what code does."""


def key_of(doer: Step[Any], config: Config, digests: Mapping[type[Step[Any]], str]) -> str:
    """Return the hash of all that decides a step's result.

    Parameters
    ----------
    doer : Step
        The step.
    config : Config
        Of it, the keys that the step uses.
    digests : mapping of Step class to str
        Of the steps that ran before.
    """
    tree = config.model_dump(mode="json")
    return digest_of(
        {
            "step": doer.name,
            "settings": {key: _dig(tree, key) for key in doer.uses},
            "files": [digest_file(path) for path in doer.files(config)],
            "needs": {n.name: digests.get(n) for n in (*doer.needs, *doer.wants)},
            "code": [code_digest(floor) for floor in ("sw/flow", *doer.floors)],
        }
    )


def _dig(tree: Any, key: str) -> object:
    for part in key.split("."):
        tree = tree[part]
    return cast(object, tree)


@cache
def code_digest(floor: str) -> str:
    """Return the hash of a package's sources: ``quant``, ``hw``, ``sim`` or ``sw/<package>``."""
    name = floor.replace("sw/", "gateformer/") if floor != "sw" else "gateformer"
    name = name.replace("/", ".") if "/" in name or name == "gateformer" else f"gateformer.{name}"
    root = Path(str(files(name)))
    paths = (path for path in root.rglob("*") if path.suffix in SOURCES)
    return digest_of([(str(path.relative_to(root)), digest_file(path)) for path in sorted(paths)])


def closure(steps: Sequence[type[Step[Any]]], targets: Iterable[str]) -> frozenset[type[Step[Any]]]:
    """Return the steps of the given names and all that they need; all where none is given."""
    names = set(targets)
    wanted = {step for step in steps if not names or step.name in names}
    for step in reversed(steps):
        if step in wanted:
            wanted.update(step.needs)
    return frozenset(wanted)
