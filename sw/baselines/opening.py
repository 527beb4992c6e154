"""Work from what a user names: a decoder's step, or a design's network with its own test inputs.

Owns ``decoder_work``, ``network_work`` and ``fingerprint``. Imports the flow's steps where a
design needs them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gateformer.baselines.work import DecoderWork, NetworkWork
from gateformer.config.schema import Config
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError

if TYPE_CHECKING:
    from gateformer.flow.view import Memory
    from gateformer.quant.graph import Graph

FRAMES = 1024
"""Inputs that a worker gets, at most; a larger batch has them again."""
DRAWN = 256
"""Inputs of a design without data, at least: outputs are compared over all of them."""


def decoder_work(decoder: Decoder, *, context: int, batch: int = 1, seed: int = 0) -> DecoderWork:
    """Return a decoding step.

    Raises
    ------
    ConfigError
        E022 where the decoder takes no token behind so many.
    """
    if not 0 <= context < decoder.context:
        raise ConfigError(
            "E022",
            "setting out of range",
            layer="--context",
            cause=f"{decoder.name} takes {decoder.context} tokens, the timed one among them",
            fix=f"Choose 0 to {decoder.context - 1}",
        )
    return DecoderWork(decoder, context, seed, batch)


def network_graph(view: Memory) -> Graph:
    """Return the graph that runtimes get: its heads folded as the design says.

    They are faster on a CPU as well: a fifth in runtimes, three times in plain C. Scales stay
    where the model has them: runtimes take reals.
    """
    from gateformer.flow.steps.importing import Import
    from gateformer.quant.passes.fold_heads import fold_heads

    return fold_heads(view.get(Import), view.config.quantize.fold_heads)[0]


def fingerprint(model: Decoder | Config, *, seed: int = 0) -> str:
    """Return what tells a model's records from those of other weights and shapes."""
    if isinstance(model, Decoder):
        return DecoderWork(model, 0, seed).fingerprint()
    from gateformer.flow.view import Memory
    from gateformer.quant.serialize import save

    view = Memory(model)
    with tempfile.TemporaryDirectory(prefix="gateformer-graph-") as folder:
        path, lowered = Path(folder) / "graph.json", Path(folder) / "lowered.json"
        save(network_graph(view), path)
        asked = model.model_dump_json(), path.read_bytes()
        if asked not in _FOUND:
            save(_integers(view), lowered)
            work = NetworkWork(str(model.name), path, path, lowered=lowered)
            _FOUND[asked] = work.fingerprint()
        return _FOUND[asked]


_FOUND: dict[tuple[str, bytes], str] = {}
"""Fingerprints of this process: choosing types takes seconds, and each table asks again."""


def _integers(view: Memory) -> Graph:
    """Return the typed graph."""
    from gateformer.flow.steps.lowering import Lower

    return view.get(Lower).graph


def network_work(config: Config, folder: Path, *, batch: int = 1) -> NetworkWork:
    """Write a design's folded and lowered graphs and its inputs; return the work on them.

    Parameters
    ----------
    config : Config
        The design. Without data of its own its inputs are drawn, as for simulating it.
    folder : Path
        Gets the files.
    batch : int
        Frames at once.

    Raises
    ------
    GateformerError
        What is wrong with the model, its data or its types.
    """
    from gateformer.flow.data import read_samples
    from gateformer.flow.vectors import drawn
    from gateformer.flow.view import Memory
    from gateformer.quant.serialize import save

    view = Memory(config)
    graph, lowered = network_graph(view), _integers(view)
    if config.data.file is not None:
        samples = read_samples(config.data, graph, "test").inputs
        inputs = {name: samples[name][:FRAMES] for name in graph.inputs}
    else:
        raw = drawn(lowered, min(FRAMES, max(batch, DRAWN)), config.simulate.seed)
        inputs = {name: lowered.to_real(name, raw[name]) for name in graph.inputs}
    places = [folder / name for name in ("graph.json", "inputs.npz", "lowered.json")]
    save(graph, places[0])
    np.savez(places[1], **inputs)  # type: ignore[arg-type] # the stub takes allow_pickle for a key
    save(lowered, places[2])
    return NetworkWork(graph.name, places[0], places[1], batch, places[2])
