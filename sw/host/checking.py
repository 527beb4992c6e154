"""What a caller passes to the driver: names, shapes and types, all faults at once.

Owns ``examined`` and ``settings_faults``. Imports the description only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gateformer.host.description import Description
from gateformer.quant.errors import DataError, GateformerError
from gateformer.quant.types import IntArray


def examined(
    description: Description, frames: Mapping[str, Any], wanted: str, kinds: str
) -> tuple[int, list[GateformerError]]:
    """Return the number of frames, and all that is wrong with their names and arrays.

    Parameters
    ----------
    description : Description
        The design's.
    frames : mapping of str to array
        By the input's or mask's name.
    wanted : str
        What the arrays hold, for messages.
    kinds : str
        Kinds of numpy's types that do.
    """
    faults: list[GateformerError] = []
    shapes: dict[str, tuple[int, int]] = {}
    for stream in description.inputs:
        shapes[stream.port.value] = stream.port.tokens, stream.port.features
        if stream.port.mask is not None:
            shapes[stream.port.mask] = stream.port.tokens, 1
    for value in sorted(frames.keys() - shapes.keys(), key=str):
        faults.append(_wrong(value, "no such input", f"Known are {', '.join(shapes)}"))
    counts: dict[str, int] = {}
    for value, (tokens, features) in shapes.items():
        if value not in frames:
            faults.append(_wrong(value, "no data for an input", "Pass every input"))
            continue
        try:
            data = np.asarray(frames[value])
        except (TypeError, ValueError, OverflowError) as error:
            faults.append(_wrong(value, f"no array: {error}", f"Pass {wanted}"))
            continue
        fits: list[tuple[int, ...]] = [(tokens, features)]
        fits += [(features,)] if tokens == 1 else []
        fits += [(tokens,)] if features == 1 else []
        if not data.shape or data.shape[1:] not in fits:
            told = " or ".join(f"(n, {', '.join(map(str, fit))})" for fit in fits)
            faults.append(_wrong(value, f"shape {data.shape}", f"Pass {told}, n frames"))
        elif data.dtype.kind not in kinds or not _whole(data):
            faults.append(_wrong(value, f"{data.dtype}, not {wanted}", f"Pass {wanted}"))
        else:
            counts[value] = len(data)
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{value} {count}" for value, count in counts.items())
        faults.append(_wrong(None, f"frames differ in number: {told}", "Pass as many of each"))
    return max(counts.values(), default=0), faults


def settings_faults(timeout_s: object, batch: object) -> list[GateformerError]:
    """Return what is wrong with a driver's time limit and its frames a transfer."""
    faults: list[GateformerError] = []
    if type(timeout_s) not in (int, float) or not timeout_s >= 0:  # type: ignore[operator]
        faults.append(_wrong("timeout_s", f"{timeout_s!r} is no time", "Pass seconds"))
    if batch is not None and (not isinstance(batch, int) or isinstance(batch, bool)):
        faults.append(_wrong("batch", f"{batch!r} is no count", "Pass frames, or nothing"))
    return faults


def _whole(data: IntArray) -> bool:
    """Whether an array of objects, which integers beyond 64 bits need, holds integers alone."""
    return data.dtype.kind != "O" or all(isinstance(value, int) for value in data.flat)


def _wrong(value: str | None, what: str, fix: str) -> DataError:
    return DataError("E602", what, layer=value, fix=fix)
