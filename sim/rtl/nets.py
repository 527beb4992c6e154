"""What each net of a design is: a register, a memory, logic, a product, or a mere name of these.

Owns ``Kind``, ``Scope`` and ``scopes``. Reads the tree that ``verilator --json-only`` writes of the
sources after elaboration, and imports nothing. A SAIF file knows nets by their names alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["register", "memory", "logic", "product"]
"""``register``: takes its value at a clock edge; ``memory``: words, one written at a time;
``logic``: the output of a gate; ``product``: of a multiplication of two things that vary.
Ports, slices, concatenations and inverted copies of other nets are none of these, but wires."""

Tree = Mapping[str, Any]
WIRING = frozenset(
    {"VARREF", "CONST", "SEL", "ARRAYSEL", "CONCAT", "REPLICATE", "EXTEND", "EXTENDS", "NOT",
     "SHIFTL", "SHIFTR", "SHIFTRS"}
)  # fmt: skip
"""Nodes that cost no gate, where what selects or shifts does not vary; an inversion is a part of
the gate that reads it."""
CHOOSING = {
    "SEL": "lsbp",
    "ARRAYSEL": "bitp",
    "SHIFTL": "rhsp",
    "SHIFTR": "rhsp",
    "SHIFTRS": "rhsp",
}
PRODUCTS = frozenset({"MUL", "MULS"})


@dataclass(slots=True)
class Scope:
    """A module, or a generate block in one.

    Attributes
    ----------
    module : str
        The module's name in the sources, without parameters.
    nets : dict of str to Kind
        By the net's name.
    inner : dict of str to Scope or str
        Generate blocks, and the module of each instance as a key of ``scopes``.
    """

    module: str
    nets: dict[str, Kind] = field(default_factory=dict)
    inner: dict[str, Scope | str] = field(default_factory=dict)


def scopes(tree: Tree) -> dict[str, Scope]:
    """Return every elaborated module by its key; the design's top is the first."""
    return {module["addr"]: _Module(module).scope for module in tree["modulesp"]}


class _Module:
    """Reads one module."""

    def __init__(self, module: Tree) -> None:
        self.scope = Scope(module["origName"])
        self.homes: dict[str, tuple[Scope, str, str]] = {}
        self._declare(module["stmtsp"], self.scope)
        for statement in _inside(module["stmtsp"]):
            if statement["type"] == "ALWAYS":
                for each in statement["stmtsp"]:
                    self._assign(each, chosen=False)

    def _declare(self, statements: list[Tree], scope: Scope) -> None:
        for node in statements:
            if node["type"] == "VAR":
                self.homes[node["addr"]] = (scope, node["name"], node["dtypeName"])
            elif node["type"] == "CELL":
                scope.inner[node["name"]] = node["modp"]
            elif node["type"] == "GENBLOCK":
                inner = Scope(scope.module)
                scope.inner[node["name"]] = inner
                self._declare(node["itemsp"], inner)

    def _assign(self, node: Tree, chosen: bool) -> None:
        """Take in a statement; ``chosen``: whether a condition decides on it."""
        kind = node["type"]
        if kind in ("ASSIGNDLY", "ASSIGN", "ASSIGNW"):
            self._take(node, chosen)
            return
        inner = chosen or kind in ("IF", "CASE")
        for child in _children(node):
            self._assign(child, inner)

    def _take(self, node: Tree, chosen: bool) -> None:
        (target,), (source,) = node["lhsp"], node["rhsp"]
        product = self._multiplies(source)
        found: Kind | None = "product" if product else None
        if node["type"] == "ASSIGNDLY":
            found = found or ("memory" if self._addressed(target) else "register")
        elif found is None and (chosen or self._computed(source)):
            found = "logic"
        if found is None:
            return
        for part in _walk(target):
            if part["type"] == "VARREF" and part["access"] != "RD":
                scope, name, dtype = self.homes.get(part["varp"], (None, "", ""))
                # Loop counters are no hardware.
                if scope is not None and dtype != "integer":
                    scope.nets[name] = found

    def _addressed(self, target: Tree) -> bool:
        """Whether a net says which word is written."""
        return any(
            part["type"] == "ARRAYSEL" and self._varies(part["bitp"]) for part in _walk(target)
        )

    def _computed(self, source: Tree) -> bool:
        """Whether it takes gates to make a value."""
        return any(
            part["type"] not in WIRING
            or (part["type"] in CHOOSING and self._varies(part[CHOOSING[part["type"]]]))
            for part in _walk(source)
        )

    def _multiplies(self, source: Tree) -> bool:
        return any(
            part["type"] in PRODUCTS and self._varies(part["lhsp"]) and self._varies(part["rhsp"])
            for part in _walk(source)
        )

    def _varies(self, nodes: list[Tree]) -> bool:
        return any(
            part["type"] == "VARREF" and self.homes.get(part["varp"], ("", "", ""))[2] != "integer"
            for node in nodes
            for part in _walk(node)
        )


def _children(node: Tree) -> Iterator[Tree]:
    for value in node.values():
        if isinstance(value, list):
            yield from (child for child in value if isinstance(child, Mapping))


def _walk(node: Tree) -> Iterator[Tree]:
    yield node
    for child in _children(node):
        yield from _walk(child)


def _inside(statements: list[Tree]) -> Iterator[Tree]:
    """Statements of a module, those of its generate blocks among them."""
    for node in statements:
        if node["type"] == "GENBLOCK":
            yield from _inside(node["itemsp"])
        else:
            yield node
