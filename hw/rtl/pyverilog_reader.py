"""Verilog as Pyverilog reads it: modules, their ports, and what an instance of each consists of.

Owns parsing and elaboration (parameters, generate blocks) of syntax trees that the emitter had
no part in. Pyverilog is untyped, so its nodes are ``Any`` here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateformer.hw.rtl import verilog_statements as statements
from gateformer.hw.rtl import verilog_values as values
from gateformer.hw.rtl.verilog_values import Scope, Signal, UnsupportedError
from gateformer.quant.errors import ToolError
from gateformer.quant.tools import require_tool


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A module's syntax.

    Attributes
    ----------
    name, file : str
        Where it is.
    ports : mapping of str to (direction, node)
        In the header's order.
    parameters : mapping of str to node
        Defaults, in order.
    items : tuple of node
        What stands in its body.
    """

    name: str
    file: str
    ports: Mapping[str, tuple[str, Any]]
    parameters: Mapping[str, Any]
    items: tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Driver:
    """What gives a signal its value: an assignment, an always block or an instance's output."""

    kind: str
    node: Any
    scope: Scope
    port: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Child:
    """An instance inside a module.

    Attributes
    ----------
    module : str
        What it is an instance of.
    parameters : mapping of str to int
        Those given.
    connections : mapping of str to node or None
        By port.
    scope : Scope
        Where its connections are evaluated.
    """

    module: str
    parameters: Mapping[str, int]
    connections: Mapping[str, Any]
    scope: Scope


@dataclass(slots=True, eq=False)
class Shape:
    """A module with values for its parameters.

    Attributes
    ----------
    module : Module
        Its syntax.
    scope : Scope
        Its constants and signals.
    ports : dict of str to (direction, width)
        In order.
    drivers : dict of str to list of Driver
        By signal.
    children : dict of str to Child
        By instance name.
    """

    module: Module
    scope: Scope
    ports: dict[str, tuple[str, int]] = field(default_factory=dict)
    drivers: dict[str, list[Driver]] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)


def parse(
    files: Mapping[str, str], iverilog: Path | None = None
) -> tuple[dict[str, Module], list[tuple[str, str]]]:
    """Parse every file.

    Parameters
    ----------
    files : mapping of str to str
        Verilog by file name; other files are left aside.
    iverilog : Path, optional
        The preprocessor, where it is not on PATH.

    Returns
    -------
    modules : dict of str to Module
        By name.
    faults : list of (file, text)
        What could not be read.

    Raises
    ------
    ToolError
        E501 without Icarus, E505 without Pyverilog.
    """
    program = require_tool("iverilog", iverilog)
    try:
        from pyverilog.vparser.parser import ParseError, VerilogParser
    except ImportError:
        raise ToolError(
            "E505",
            "Python package not installed",
            layer="pyverilog",
            cause="It reads the generated Verilog back",
            fix="pip install -e '.[sim]'",
        ) from None
    modules: dict[str, Module] = {}
    faults: list[tuple[str, str]] = []
    with TemporaryDirectory(prefix="gateformer-read-") as folder:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            parser = VerilogParser(outputdir=folder, debug=False)
        for name, text in sorted(files.items()):
            if not name.endswith(".v"):
                continue
            parser.lexer.reset_lineno()
            try:
                tree = parser.parse(preprocessed(program, Path(folder), text), debug=0)
            except ParseError as error:
                faults.append((name, f"Pyverilog cannot parse it: {str(error).strip()}"))
                continue
            for module in modules_of(tree, name):
                if module.name in modules:
                    faults.append((name, f"module {module.name} is defined twice"))
                modules[module.name] = module
    return modules, faults


def preprocessed(program: Path, folder: Path, text: str) -> str:
    """Return a text as Icarus's preprocessor leaves it, synthesis only."""
    source, result = folder / "source.v", folder / "preprocessed.v"
    source.write_text(text, encoding="utf-8")
    command = [str(program), "-E", "-DSYNTHESIS", "-o", str(result), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise ToolError("E502", "iverilog failed", cause=said[0] if said else "It said nothing")
    return result.read_text(encoding="utf-8")


def modules_of(tree: Any, file: str) -> Iterator[Module]:
    """Yield the modules of a syntax tree."""
    for definition in tree.description.definitions:
        if type(definition).__name__ != "ModuleDef":
            continue
        ports: dict[str, tuple[str, Any]] = {}
        items: list[Any] = []
        for port in definition.portlist.ports if definition.portlist else ():
            declared = getattr(port, "first", None)
            if declared is not None:
                ports[declared.name] = (type(declared).__name__.lower(), declared)
        for item in definition.items:
            if type(item).__name__ == "Decl":
                for one in item.list:
                    kind = type(one).__name__
                    if kind in ("Input", "Output", "Inout"):
                        ports[one.name] = (kind.lower(), one)
            items.append(item)
        parameters = {
            one.name: one.value
            for declared in (definition.paramlist.params if definition.paramlist else ())
            for one in declared.list
        }
        yield Module(definition.name, file, ports, parameters, tuple(items))


def elaborate(module: Module, given: Mapping[str, int], modules: Mapping[str, Module]) -> Shape:
    """Return a module with values for its parameters; raise `UnsupportedError` where that fails."""
    scope = Scope("", dict(given))
    for name, node in module.parameters.items():
        if name not in given:
            scope.constants[name] = values.constant(node, scope)
    shape = Shape(module, scope)
    for name, (direction, node) in module.ports.items():
        width = values.range_width(node.width, scope)
        shape.ports[name] = (direction, width)
        scope.signals[name] = Signal(name, width)
    for item in module.items:
        _item(item, scope, shape, modules)
    return shape


def _item(item: Any, scope: Scope, shape: Shape, modules: Mapping[str, Module]) -> None:
    kind = type(item).__name__
    if kind == "Decl":
        for one in item.list:
            _declare(one, scope, shape)
    elif kind == "Assign":
        for name in statements.targets(item.left):
            _drive(shape, name, scope, Driver("assign", item, scope))
    elif kind == "Always":
        clocked = any(sens.type == "posedge" for sens in item.sens_list.list)
        driver = Driver("clocked" if clocked else "comb", item.statement, scope)
        for name in sorted(statements.assigned(item.statement)):
            _drive(shape, name, scope, driver)
    elif kind == "InstanceList":
        for one in item.instances:
            _instance(one, scope, shape, modules)
    elif kind == "GenerateStatement":
        for one in item.items:
            _item(one, scope, shape, modules)
    elif kind == "IfStatement":
        taken = values.constant(item.cond, scope)
        branch = item.true_statement if taken else item.false_statement
        if branch is not None:
            _block(branch, scope, shape, modules, "")
    elif kind == "ForStatement":
        name = str(item.pre.left.var)
        step = Scope(scope.prefix, {name: values.constant(item.pre.right, scope)}, parent=scope)
        while values.constant(item.cond, step):
            number = step.constants[name]
            _block(item.statement, scope, shape, modules, f"[{number}]", {name: number})
            step.constants[name] = values.constant(item.post.right, step)


def _block(
    item: Any, scope: Scope, shape: Shape, modules: Mapping[str, Module],
    suffix: str, constants: Mapping[str, int] | None = None,
) -> None:  # fmt: skip
    label = getattr(item, "scope", None) or "genblk"
    inner = Scope(f"{scope.prefix}{label}{suffix}.", dict(constants or {}), parent=scope)
    for one in getattr(item, "statements", (item,)):
        _item(one, inner, shape, modules)


def _declare(one: Any, scope: Scope, shape: Shape) -> None:
    kind = type(one).__name__
    if kind in ("Localparam", "Parameter"):
        scope.constants[one.name] = values.constant(one.value, scope)
    elif kind in ("Wire", "Reg", "Integer", "Tri"):
        name = scope.prefix + one.name
        memory = one.dimensions is not None
        if one.name not in shape.ports or scope.prefix:
            scope.signals[one.name] = Signal(name, values.range_width(one.width, scope), memory)
    elif kind == "Assign":
        _item(one, scope, shape, {})


def _drive(shape: Shape, name: str, scope: Scope, driver: Driver) -> None:
    signal = scope.signal(name)
    if signal is None:
        raise UnsupportedError(f"'{name}' is not declared")
    shape.drivers.setdefault(signal.name, []).append(driver)


def _instance(one: Any, scope: Scope, shape: Shape, modules: Mapping[str, Module]) -> None:
    name = scope.prefix + one.name
    given = {p.paramname: values.constant(p.argname, scope) for p in one.parameterlist}
    connections = {p.portname: p.argname for p in one.portlist}
    if None in connections:
        raise UnsupportedError(f"instance '{name}' has connections without names")
    child = Child(one.module, given, connections, scope)
    shape.children[name] = child
    known = modules.get(one.module)
    for port, node in connections.items():
        if known is not None and node is not None and known.ports.get(port, ("",))[0] == "output":
            for target in statements.targets(node):
                _drive(shape, target, scope, Driver("instance", node, scope, f"{name}.{port}"))
