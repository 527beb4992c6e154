"""Verilog statements over Pyverilog's nodes: what they assign, and what decides it.

Owns the walk through always blocks. Imports the expressions' values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateformer.hw.rtl import verilog_values as values
from gateformer.hw.rtl.verilog_values import Scope, UnsupportedError, kind_of

STATEMENTS = frozenset(
    {
        "Block",
        "IfStatement",
        "CaseStatement",
        "CasexStatement",
        "CasezStatement",
        "Case",
        "ForStatement",
        "BlockingSubstitution",
        "NonblockingSubstitution",
        "SingleStatement",
    }
)
"""Kinds of statements that may hold assignments."""


def names(node: Any) -> Iterator[str]:
    """Yield every identifier inside a node."""
    if kind_of(node) == "Identifier":
        yield node.name
    for child in node.children():
        yield from names(child)


def targets(node: Any) -> Iterator[str]:
    """Yield the names that a left-hand side, or an output's connection, assigns."""
    kind = kind_of(node)
    if kind in ("Lvalue", "Rvalue", "Pointer", "Partselect"):
        yield from targets(node.var)
    elif kind in ("Concat", "LConcat"):
        for one in node.list:
            yield from targets(one)
    elif kind == "Identifier":
        yield node.name
    else:
        raise UnsupportedError(f"an assignment to a {kind}")


def assigned(statement: Any) -> set[str]:
    """Return the names that a statement assigns, counters of loops left out."""
    kind = kind_of(statement)
    if statement is None:
        return set()
    if kind.endswith("Substitution"):
        return set(targets(statement.left))
    if kind == "ForStatement":
        return assigned(statement.statement) - set(targets(statement.pre.left))
    found: set[str] = set()
    for child in statement.children():
        if kind_of(child) in STATEMENTS:
            found |= assigned(child)
    return found


def touches(node: Any, target: str) -> bool:
    """Return whether a statement assigns a signal."""
    return target in assigned(node)


def loop_variables(node: Any) -> set[str]:
    """Return the counters of the loops in a statement."""
    found = set(targets(node.pre.left)) if kind_of(node) == "ForStatement" else set()
    for child in node.children():
        if kind_of(child) in STATEMENTS:
            found |= loop_variables(child)
    return found


def relevant(node: Any, target: str, above: list[Any]) -> list[Any]:
    """Return the expressions that decide a signal: conditions, indices and right-hand sides."""
    if node is None or not touches(node, target):
        return []
    kind = kind_of(node)
    if kind.endswith("Substitution"):
        return [*above, node.left, node.right]
    if kind == "IfStatement":
        inner = [*above, node.cond]
        both = (node.true_statement, node.false_statement)
        return [one for branch in both for one in relevant(branch, target, inner)]
    if kind == "CaseStatement":
        inner = [*above, node.comp, *(c for one in node.caselist for c in one.cond or ())]
        return [one for case in node.caselist for one in relevant(case.statement, target, inner)]
    if kind == "ForStatement":
        return relevant(node.statement, target, [*above, node.cond])
    return [one for child in node.children() for one in relevant(child, target, above)]


def chosen(node: Any, scope: Scope, read: values.Read) -> Any:
    """Return the statement that a case takes, or None."""
    bits = values.width(node.comp, scope)
    found = values.evaluate(node.comp, scope, read, bits)
    for case in node.caselist:
        for one in case.cond or ():
            if values.evaluate(one, scope, read, bits) == found:
                return case.statement
        if case.cond is None:
            return case.statement
    return None


def put(
    total: Any, left: Any, scope: Scope, found: int, target: str, read: values.Read
) -> Any:  # fmt: skip
    """Return a signal with what an assignment gives it."""
    kind = kind_of(left)
    if kind in ("Lvalue", "Rvalue"):
        return put(total, left.var, scope, found, target, read)
    if kind in ("LConcat", "Concat"):
        for one in reversed(left.list):
            bits = values.width(one, scope)
            total = put(total, one, scope, found & ((1 << bits) - 1), target, read)
            found >>= bits
        return total
    if target not in targets(left):
        return total
    bits = values.width(left, scope)
    found &= (1 << bits) - 1
    if kind == "Identifier":
        return found
    if kind == "Partselect":
        low = values.part(left, scope, read)[0]
    else:
        low = values.evaluate(left.ptr, scope, read)
        if isinstance(total, dict):
            return {**total, low: found}
    return (total & ~(((1 << bits) - 1) << low)) | (found << low)
