"""Precisions and reuse factors of hls4ml's layers, on the layers of a model that was read.

Owns ``Fitted`` and ``fit``. Imports the scopes, the ledger, the graph and lowering. hls4ml looks
for a setting by the layer's name, then its type, then the model's (``HLSConfig.get_precision``
there), without regard to case; so does this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from gateformer.config.hls4ml_ledger import Ledger, Setting
from gateformer.config.hls4ml_scopes import Scopes
from gateformer.config.hls4ml_types import read_precision
from gateformer.quant.errors import ConfigError
from gateformer.quant.expand.context import Types
from gateformer.quant.graph import Graph
from gateformer.quant.lower import Lowered, lower_noted
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.passes.prepare import prepare
from gateformer.quant.types import Fixed

VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "scale",
    "scale": "scale",
    "beta": "bias",
    "offset": "bias",
    "table": "embeddings",
}
"""End of a weight's point here -> hls4ml's variable."""

TYPES = {
    "Flatten": "reshape",
    "Permute": "transpose",
    "ReLU": "activation",
    "QActivation": "activation",
    "LeakyReLU": "parametrizedactivation",
    "InputLayer": "input",
    **dict.fromkeys(("Add", "Subtract", "Multiply"), "merge"),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalMaxPooling1D"), "globalpooling1d"),
}
"""Keras' class -> hls4ml's, in lower case, where they differ."""

AUTO = "is what happens here too: sums are exact, results calibrated on data or types.default"
FITTING = "changes nothing: the model's own weights fit that type"
MODES = "a Cast here rounds and saturates, so these modes are left out"


@dataclass(slots=True)
class Fitted:
    """What a ``design.toml`` says about layers.

    Attributes
    ----------
    types : dict of str to Setting
        By point; the settings that they come from.
    kinds : dict of str to Fixed
        Their types.
    reuse_factor : int
        Of the model.
    layers : dict of str to int
        Reuse factor of single layers.
    """

    types: dict[str, Setting]
    kinds: dict[str, Fixed]
    reuse_factor: int
    layers: dict[str, int]


def fit(graph: Graph, classes: Mapping[str, str], scopes: Scopes, ledger: Ledger) -> Fitted:
    """Carry types and reuse factors over to a model.

    Parameters
    ----------
    graph : Graph
        The imported model.
    classes : mapping of str to str
        Keras' class of each layer.
    scopes : Scopes
        What the file says.
    ledger : Ledger
        Takes what became of each setting.

    Returns
    -------
    Fitted
        Only types that change something, and reuse factors of layers that multiply.

    Raises
    ------
    Problems or GateformerError
        What lowering refuses.
    """
    return _Fit(graph, classes, scopes, ledger).done()


class _Fit:
    def __init__(
        self, graph: Graph, classes: Mapping[str, str], scopes: Scopes, ledger: Ledger
    ) -> None:
        self.graph, _ = prepare(graph)
        self.classes = classes
        self.scopes = scopes
        self.ledger = ledger
        self.types: dict[str, Setting] = {}
        self.kinds: dict[str, Fixed] = {}
        self.used: set[tuple[int, str]] = set()

    def done(self) -> Fitted:
        model = self.scopes.model.precision
        self._give("default", model.get("result", model.get("default")))
        for name, value in self._results():
            self._give(value, self._explicit(name, self._types_of(value), "result"))
        for point, layer in self._points(self._lowered().rounded):
            if point not in self.types:
                end = point.removeprefix(f"{layer}/").rsplit("_", 1)[-1]
                self._give(point, self._found(layer, VARIABLES.get(end, "weight")))
        fitting: list[Setting] = []
        for point, layer, variable, array in self._quantized():
            setting = self._explicit(layer, self._types_of(layer), variable)
            kind = self._kind(setting)
            if setting is None or kind is None or point in self.types:
                continue
            if np.array_equal(kind.to_real(kind.from_real(array)), array):
                fitting.append(setting)
            else:
                self._give(point, setting)
        lowered = self._lowered()
        for error in lowered.idle:
            point = (error.layer or "").removeprefix("types.")
            setting = self.types.pop(point)
            del self.kinds[point]
            self._drop(setting, f"changes nothing: {error.cause or error.what}")
        for point, setting in self.types.items():
            kind = self.kinds[point]
            modes = read_precision(str(setting.entry.value)).modes
            to = f"types.{point} = {kind}"
            self.ledger.use(setting, to, f"{modes}: {MODES}" if modes else "")
            self.used.add((setting.entry.line, setting.key))
        for setting in fitting:
            if (setting.entry.line, setting.key) not in self.used:
                self.ledger.drop(setting, FITTING)
        self.used |= {(setting.entry.line, setting.key) for setting in fitting}
        self._tell_rest()
        return Fitted(self.types, self.kinds, *self._reuse(lowered))

    def _lowered(self) -> Lowered:
        given = dict(self.kinds)
        default = given.pop("default", Fixed(True, 17, 10))
        try:
            return lower_noted(self.graph, Types(MappingProxyType(given), default=default))
        except ConfigError as error:
            if not self.types:
                raise
            widest = max(self.types, key=lambda point: _reach(self.kinds[point]))
            cause = f"With it, {error.what} in '{error.layer}'"
            raise self.ledger.fault(self.types[widest], cause, error.fix, error.code) from None

    def _give(self, point: str, setting: Setting | None) -> None:
        kind = self._kind(setting)
        if setting is not None and kind is not None:
            self.types[point], self.kinds[point] = setting, kind

    def _kind(self, setting: Setting | None) -> Fixed | None:
        """Type that a setting asks for; ``auto`` of weights is the model's default."""
        if setting is None:
            return None
        return read_precision(str(setting.entry.value)).type

    def _drop(self, setting: Setting, reason: str) -> None:
        self.ledger.drop(setting, reason)
        self.used.add((setting.entry.line, setting.key))

    def _results(self) -> Iterator[tuple[str, str]]:
        """hls4ml's name of each value that has one: a fused activation is a layer of its own."""
        for value in self.graph.values.values():
            if value.name == value.layer and f"{value.layer}/linear" in self.graph.values:
                found = [n for n in self.scopes.names if n.startswith(f"{value.layer.lower()}_")]
                others = {layer.lower() for layer in self.graph.layers}
                yield from ((name, value.name) for name in found if name not in others)
                if not found:
                    yield "", value.name
            elif value.name == value.layer:
                linear = f"{value.layer.lower()}_linear"
                yield (linear if linear in self.scopes.names else value.layer), value.name
            elif value.name == f"{value.layer}/linear":
                yield value.layer, value.name

    def _types_of(self, value: str) -> tuple[str, ...]:
        """hls4ml's classes of a value or layer, in lower case."""
        layer = value.removesuffix("/linear")
        if value == layer and f"{layer}/linear" in self.graph.values:
            producer = self.graph.producers()[value].op
            return ("softmax",) if type(producer).__name__ == "Softmax" else ("activation",)
        kind = self.classes.get(layer, "")
        plain = kind.lower()
        return tuple(dict.fromkeys((plain, TYPES.get(kind, plain), plain.removeprefix("q"))))

    def _explicit(self, name: str, types: tuple[str, ...], variable: str) -> Setting | None:
        """A setting by name or by type."""
        scopes = [self.scopes.names.get(name.lower())]
        scopes += [self.scopes.types.get(kind) for kind in types]
        for scope in scopes:
            for key in (variable, "default"):
                if scope is not None and key in scope.precision:
                    return scope.precision[key]
        return None

    def _found(self, layer: str, variable: str) -> Setting | None:
        """A weight's setting: by name, type, or the model's; for ``auto``, the model's default."""
        model = self.scopes.model.precision
        found = self._explicit(layer, self._types_of(f"{layer}/linear"), variable)
        found = found or model.get(variable)
        return found if self._kind(found) is not None else model.get("default")

    def _points(self, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for layer in self.graph.layers:
            for name in names:
                if name.startswith(f"{layer}/") and "/" not in name.removeprefix(f"{layer}/"):
                    yield name, layer

    def _quantized(self) -> Iterator[tuple[str, str, str, np.ndarray]]:
        """Weights of layers that hold each under its own name: (point, layer, variable, array)."""
        for node in self.graph.nodes:
            layer = self.graph.values[node.output].layer
            for name, variable in VARIABLES.items():
                array = getattr(node.op, name, None)
                if isinstance(array, np.ndarray) and array.dtype == np.float64:
                    yield f"{layer}/{name}", layer, variable, array

    def _reuse(self, lowered: Lowered) -> tuple[int, dict[str, int]]:
        whole = self.scopes.model.reuse
        factor = 1 if whole is None else _number(whole)
        if whole is not None:
            self.ledger.use(whole, f"schedule.reuse_factor = {factor}")
        graph = lowered.graph
        multiplying = {
            graph.values[n.output].layer for n in graph.nodes if isinstance(n.op, Dense | MatMul)
        }
        layers: dict[str, int] = {}
        for layer in graph.layers:
            names = (self.scopes.names.get(layer.lower()),)
            kinds = (self.scopes.types.get(kind) for kind in self._types_of(f"{layer}/linear"))
            setting = next((s.reuse for s in (*names, *kinds) if s is not None and s.reuse), None)
            if setting is None or layer not in multiplying:
                continue
            own = _number(setting)
            self.used.add((setting.entry.line, setting.key))
            if own == factor:
                self.ledger.use(setting, "schedule.reuse_factor, as the whole model")
            else:
                layers[layer] = own
                self.ledger.use(setting, f"schedule.layers.{layer} = {own}")
        for name, setting in self._all_reuse():
            if (setting.entry.line, setting.key) not in self.used:
                self.ledger.drop(setting, self._absent(name, "nothing is multiplied there"))
        return factor, layers

    def _all_reuse(self) -> Iterator[tuple[str, Setting]]:
        for table in (self.scopes.names, self.scopes.types):
            for name, settings in table.items():
                if settings.reuse is not None:
                    yield name, settings.reuse

    def _tell_rest(self) -> None:
        """Say of every precision that became nothing why."""
        tables = ({"": self.scopes.model}, self.scopes.types, self.scopes.names)
        for table in tables:
            for name, settings in table.items():
                for setting in settings.precision.values():
                    if (setting.entry.line, setting.key) in self.used:
                        continue
                    found = read_precision(str(setting.entry.value))
                    if found.auto:
                        self.ledger.drop(setting, AUTO)
                    elif found.type is None:
                        self.ledger.drop(setting, "is a floating-point type; all is fixed here")
                    else:
                        self.ledger.drop(setting, self._absent(name, "no value here has it"))

    def _absent(self, name: str, otherwise: str) -> str:
        known = {layer.lower() for layer in (*self.graph.layers, *self.classes)}
        owner = any(name == one or name.startswith(f"{one}_") for one in known)
        if not name or owner or name in self.scopes.types:
            return f"changes nothing: {otherwise}"
        return f"changes nothing: the model has no layer '{name}'"


def _reach(kind: Fixed) -> int:
    """How much a type widens what it meets: its farthest bit from the point."""
    return max(abs(kind.integer), abs(kind.frac))


def _number(setting: Setting) -> int:
    value = setting.entry.value
    assert isinstance(value, int)
    return value
