"""What a host has to know of a bitstream: its streams, their types, where they lie in memory.

Owns ``Stream`` and ``Description``, and the JSON file that stands beside the bitstream.
Imports ports and word layout only: it runs on the board.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateformer.hw.dataflow.design import Design, Port
from gateformer.hw.dataflow.words import Words
from gateformer.quant.errors import BoardError, GateformerError, Problems
from gateformer.quant.types import Fixed, Overflow

FORMAT = 2
"""Of the file; 1 where no stream has a scale or rounds down, which older drivers read as well."""
STATUS_BLOCK = "accelerator_status"
"""Name of the GPIO block in the block design."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream and the DMA that serves it.

    Attributes
    ----------
    port : Port
        The stream.
    dma : str
        Name of the DMA block in the block design.
    """

    port: Port
    dma: str

    @property
    def layout(self) -> Words:
        """How it lies in memory."""
        return Words(self.port)


@dataclass(frozen=True, slots=True)
class Description:
    """A design as its host sees it.

    Attributes
    ----------
    name : str
        The design's name; the bitstream is ``<name>.bit``.
    identity : int
        What the bitstream's status register says of it.
    clock_ns : float
        Period of its clock.
    latency_cycles, interval_cycles : int
        Clocks from a frame's first beat to its last, and between frames where the memory keeps up.
    inputs, outputs : tuple of Stream
        The i-th of each share a DMA.
    """

    name: str
    identity: int
    clock_ns: float
    latency_cycles: int
    interval_cycles: int
    inputs: tuple[Stream, ...]
    outputs: tuple[Stream, ...]

    @property
    def dmas(self) -> tuple[str, ...]:
        """Names of the DMA blocks, in order."""
        return tuple(dict.fromkeys(stream.dma for stream in (*self.inputs, *self.outputs)))

    @classmethod
    def of(cls, design: Design, identity: int, clock_ns: float) -> Description:
        """Describe a design."""

        def streams(ports: tuple[Port, ...]) -> tuple[Stream, ...]:
            return tuple(Stream(port, f"dma_{index}") for index, port in enumerate(ports))

        ports = (*design.inputs, *design.outputs)
        words = max(port.beats * Words(port).words for port in ports)
        return cls(
            design.name,
            identity,
            float(clock_ns),
            design.latency_cycles,
            max(design.interval_cycles, words),
            streams(design.inputs),
            streams(design.outputs),
        )

    def to_json(self) -> str:
        """Return the file's text."""
        table = {
            "format": FORMAT if any(_new(s) for s in (*self.inputs, *self.outputs)) else 1,
            "name": self.name,
            "identity": self.identity,
            "clock_ns": self.clock_ns,
            "latency_cycles": self.latency_cycles,
            "interval_cycles": self.interval_cycles,
            "inputs": [_table(stream) for stream in self.inputs],
            "outputs": [_table(stream) for stream in self.outputs],
        }
        return json.dumps(table, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "") -> Description:
        """Read the file's text.

        Raises
        ------
        BoardError
            E907, for all that is wrong at once.
        """
        try:
            table = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _malformed(source, f"It is no JSON: {error}") from None
        if not isinstance(table, dict) or table.get("format") not in (1, FORMAT):
            raise _malformed(source, f"It is of no format up to {FORMAT}")
        faults: list[GateformerError] = []
        clock_ns = _number(table, "clock_ns", source, faults)
        identity, latency, interval = (
            int(_number(table, key, source, faults))
            for key in ("identity", "latency_cycles", "interval_cycles")
        )
        if not isinstance(table.get("name"), str):
            faults.append(_malformed(source, "'name' is no text"))
        inputs, outputs = (_streams(table, s, source, faults) for s in ("inputs", "outputs"))
        Problems.raise_if_any(faults)
        return cls(table["name"], identity, clock_ns, latency, interval, inputs, outputs)

    @classmethod
    def load(cls, path: Path) -> Description:
        """Read the file.

        Raises
        ------
        BoardError
            E906 where it is not there, E907 where it is malformed.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BoardError(
                "E906",
                "board description not readable",
                layer=str(path),
                cause=str(error),
                fix="put the .json beside the .bit",
            ) from None
        return cls.from_json(text, str(path))


def _table(stream: Stream) -> dict[str, object]:
    """A stream's part of the file; what follows from the rest is there for other drivers."""
    port, layout = stream.port, stream.layout
    scale: dict[str, object] = {"scale": list(port.scale)} if port.scale != (1.0,) else {}
    floor = {} if port.floor is None else {"floor": port.floor.name}
    return {
        "stream": port.name,
        "value": port.value,
        "dma": stream.dma,
        "type": str(port.type),
        "tokens": port.tokens,
        "features": port.features,
        "tokens_per_beat": port.lanes,
        "mask": port.mask,
        "element_bytes": port.element_bits // 8,
        "word_bytes": layout.word_bytes,
        "words_per_beat": layout.words,
        "beats_per_frame": port.beats,
        "frame_bytes": layout.frame_bytes,
        **scale,
        **floor,
    }


def _new(stream: Stream) -> bool:
    return stream.port.scale != (1.0,) or stream.port.floor is not None


def _streams(
    table: Mapping[str, Any], side: str, source: str, faults: list[GateformerError]
) -> tuple[Stream, ...]:
    entries = table.get(side)
    if not isinstance(entries, list) or not entries:
        faults.append(_malformed(source, f"'{side}' is no list of streams"))
        return ()
    streams = []
    for place, entry in enumerate(entries):
        try:
            stream = _stream(entry)
            wrong = [key for key, value in _table(stream).items() if entry.get(key) != value]
        except (KeyError, TypeError, ValueError, GateformerError) as error:
            faults.append(_malformed(source, f"{side}[{place}]: {type(error).__name__} {error}"))
            continue
        if wrong:
            said = ", ".join(f"'{key}'" for key in wrong)
            faults.append(_malformed(source, f"{side}[{place}]: {said} disagree with the rest"))
        streams.append(stream)
    return tuple(streams)


def _stream(entry: Mapping[str, Any]) -> Stream:
    counts = [entry[key] for key in ("tokens", "features", "tokens_per_beat")]
    for count in counts:
        if type(count) is not int or count < 1:
            raise ValueError(f"{count!r} is no count")
    texts = [entry[key] for key in ("stream", "value", "dma", "type")]
    texts += [] if entry["mask"] is None else [entry["mask"]]
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"{text!r} is no text")
    tokens, features, lanes = counts
    kind = Fixed.parse(entry["type"])
    scale = tuple(float(x) for x in entry.get("scale", [1.0]))
    if len(scale) not in (1, features, tokens * features):
        raise ValueError(f"{len(scale)} scales do not fit")
    if not all(math.isfinite(x) and x > 0 for x in scale):
        raise ValueError("a scale is no positive number")
    floor = None if entry.get("floor") is None else Overflow[entry["floor"]]
    stream, value, mask = entry["stream"], entry["value"], entry["mask"]
    port = Port(stream, value, tokens, features, kind, lanes, mask, scale, floor)
    return Stream(port, entry["dma"])


def _number(
    table: Mapping[str, Any], key: str, source: str, faults: list[GateformerError]
) -> float:
    value: Any = table.get(key)
    kinds = (int, float) if key == "clock_ns" else (int,)
    if type(value) in kinds and math.isfinite(value) and value >= 0:
        return value
    faults.append(_malformed(source, f"'{key}' is no number"))
    return 0


def _malformed(source: str, cause: str) -> BoardError:
    return BoardError(
        "E907",
        "malformed board description",
        layer=source or None,
        cause=cause,
        fix="Take the .json that was written beside the bitstream",
    )
