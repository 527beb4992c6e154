"""Laying a model out in a memory, and saying what would fit where it does not.

Owns ``lay``, ``fullest`` and ``largest_scales``. Imports the decoder, devices, the layout, the
mappings and the errors.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateformer.hw.pim import asic
from gateformer.hw.pim.device import Device, with_
from gateformer.hw.pim.device_limits import MOST_CHANNELS
from gateformer.hw.pim.grid import Grid
from gateformer.hw.pim.layout import Cache, Layout, Placed, Striped
from gateformer.hw.pim.mapping import policy
from gateformer.hw.pim.standing import bytes_of, is_split
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, PimError, Problems

MOST_SEQUENCES = 1024
"""Sequences of a batch at most."""


def lay(
    decoder: Decoder,
    device: Device,
    mapping: str = "pim-gpt",
    tokens: int | None = None,
    batch: int = 1,
    weights: str = "bf16",
    v_batch: int = 1,
) -> Layout:
    """Lay a model out.

    Parameters
    ----------
    decoder : Decoder
        The model.
    device : Device
        The memory.
    mapping : str
        A policy's name.
    tokens : int or None
        Tokens of each sequence that get room in the cache; None for the model's context.
    batch : int
        Sequences.
    weights : {"bf16", "int8", "int4"}
        Format of the matrices.
    v_batch : int
        Tokens whose values are written together.

    Raises
    ------
    ConfigError or Problems
        E022 for tokens, batch or v_batch out of range.
    PimError
        E806 where the model does not fit, with what would; E807 for an unknown mapping; E804 for a
        device without such multipliers.
    """
    tokens = decoder.context if tokens is None else tokens
    _check(decoder, device, tokens, batch, v_batch)
    found = _lay(decoder, device, mapping, tokens, batch, weights, v_batch)
    if found.rows <= found.grid.rows:
        return found
    raise PimError(
        "E806",
        "model larger than the memory",
        layer=decoder.name,
        cause=(
            f"Each of {found.grid.channels} channels holds {_size(found.channel_bytes)}; "
            f"weights take {_size(found.weight_bytes)} and the cache of {batch} x {tokens} tokens "
            f"{_size(found.cache_bytes)}"
        ),
        fix="; ".join(_fitting(decoder, device, mapping, tokens, batch, weights, v_batch))
        or "Choose a smaller model or a larger device",
    )


def _size(count: int) -> str:
    """Return bytes in words, such that little is not nothing."""
    for unit, power in (("MiB", 20), ("KiB", 10)):
        if count >= 10 << power:
            return f"{count / (1 << power):,.0f} {unit}"
    return f"{count:,} bytes"


def largest_scales(decoder: Decoder, weights: str) -> int:
    """Return the scales of a block's largest matrix: one for each output of whole numbers."""
    return 0 if weights == "bf16" else max(matrix.outputs for matrix in decoder.matrices)


def fullest(decoder: Decoder, device: Device, cache: Cache, tokens: int, v_batch: int) -> int:
    """Return what scores and shares of a full cache take of the ASIC's memory, in one part.

    Scores of all heads, whether or not the mapping works on them at once.
    """
    scores = asic.score_bytes(decoder, tokens)
    parts = cache.parts(tokens - 1, 1)
    if not is_split(parts):
        return scores
    stored = max(0, tokens - (v_batch - 1))
    return max(scores, bytes_of(cache, parts, stored, decoder, asic.of(device).lanes))


def _check(decoder: Decoder, device: Device, tokens: int, batch: int, v_batch: int) -> None:
    """Raise what is wrong with the settings, all at once."""
    lanes = device.organization.access_bits // 16

    def wrong(name: str, value: int, rule: str) -> ConfigError:
        return ConfigError(
            "E022", "setting out of range", layer=name, cause=f"It is {value}; it must be {rule}"
        )

    problems = []
    if not 1 <= tokens <= decoder.context:
        rule = f"from 1 to {decoder.name}'s context, {decoder.context}"
        problems.append(wrong("tokens", tokens, rule))
    if not 1 <= batch <= MOST_SEQUENCES:
        problems.append(wrong("batch", batch, f"from 1 to {MOST_SEQUENCES}"))
    if v_batch < 1 or lanes % v_batch:
        rule = f"a divisor of the {lanes} numbers of an access"
        problems.append(wrong("v_batch", v_batch, rule))
    Problems.raise_if_any(problems)


def _lay(
    decoder: Decoder,
    device: Device,
    mapping: str,
    tokens: int,
    batch: int,
    weights: str,
    v_batch: int,
) -> Layout:
    grid = Grid.of(device, weights)
    rules = policy(mapping)

    def aligned(index: int) -> int:
        return grid.rows_of(index) * grid.columns

    matrices: dict[str, Placed] = {}
    index = 0
    for matrix in decoder.matrices:
        matrices[matrix.name] = Placed.at(matrix, grid, index)
        index = aligned(matrices[matrix.name].end)
    scales = 0 if weights == "bf16" else sum(one.outputs for one in decoder.matrices)
    parameters = Striped(1, decoder.block_parameters + scales, grid, grid.rows_of(index))
    index = parameters.end * grid.columns
    caches: list[Cache] = []
    for _ in range(batch):
        caches.append(rules.cache(decoder, device, grid, tokens, index))
        index = aligned(caches[-1].end)
    staging = None
    if v_batch > 1:
        beside = fullest(decoder, device, caches[0], tokens, v_batch)
        if not asic.holds_values(decoder, device, v_batch * batch, beside):
            staging = Striped(v_batch * batch, decoder.kv_width, grid, grid.rows_of(index))
            index = staging.end * grid.columns
    stride = grid.rows_of(index)
    row = stride * decoder.layers
    head = Placed.at(decoder.head, grid, row * grid.columns)
    row = grid.rows_of(head.end)
    embedding = positions = None
    if not decoder.tied:
        embedding = Striped(decoder.vocab, decoder.d_model, grid, row)
        row = embedding.end
    if decoder.positions == "learned":
        positions = Striped(decoder.context, decoder.d_model, grid, row)
        row = positions.end
    last = decoder.norm_parameters + (0 if weights == "bf16" else decoder.vocab)
    final = Striped(1, last, grid, row)
    return Layout(
        decoder=decoder,
        grid=grid,
        mapping=mapping,
        tokens=tokens,
        batch=batch,
        weights=weights,
        matrices=matrices,
        parameters=parameters,
        caches=tuple(caches),
        staging=staging,
        stride=stride,
        head=head,
        embedding=embedding,
        positions=positions,
        final=final,
        rows=final.end,
    )


def _fitting(
    decoder: Decoder,
    device: Device,
    mapping: str,
    tokens: int,
    batch: int,
    weights: str,
    v_batch: int,
) -> Iterator[str]:
    """Yield what would fit: a shorter context, more channels, narrower weights."""

    def fits(device: Device, tokens: int, weights: str) -> bool:
        found = _lay(decoder, device, mapping, tokens, batch, weights, v_batch)
        return found.rows <= found.grid.rows

    low, high = 0, tokens
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(device, middle, weights) else (low, middle)
    if low:
        yield "1 token fits" if low == 1 else f"{low} tokens fit"
    for channels in range(device.organization.channels + 1, MOST_CHANNELS + 1):
        if fits(with_(device, channels=channels), tokens, weights):
            yield f"{channels} channels hold it"
            break
    known = device.mac.weights if device.mac else {}
    for name in ("int8", "int4"):
        if name in known and known[name] > known[weights] and fits(device, tokens, name):
            yield f"{name} weights fit"
            break
