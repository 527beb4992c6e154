"""The control logic of read-back Verilog, followed clock by clock.

Owns ``Control``: it finds the logic cone behind chosen signals and evaluates just that,
registers by their non-blocking assignments. Imports the reader's shapes and values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateformer.hw.rtl import verilog_statements as statements
from gateformer.hw.rtl import verilog_values as values
from gateformer.hw.rtl.pyverilog_reader import Driver, Module, Shape, elaborate
from gateformer.hw.rtl.verilog_values import UnsupportedError, kind_of

Key = tuple[str, str]
"""Path of an instance, each part ending in a point, and a signal in it."""


class Control:
    """A top module whose control signals can be clocked.

    Parameters
    ----------
    modules : mapping of str to Module
        All modules.
    top : str
        The outermost.
    """

    def __init__(self, modules: Mapping[str, Module], top: str) -> None:
        self.modules = modules
        self.shapes: dict[str, Shape] = {"": elaborate(modules[top], {}, modules)}
        self.inputs: dict[str, int] = {}
        self.state: dict[Key, Any] = {}
        self._settled: dict[Key, int] = {}
        self._from: dict[Key, list[Key]] = {}
        self._known: dict[Key, tuple[list[Any], Any]] = {}
        self._targets: dict[int, set[str]] = {}
        self._paths: dict[str, str] = {}
        self._alike: dict[tuple[str, tuple[tuple[str, int], ...]], Shape] = {}

    def shape(self, path: str) -> Shape:
        """Return the elaborated module of an instance."""
        if path not in self.shapes:
            above, name = self._above(path)
            child = above.children[name]
            if child.module not in self.modules:
                raise UnsupportedError(f"module {child.module} is missing")
            alike = (child.module, tuple(sorted(child.parameters.items())))
            if alike not in self._alike:
                module = self.modules[child.module]
                self._alike[alike] = elaborate(module, child.parameters, self.modules)
            self.shapes[path] = self._alike[alike]
        return self.shapes[path]

    def _above(self, path: str) -> tuple[Shape, str]:
        outer = self._outer(path)
        return self.shape(outer), path[len(outer) : -1]

    def _outer(self, path: str) -> str:
        if path not in self._paths:
            known = [p for p in self.shapes if path.startswith(p) and p != path]
            self._paths[path] = max(known, key=len)
        return self._paths[path]

    def find(self, name: str) -> Key:
        """Return where a driven signal of this name is, the outermost first."""
        paths = [""]
        for path in paths:
            shape = self.shape(path)
            if name in shape.drivers:
                return path, name
            paths += [f"{path}{child}." for child in shape.children]
        raise UnsupportedError(f"'{name}' has no driver")

    def watch(self, keys: Iterable[Key]) -> None:
        """Find every register that the signals depend upon; all begin at 0."""
        wanted, seen = list(keys), set()
        while wanted:
            key = wanted.pop()
            if key in seen:
                continue
            seen.add(key)
            drivers = self._drivers(key)
            if any(driver.kind == "clocked" for driver in drivers):
                signal = self._signal(key)
                self.state[key] = {} if signal.memory else 0
            self._from[key] = [k for k in self._sources(key, drivers) if k != key]
            wanted += self._from[key]

    def value(self, key: Key) -> int:
        """Return a signal's value in this clock."""
        return int(self._read(key))

    def step(self) -> None:
        """Go to the next clock."""
        after = {key: self._same(key, self._next, old) for key, old in self.state.items()}
        self.state = after
        self._settled.clear()

    def drive(self, **inputs: int) -> None:
        """Set inputs of the top; others stay 0."""
        self.inputs.update(inputs)
        self._settled.clear()

    def _assigned(self, node: Any) -> set[str]:
        """Return what a statement assigns, found out once; nodes live as long as the modules."""
        if id(node) not in self._targets:
            self._targets[id(node)] = statements.assigned(node)
        return self._targets[id(node)]

    def _signal(self, key: Key) -> values.Signal:
        shape = self.shape(key[0])
        if key[1] in shape.scope.signals:
            return shape.scope.signals[key[1]]
        scopes = (d.scope for d in shape.drivers.get(key[1], ()))
        for scope in scopes:
            found = scope.signal(key[1].rpartition(".")[2])
            if found is not None and found.name == key[1]:
                return found
        raise UnsupportedError(f"'{key[0]}{key[1]}' has no driver")

    def _drivers(self, key: Key) -> list[Driver]:
        path, name = key
        shape = self.shape(path)
        if shape.ports.get(name, ("",))[0] == "input":
            if not path:
                return []
            above, child = self._above(path)
            node = above.children[child].connections.get(name)
            if node is None:
                raise UnsupportedError(f"input '{path}{name}' is not connected")
            return [Driver("up", node, above.children[child].scope)]
        found = shape.drivers.get(name, [])
        if not found:
            raise UnsupportedError(f"'{path}{name}' has no driver")
        return found

    def _sources(self, key: Key, drivers: Iterable[Driver]) -> list[Key]:
        path = key[0]
        found: list[Key] = []
        for driver in drivers:
            counters: set[str] = set()
            nodes: list[Any] = []
            if driver.kind == "instance":
                child, _, port = driver.port.rpartition(".")
                found.append((f"{path}{child}.", port))
            elif driver.kind == "up":
                path, nodes = self._outer(path), [driver.node]
            elif driver.kind == "assign":
                nodes = [driver.node.right]
            else:
                nodes = statements.relevant(driver.node, self._short(key), [])
                counters = statements.loop_variables(driver.node)
            for node in nodes:
                signals = (
                    driver.scope.signal(n) for n in statements.names(node) if n not in counters
                )
                found += [(path, signal.name) for signal in signals if signal is not None]
        return found

    def _short(self, key: Key) -> str:
        return key[1].rpartition(".")[2]

    def _read(self, key: Key) -> Any:
        if key in self.state:
            return self.state[key]
        if key not in self._settled:
            self._settled[key] = self._same(key, self._combined, None)
        return self._settled[key]

    def _same(self, key: Key, made: Callable[[Key], Any], old: Any) -> Any:
        """Return what a signal becomes; made anew only where what it depends upon has changed."""
        if key not in self._from or not self._from[key]:
            return made(key)
        inputs = [old, *(self._read(source) for source in self._from[key])]
        known = self._known.get(key)
        if known is None or known[0] != inputs:
            known = self._known[key] = (inputs, made(key))
        return known[1]

    def _reader(self, path: str) -> values.Read:
        return lambda name: self._read((path, name))

    def _combined(self, key: Key) -> int:
        path, name = key
        if not path and self.shape("").ports.get(name, ("",))[0] == "input":
            return self.inputs.get(name, 0)
        total = 0
        for driver in self._drivers(key):
            if driver.kind == "comb":
                total = self._execute(driver, key, 0)
                continue
            if driver.kind == "up":
                outer = self._outer(path)
                bits = self.shape(path).ports[name][1]
                found = values.evaluate(driver.node, driver.scope, self._reader(outer), bits)
                total = found & ((1 << bits) - 1)
                continue
            if driver.kind == "instance":
                child, _, port = driver.port.rpartition(".")
                found, left = self._read((f"{path}{child}.", port)), driver.node
            else:
                left = driver.node.left
                found = values.evaluate(
                    driver.node.right,
                    driver.scope,
                    self._reader(path),
                    values.width(left, driver.scope),
                )
            total = statements.put(
                total, left, driver.scope, found, self._short(key), values.no_signal
            )
        return total

    def _next(self, key: Key) -> Any:
        old = self.state[key]
        result = dict(old) if isinstance(old, dict) else old
        for driver in self._drivers(key):
            result = self._execute(driver, key, result)
        return result

    def _execute(self, driver: Driver, key: Key, start: Any) -> Any:
        """Run an always block for one signal; its registers are read as they were."""
        path, target = key[0], self._short(key)
        scope, local, result = driver.scope, dict[str, int](), start

        def read(name: str) -> Any:
            if name in local:
                return local[name]
            if name == key[1] and driver.kind == "comb":
                return result
            return self._read((path, name))

        def run(node: Any) -> None:
            nonlocal result
            kind = kind_of(node)
            if node is None or (kind != "ForStatement" and target not in self._assigned(node)):
                return
            if kind == "Block":
                for one in node.statements:
                    run(one)
            elif kind == "IfStatement":
                taken = values.evaluate(node.cond, scope, read)
                run(node.true_statement if taken else node.false_statement)
            elif kind == "CaseStatement":
                run(statements.chosen(node, scope, read))
            elif kind == "ForStatement":
                counter = scope.signal(next(statements.targets(node.pre.left)))
                if counter is None or target not in self._assigned(node):
                    return
                local[counter.name] = values.evaluate(node.pre.right, scope, read)
                while values.evaluate(node.cond, scope, read):
                    run(node.statement)
                    local[counter.name] = values.evaluate(node.post.right, scope, read)
            elif kind.endswith("Substitution"):
                bits = values.width(node.left, scope)
                found = values.evaluate(node.right, scope, read, bits)
                result = statements.put(result, node.left, scope, found, target, read)
            else:
                raise UnsupportedError(f"a statement of kind {kind}")

        run(driver.node)
        return result
