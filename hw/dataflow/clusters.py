"""Clusters: lane nodes that share one pipelined stage.

Owns the grouping; a cluster is convex (no way leaves and re-enters it) and carries one layer's
name. Imports the facts of ``classify``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateformer.hw.dataflow.classify import Facts, is_cheap, is_sum
from gateformer.quant.graph import Node


@dataclass(slots=True, eq=False)
class Cluster:
    """Lane nodes of one stage, in topological order.

    Attributes
    ----------
    layer : str
        Layer that names the stage.
    nodes : list of Node
        Its operations.
    cheap : bool
        Whether all of them may ride on another layer's stage.
    """

    layer: str
    nodes: list[Node] = field(default_factory=list)
    cheap: bool = True


def needs(facts: Facts, nodes: Sequence[Node]) -> frozenset[str]:
    """Values that nodes read and others make, wires looked through."""
    inner = {node.output for node in nodes}
    return frozenset(b for n in nodes for i in n.inputs for b in facts.bases(i)) - inner


def clusters(facts: Facts) -> list[Cluster]:
    """Group lane nodes: a node joins its readers' stage where that is the only one of its rank."""
    home: dict[str, Cluster] = {}
    found: list[Cluster] = []
    for node in reversed(facts.graph.nodes):
        name = node.output
        if facts.kinds[name] != "lane":
            continue
        layer = facts.graph.values[name].layer
        near = {
            id(home[r.output]): r
            for r in facts.readers(name)
            if facts.kinds[r.output] == "lane" and facts.ranks[r.output] == facts.ranks[name]
        }
        cluster = None
        if len(near) == 1:
            (reader,) = near.values()
            candidate = home[reader.output]
            same_domain = (
                facts.is_vector(reader.output) == facts.is_vector(name)
                and facts.folds[reader.output] == facts.folds[name]
                and facts.tokens(reader.output) == facts.tokens(name)
            )
            # Sums of sums may be multiplied out, so they belong together.
            chained = facts.settings.joint and is_sum(node) and is_sum(reader)
            if same_domain and (candidate.layer == layer or candidate.cheap or chained):
                cluster = candidate
        if cluster is None:
            cluster = Cluster(layer)
            found.append(cluster)
        cluster.nodes.append(node)
        cluster.cheap = cluster.cheap and is_cheap(node)
        cluster.layer = layer
        home[name] = cluster
    for cluster in found:
        cluster.nodes.reverse()
    return found[::-1]
