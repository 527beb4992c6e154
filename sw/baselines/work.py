"""What a baseline runs: a network by its files, or a decoder by its shape.

Owns ``NetworkWork``, ``DecoderWork``, their JSON, and the exact workload that a record states.
Imports graphs, decoders and the counts of layers. A worker process opens these objects; both give
the reference that every runtime's outputs are held to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from gateformer.baselines.counting import blocks, operations, parameters
from gateformer.baselines.record import Workload
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import DataError

if TYPE_CHECKING:
    from gateformer.quant.graph import Graph
    from gateformer.quant.types import FloatArray, IntArray


CHECKED = 1024
"""Most frames whose outputs are compared, but for a batch that is larger."""


@dataclass(frozen=True, slots=True)
class NetworkWork:
    """A network with inputs.

    Attributes
    ----------
    name : str
        Of the design.
    graph : Path
        The imported or folded graph, as `gateformer.quant.serialize` writes it.
    inputs : Path
        A .npz with an array of reals (n, *shape) for each of the graph's inputs, by its name.
    batch : int
        Frames at once: the file's first ones, again from the start where it has fewer.
    lowered : Path or None
        The typed graph of integers, for candidates that compute the hardware's own numbers.
    """

    name: str
    graph: Path
    inputs: Path
    batch: int = 1
    lowered: Path | None = None
    kind: Literal["network"] = "network"

    def network(self, quantizers: bool = True) -> Graph:
        """Return the graph on reals, with or without its activation quantizers."""
        from gateformer.baselines.networks.quantizers import floating
        from gateformer.quant.serialize import load

        graph = load(self.graph)
        return graph if quantizers else floating(graph)

    def integers(self) -> Graph:
        """Return the typed graph.

        Raises
        ------
        DataError
            E612 where there is none.
        """
        from gateformer.quant.serialize import load

        if self.lowered is None:
            raise DataError("E612", "no lowered graph", layer=self.name, fix="lower the graph")
        return load(self.lowered)

    def frames(self) -> dict[str, FloatArray]:
        """Return all inputs that runtimes get: float64, (batches * batch, *shape) each.

        The file's first `CHECKED` frames, or a batch where that is more, and from the start again
        until the last batch is full.
        """
        with np.load(self.inputs, allow_pickle=False) as file:
            held = {name: np.asarray(file[name], np.float64) for name in self.network().inputs}
        count = min(len(one) for one in held.values())
        whole = -(-max(min(count, CHECKED), self.batch) // self.batch) * self.batch
        return {name: one[np.arange(whole) % count] for name, one in held.items()}

    def samples(self) -> dict[str, FloatArray]:
        """Return the first batch's inputs: float64, (batch, *shape) each."""
        return {name: one[: self.batch] for name, one in self.frames().items()}

    def raw(self) -> dict[str, IntArray]:
        """Return all inputs as raw integers of the lowered graph's types."""
        graph, reals = self.integers(), self.frames()
        return {name: graph.from_real(name, reals[name]) for name in graph.inputs}

    def reference(self, exact: bool = False, quantizers: bool = True) -> NDArray[np.float64]:
        """Return the right outputs: (frames, numbers of all outputs one after the other).

        Parameters
        ----------
        exact : bool
            Of the lowered graph's integers, as reals; otherwise of the float64 executor.
        quantizers : bool
            Whether the latter's graph has its activation quantizers.
        """
        from gateformer.quant.execute import run, run_reals

        if not exact:
            return joined(list(run_reals(self.network(quantizers), self.frames()).values()))
        graph = self.integers()
        found = run(graph, self.raw())
        return joined([graph.to_real(name, raw) for name, raw in found.items()])

    def fingerprint(self) -> str:
        """Return the SHA-256 of the graph's file, and of the integers' where there are some.

        A design of other types has the same reals and other integers.
        """
        found = sha256(self.graph.read_bytes())
        if self.lowered is not None:
            found.update(sha256(self.lowered.read_bytes()).digest())
        return found.hexdigest()

    def workload(self, bytes_read: int) -> Workload:
        """Return what a record says of it; ``bytes_read`` is the session's own count."""
        graph = self.network()
        return Workload(
            name=self.name,
            kind="network",
            fingerprint=self.fingerprint(),
            batch=self.batch,
            context=0,
            layers=blocks(graph),
            parameters=parameters(graph),
            operations=operations(graph),
            bytes=bytes_read,
        )


@dataclass(frozen=True, slots=True)
class DecoderWork:
    """One decoding step of a decoder with weights drawn by a seed.

    Attributes
    ----------
    decoder : Decoder
        Its shape.
    context : int
        Tokens of each sequence in the KV cache before the step; the step appends its own.
    seed : int
        Of the weights, the caches' contents and the tokens.
    batch : int
        Sequences decoded together.
    kept : Path or None
        Where the prompt's cache and the right logits stand for all processes of one measurement:
        the first that needs them writes the file.
    weights : str
        How the cache and the right logits have the weights: in float32 where empty, else rounded
        by this key of `gateformer.baselines.decoders.rounding`. No part of what the work is.
    """

    decoder: Decoder
    context: int
    seed: int = 0
    batch: int = 1
    kept: Path | None = None
    weights: str = ""
    kind: Literal["decode"] = "decode"

    def stored(self, weights: str) -> DecoderWork:
        """Return the same work with its reference on weights as they are stored."""
        kept = self.kept and self.kept.with_stem(f"{self.kept.stem} {weights}".strip())
        return replace(self, weights=weights, kept=kept)

    @property
    def name(self) -> str:
        """The decoder's name."""
        return self.decoder.name

    def tokens(self) -> NDArray[np.int64]:
        """Return each sequence's token: (batch,)."""
        random = np.random.default_rng([self.seed, 1])
        return random.integers(0, self.decoder.vocab, self.batch, np.int64)

    def reference(self, exact: bool = False) -> NDArray[np.float64]:
        """Return the right logits in float32 arithmetic: (batch, vocab).

        Parameters
        ----------
        exact : bool
            A decoder has no integers of its own: must be false.
        """
        from gateformer.baselines.decoders.reference import logits

        if exact:
            raise DataError("E612", "no lowered graph", layer=self.name)
        return logits(self)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the shape and the seed."""
        shape: Any = DECODER.dump_python(self.decoder)
        for words in ("name", "source"):
            shape.pop(words)
        return sha256(f"{sorted(shape.items())} seed {self.seed}".encode()).hexdigest()

    def workload(self, bytes_read: int) -> Workload:
        """Return what a record says of it; ``bytes_read`` is the session's own count."""
        return Workload(
            name=self.name,
            kind="decode",
            fingerprint=self.fingerprint(),
            batch=self.batch,
            context=self.context,
            layers=self.decoder.layers,
            parameters=self.decoder.parameters,
            operations=2 * self.decoder.macs(self.context),
            bytes=bytes_read,
        )


Work = NetworkWork | DecoderWork
DECODER: TypeAdapter[Decoder] = TypeAdapter(Decoder)
WORK: TypeAdapter[Work] = TypeAdapter(Work)
"""Reads and writes either as JSON: ``WORK.validate_json``, ``WORK.dump_json``."""


def joined(outputs: list[FloatArray]) -> NDArray[np.float64]:
    """Return outputs (batch, *shape) flat and side by side: (batch, numbers)."""
    return np.concatenate([one.reshape(len(one), -1) for one in outputs], axis=1)
