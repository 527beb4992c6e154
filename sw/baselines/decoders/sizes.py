"""How many bytes one decoding step reads, counted from the shape and from how weights are stored.

Owns ``Storage``, ``step_bytes`` and ``refuse_parts``. Imports the decoder's shape and the work.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.baselines.work import DecoderWork
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import BaselineError


@dataclass(frozen=True, slots=True)
class Storage:
    """How numbers stand in memory.

    Attributes
    ----------
    block : int
        Weights of one row that share a scale; 1 where each stands alone.
    bytes : int
        Bytes of such a block, its scale among them.
    vectors : int
        Bytes of each bias and each normalization's gain.
    table : int or None
        Bytes of each number of the embedding tables, of which a token reads its row; None: stored
        as the matrices are.
    cached : int
        Bytes of each number in the KV cache.
    """

    block: int
    bytes: int
    vectors: int
    table: int | None
    cached: int

    def matrix(self, outputs: int, inputs: int) -> int:
        """Return the bytes of a matrix."""
        return outputs * inputs // self.block * self.bytes


def plain(size: int) -> Storage:
    """Return the storage of numbers that stand alone, ``size`` bytes each, everywhere."""
    return Storage(1, size, size, size, size)


def step_bytes(work: DecoderWork, storage: Storage) -> int:
    """Return what one step of the whole batch reads.

    Every weight once, the LM head among them; of the embedding tables one row a sequence; each
    sequence's keys and values, the token's own too. Activations stay in caches and are left out.
    """
    shape = work.decoder
    matrices = [*shape.matrices] * shape.layers + [shape.head]
    total = sum(storage.matrix(one.outputs, one.inputs) for one in matrices)
    parameters = shape.layers * shape.block_parameters + shape.norm_parameters
    total += parameters * storage.vectors
    learned = shape.positions == "learned"
    row = shape.d_model * storage.table if storage.table else storage.matrix(1, shape.d_model)
    total += row * work.batch * (2 if learned else 1)
    return total + work.batch * shape.kv_elements * (work.context + 1) * storage.cached


def refuse_parts(shape: Decoder, storage: Storage) -> None:
    """Raise where a matrix's rows end inside a block: the runtimes' formats have no such rows.

    Raises
    ------
    BaselineError
        E851.
    """
    if any(matrix.inputs % storage.block for matrix in (*shape.matrices, shape.head)):
        raise BaselineError(
            "E851",
            "precision not possible",
            layer=shape.name,
            cause=f"Its rows do not divide into blocks of {storage.block} weights",
            fix="Choose a precision without blocks",
        )
