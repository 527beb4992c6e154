"""Whole generations: a prompt, then token after token, on one absolute clock.

Owns ``simulate``. Imports the compiler, the timeline, the memory and what a generation is made of.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from gateformer.hw.pim import device as devices
from gateformer.hw.pim import energy
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.device import Device
from gateformer.quant import models
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, Problems
from gateformer.quant.frontends.decoders import decoder_of
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim import bounds
from gateformer.sim.pim.collect import Collector
from gateformer.sim.pim.memory import ClosedMemory, CommandMemory, Memory
from gateformer.sim.pim.parts import Capacity, Settings
from gateformer.sim.pim.results import Generation
from gateformer.sim.pim.timeline import ASIC, MEMORY, serial, together

OVERLAPPED = 2
"""Parts into which attention and the feed-forward network are cut where memory and ASIC overlap."""
COMPILED = 2
"""Blocks that are compiled of many that are alike."""


def simulate(
    model: str | Path | Decoder,
    tokens: int = 1024,
    *,
    prompt: int = 0,
    device: str | Path | Device = "pim-gpt",
    mapping: str = "pim-gpt",
    refresh: Literal["none", "all-bank", "per-bank"] = "all-bank",
    overlap: bool = False,
    batch: int = 1,
    channels: int | None = None,
    weights: str = "bf16",
    method: Literal["closed", "command"] = "closed",
    asic_clock_ns: float | None = None,
    hot: bool = False,
    v_batch: int = 1,
    past: int = 0,
    ffn_keep: float = 1.0,
) -> Generation:
    """Generate tokens.

    Every generated token is one pass through all blocks and the LM head; a token of the prompt is
    one without the LM head. Passes follow one another.

    Parameters
    ----------
    model : str, Path or Decoder
        A known decoder's name, the path of a ``config.json`` or a GGUF file, or the decoder itself.
    tokens : int
        Tokens generated.
    prompt : int
        Tokens in front of them.
    device : str, Path or Device
        A known device's name, the path of its file, or the device itself.
    mapping : str
        A policy's name.
    refresh : {"all-bank", "per-bank", "none"}
        Which command refreshes.
    overlap : bool
        Whether memory and ASIC work at once; False as in the PIM-GPT paper.
    batch : int
        Sequences, all at the same position.
    channels : int or None
        Channels, 1 to 64; None for the device's own.
    weights : {"bf16", "int8", "int4"}
        Format of the matrices.
    method : {"closed", "command"}
        Over bursts, or command by command: the same clocks and counts.
    asic_clock_ns : float or None
        The ASIC's clock; None for the device's own.
    hot : bool
        Whether refreshes come twice as often, as above 85 degrees C.
    v_batch : int
        Tokens whose values are written to the cache together.
    past : int
        Tokens that stand in the cache when the clock starts, in front of the prompt.
    ffn_keep : float
        Share of the feed-forward network's hidden vector that is multiplied, by columns.

    Raises
    ------
    PimError, ConfigError or Problems
        E022 for a setting out of range; E804 to E807 and E811 as devices, models and layouts do.
    """
    decoder = decoder_of(model)
    memory_device = _device(device, channels, asic_clock_ns)
    _check(decoder, tokens, prompt, past, method, refresh)

    def compiled(decoder: Decoder) -> Compiler:
        return Compiler(
            decoder,
            memory_device,
            mapping,
            tokens=past + prompt + tokens,
            batch=batch,
            weights=weights,
            v_batch=v_batch,
            parts=OVERLAPPED if overlap else 1,
            ffn_keep=ffn_keep,
        )

    compiler = compiled(decoder)
    layout = compiler.layout
    # All blocks are alike, so two of them tell what the others do; but what waits in the ASIC's
    # memory, and which steps need which, is known of the whole only.
    more = decoder.layers - COMPILED if batch == v_batch == 1 and not overlap else 0
    if more > 0:
        compiler = compiled(replace(decoder, layers=COMPILED))
    positions = range(past, past + prompt + tokens)
    compiler.foresee(positions)
    rule = Refresh(refresh, double=hot)
    memory = _memory(method, memory_device, rule)
    found = Collector(memory_device, together if overlap else serial, memory, max(more, 0))
    with _no_collection():
        for position in positions:
            found.token(compiler.token(position, logits=position >= past + prompt))
        totals = memory.totals(found.clock)
        parts = found.parts()
        memory.forget()
    busy = dict.fromkeys((MEMORY, ASIC), 0)
    for part in parts:
        busy[part.on] += part.clocks
    return Generation(
        decoder=decoder,
        device=memory_device,
        settings=Settings(
            tokens=tokens,
            prompt=prompt,
            past=past,
            batch=batch,
            mapping=mapping,
            weights=weights,
            refresh=refresh,
            hot=hot,
            overlap=overlap,
            method=method,
            v_batch=v_batch,
            ffn_keep=ffn_keep,
        ),
        token_clocks=np.array(found.token_clocks[prompt:], np.int64),
        prompt_clocks=sum(found.token_clocks[:prompt]),
        memory_clocks=busy[MEMORY],
        asic_clocks=busy[ASIC],
        parts=parts,
        counts=totals.counts,
        stalls=totals.stalls,
        distinct=totals.distinct,
        bank_macs=found.bank_macs(),
        channel_requests=found.requests(),
        capacity=Capacity(layout.weight_bytes, layout.cache_bytes, layout.channel_bytes),
        bound=bounds.row_stream(memory_device),
        samples=found.samples(),
        timelines=found.timelines(),
        remarks=_remarks(decoder, memory_device),
    )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from looking for garbage: the looking is slow, and nothing is let go."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _device(
    device: str | Path | Device, channels: int | None, asic_clock_ns: float | None
) -> Device:
    found = device if isinstance(device, Device) else devices.load(device)
    if channels is not None:
        found = devices.with_(found, channels=channels)
    if asic_clock_ns is not None:
        if not 0 < asic_clock_ns <= 1e6:
            raise _range("asic_clock_ns", f"It is {asic_clock_ns}; a clock lasts over 0 ns")
        if found.asic is not None:
            found = replace(found, asic=replace(found.asic, clock_ns=float(asic_clock_ns)))
    return found


def _check(
    decoder: Decoder, tokens: int, prompt: int, past: int, method: str, refresh: str
) -> None:
    problems = []
    before = past + prompt
    if tokens > 0 < before < decoder.context < before + tokens:
        cause = f"{tokens:,} behind {before:,} make {before + tokens:,}"
        cause += f"; {decoder.name}'s context has {decoder.context:,}"
        problems.append(_range("tokens", cause))
    if tokens > 0 and before >= decoder.context:
        cause = f"{before:,} in front leave no room in {decoder.name}'s context of "
        problems.append(_range("prompt" if prompt else "past", f"{cause}{decoder.context:,}"))
    if tokens < 1:
        problems.append(_range("tokens", f"It is {tokens}; at least 1 is generated"))
    for name, count in (("prompt", prompt), ("past", past)):
        if count < 0:
            problems.append(_range(name, f"It is {count}; it must be at least 0"))
    for name, value, known in (
        ("method", method, ("closed", "command")),
        ("refresh", refresh, ("all-bank", "per-bank", "none")),
    ):
        if value not in known:
            problems.append(_range(name, f"It is '{value}'; known are {', '.join(known)}"))
    Problems.raise_if_any(problems)


def _range(name: str, cause: str) -> ConfigError:
    return ConfigError("E022", "setting out of range", layer=name, cause=cause)


def _memory(method: str, device: Device, refresh: Refresh) -> Memory:
    return (CommandMemory if method == "command" else ClosedMemory)(device, refresh)


def _remarks(decoder: Decoder, device: Device) -> tuple[str, ...]:
    said = [one for one in (models.notes(decoder.name),) if one]
    if device.power is None:
        said.append(f"No energy: '{device.name}' states no currents ([[power]]).")
    else:
        said += energy.remarks(device, device.power)
    return tuple(said)
