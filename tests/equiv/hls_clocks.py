"""When each loop of an HLS project takes each beat, by the rules of DATAFLOW: a model, in clocks.

The loops, their streams and frames, and the depths are read from the generated C++. What no vendor
has told is assumed: every loop starts an iteration a clock and writes ``latency`` clocks later; it
starts the next frame at once (rewound), or when its pipeline has run empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateformer.hw.hls.project import Project

NOW, DRAIN = 1, 2
"""Clocks from an event to what it allows, and to start a loop again."""


@dataclass(frozen=True)
class Loop:
    """A process of the project.

    Attributes
    ----------
    name : str
        Its function.
    tokens : int
        Iterations a frame.
    reads, writes : tuple of str
        Streams, a beat an iteration.
    gathers, fills : tuple of str
        Frames that it takes whole before its first iteration, or gives after its last.
    """

    name: str
    tokens: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    gathers: tuple[str, ...] = ()
    fills: tuple[str, ...] = ()


def depths(project: Project) -> dict[str, int]:
    """Beats that each stream inside holds."""
    text = project.files[f"firmware/{project.top}.cpp"]
    found = re.findall(r"#pragma HLS STREAM variable=(\w+) depth=(\d+)", text)
    return {name: int(depth) for name, depth in found}


def loops(project: Project) -> list[Loop]:
    """Every process, in the order of the calls."""
    text = project.files[f"firmware/{project.top}.cpp"]
    made: list[Loop] = []
    for function, first, given in re.findall(
        r"^    (\w[\w:]*)<(\w+)>\(([^;]*)\); // \w+$", text, re.M
    ):
        streams = tuple(re.split(r",\s*", given))
        if function == "gf::fork":
            made.append(Loop(streams[0], int(first), streams[:1], streams[1:]))
        else:
            made += _layer(project.files[f"firmware/layers/{function}.h"], function, streams)
    return made


def _layer(text: str, layer: str, streams: tuple[str, ...]) -> Iterable[Loop]:
    functions = {
        name: (parameters, body)
        for name, parameters, body in re.findall(
            r"^void (\w+)\(([^{]*?)\) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL
        )
    }
    own = re.findall(r"hls::stream<\w+> &(\w+)", functions[layer][0])
    outside = dict(zip(own, streams, strict=True))
    for name, (parameters, body) in functions.items():
        if name == layer and len(functions) > 1:
            continue
        count = re.search(r"t < (\d+); t\+\+", body)
        inner = re.findall(r"hls::stream<\w+> &(\w+)", parameters)
        frames = re.findall(
            r"(const )?gf::u?fixed<\d+, -?\d+> \(&(\w+?)(?:_in|_out)?\)", parameters
        )
        yield Loop(
            f"{layer}.{name}",
            int(count[1]) if count else 1,
            tuple(outside[s] for s in inner if s.endswith("_in")),
            tuple(outside[s] for s in inner if s.endswith("_out")),
            tuple(f"{layer}.{frame}" for const, frame in frames if const),
            tuple(f"{layer}.{frame}" for const, frame in frames if not const),
        )


def interval(
    found: list[Loop], deep: Mapping[str, int], latency: int, rewound: bool, frames: int = 8
) -> int:
    """Clocks from the last but one frame's end to the last one's, frames sent back to back.

    Starts of iterations are the least times that all rules allow: a beat is read after it was
    written and written after its place was read; a frame has two copies, one being filled.
    """
    start = {loop.name: [0] * (frames * loop.tokens) for loop in found}
    writer = {s: loop for loop in found for s in (*loop.writes, *loop.fills)}
    reader = {s: loop for loop in found for s in (*loop.reads, *loop.gathers)}

    def earliest(loop: Loop, k: int) -> int:
        frame, token = divmod(k, loop.tokens)
        own = start[loop.name]
        rules = [own[k]]
        if k:
            wait = 0 if token or rewound else latency + DRAIN
            rules.append(own[k - 1] + max(NOW, wait))
        rules += [start[writer[s].name][k] + latency + NOW for s in loop.reads if s in writer]
        for s in loop.writes:
            if s in reader and k >= deep[s]:
                rules.append(start[reader[s].name][k - deep[s]] + NOW - latency)
        if not token:
            for s in loop.gathers:
                filled = writer[s].tokens * (frame + 1) - 1
                rules.append(start[writer[s].name][filled] + latency + NOW)
            for s in loop.fills:
                if frame >= 2:
                    emptied = reader[s].tokens * (frame - 1) - 1
                    rules.append(start[reader[s].name][emptied] + NOW)
        return max(rules)

    moved = True
    while moved:
        moved = False
        for loop in found:
            for k, now in enumerate(start[loop.name]):
                then = earliest(loop, k)
                if then > now:
                    start[loop.name][k] = then
                    moved = True
                    assert then < 1_000_000, f"{loop.name} never ends"
    last = found[-1]
    ends = start[last.name][last.tokens - 1 :: last.tokens]
    return ends[-1] - ends[-2]
