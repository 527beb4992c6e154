"""A blueprint unfolded: one list of calls in topological order, nested models dissolved."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateformer.quant.errors import ModelError
from gateformer.quant.frontends.keras.blueprint import Blueprint, LayerConfig, Member
from gateformer.quant.frontends.keras.references import Ref, replaced, walk

MAX_CALLS = 20_000
"""Calls once nested models are dissolved; the largest real networks have a few thousand."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A tensor of the unfolded model."""

    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One use of a layer; tensors among the arguments are ``Slot``."""

    layer: LayerConfig
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Slot


@dataclass(slots=True)
class Topology:
    """An unfolded model.

    Attributes
    ----------
    inputs : list of (LayerConfig, Slot)
        Input layers in the model's order.
    outputs : list of Slot
        Results in the model's order.
    layers : dict of str to LayerConfig
        Every layer once, by name, in the order of first use.
    calls : list of Call
        Each reads only inputs and results of earlier calls.
    """

    inputs: list[tuple[LayerConfig, Slot]] = field(default_factory=list)
    outputs: list[Slot] = field(default_factory=list)
    layers: dict[str, LayerConfig] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    slots: int = 0

    def slot(self) -> Slot:
        """Return a new tensor."""
        self.slots += 1
        return Slot(self.slots)


def unfold(model: Blueprint) -> Topology:
    """Dissolve nested models and order the calls.

    Raises
    ------
    ModelError
        E103 for references to nothing and for cycles, E107 for models that swell.
    """
    topology = Topology()
    for ref in model.inputs:
        member = _input_member(model, ref)
        topology.inputs.append((member.layer, topology.slot()))
    topology.outputs = _instance(topology, model, [slot for _, slot in topology.inputs])
    return topology


def _instance(topology: Topology, model: Blueprint, given: list[Slot]) -> list[Slot]:
    if len(given) != len(model.inputs):
        raise _broken(model, f"it takes {len(model.inputs)} inputs and is given {len(given)}")
    slots = dict(zip((Ref(r.layer, 0) for r in model.inputs), given, strict=True))
    for name, index in _order(model):
        member = model.members[name]
        use = member.uses[index]

        def resolve(ref: Ref) -> Slot:
            return slots[_local(model, ref)]

        args = replaced(use.args, Ref, resolve)
        kwargs = replaced(use.kwargs, Ref, resolve)
        if member.nested is not None:
            results = _instance(topology, member.nested, list(walk((args, kwargs), Slot)))
            slots.update({Ref(name, index, n): slot for n, slot in enumerate(results)})
            continue
        slots[Ref(name, index)] = output = topology.slot()
        topology.layers.setdefault(member.layer.name, member.layer)
        topology.calls.append(Call(member.layer, args, kwargs, output))
        if len(topology.calls) > MAX_CALLS:
            raise ModelError(
                "E107",
                "model too large once nested models are unfolded",
                cause=f"more than {MAX_CALLS} calls of layers",
            )
    return [slots[_local(model, ref)] for ref in model.outputs]


def _order(model: Blueprint) -> list[tuple[str, int]]:
    """(member, call) in an order in which every call follows what it reads (Kahn's algorithm).

    The file's own order is kept where it is such an order.
    """
    inputs = {Ref(r.layer, 0) for r in model.inputs}
    reads: dict[Ref, set[Ref]] = {}
    readers: dict[Ref, list[Ref]] = {}
    for name, member in model.members.items():
        for index, use in enumerate(member.uses):
            call = Ref(name, index)
            found = (_local(model, ref) for ref in walk((use.args, use.kwargs), Ref))
            needed = {Ref(ref.layer, ref.node) for ref in found} - inputs
            reads[call] = needed
            for ref in needed:
                readers.setdefault(ref, []).append(call)
    for ref in model.outputs:
        _local(model, ref)
    place = {call: number for number, call in enumerate(reads)}
    ready = [(place[call], call.layer, call.node) for call, needed in reads.items() if not needed]
    order: list[tuple[str, int]] = []
    while ready:
        _, layer, node = heapq.heappop(ready)
        order.append((layer, node))
        for reader in readers.get(Ref(layer, node), ()):
            reads[reader].discard(Ref(layer, node))
            if not reads[reader]:
                heapq.heappush(ready, (place[reader], reader.layer, reader.node))
    if len(order) < len(reads):
        stuck = sorted({call.layer for call, needed in reads.items() if needed})
        raise _broken(model, f"a cycle leads through {', '.join(stuck[:5])}")
    return order


def _local(model: Blueprint, ref: Ref) -> Ref:
    """A reference that counts from zero; E103 where it leads nowhere."""
    member = model.members.get(ref.layer)
    node = ref.node - (member.first if member else 0)
    if member is not None and member.layer.kind == "InputLayer":
        if any(r.layer == ref.layer for r in model.inputs):
            return Ref(ref.layer, 0)
        raise _broken(model, f"'{ref.layer}' is not among its inputs")
    if member is None or not 0 <= node < len(member.uses):
        raise _broken(model, f"it reads call {ref.node} of '{ref.layer}', which is not there")
    if not 0 <= ref.tensor < (len(member.nested.outputs) if member.nested else 1):
        raise _broken(model, f"it reads result {ref.tensor} of '{ref.layer}', which has fewer")
    return Ref(ref.layer, node, ref.tensor)


def _input_member(model: Blueprint, ref: Ref) -> Member:
    member = model.members.get(ref.layer)
    if member is None or member.layer.kind != "InputLayer":
        raise _broken(model, f"its input '{ref.layer}' is no input layer")
    return member


def _broken(model: Blueprint, cause: str) -> ModelError:
    return ModelError(
        "E103",
        "malformed model configuration",
        layer=model.layer.name,
        kind=model.layer.kind,
        cause=cause,
        fix="save the model again",
    )
