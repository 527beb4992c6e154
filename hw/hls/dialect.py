"""Dialects: how a compiler wants loops, arrays and streams to be said.

Owns ``Dialect`` and ``Xilinx``. Imports nothing of the project.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Dialect(Protocol):
    """Lines of C++ that differ between vendors; a line carries no indentation."""

    def template(self, streams: Sequence[str]) -> str:
        """The line above a function that takes streams of these names."""
        ...

    def stream(self, beat: str, name: str, out: bool) -> str:
        """A stream as a parameter."""
        ...

    def tensor(self, beat: str, name: str, size: int) -> str:
        """A whole tensor as a parameter."""
        ...

    def task(self, function: str, streams: Sequence[str]) -> list[str]:
        """What follows the function of a layer between streams of these names."""
        ...

    def partition(self, array: str) -> list[str]:
        """An array whose elements are all read at once."""
        ...

    def rows(self, frame: str) -> list[str]:
        """A frame of which one token is read at once."""
        ...

    def ahead(self, unrolled: bool) -> list[str]:
        """What stands in front of a loop, unrolled or pipelined."""
        ...

    def pipeline(self, interval: str) -> list[str]:
        """The loop or function around starts again every ``interval`` clocks."""
        ...

    def process(self) -> list[str]:
        """The function around stays one, however small."""
        ...

    def unroll(self) -> list[str]:
        """The loop around becomes as many copies as it has iterations."""
        ...

    def dataflow(self) -> list[str]:
        """The calls of the function around run at the same time, on successive frames."""
        ...

    def limit(self, count: str) -> list[str]:
        """At most ``count`` multipliers in the loop or function around."""
        ...


class Xilinx:
    """Vitis HLS and Vivado HLS (UG1399, UG902)."""

    def template(self, streams: Sequence[str]) -> str:
        """Streams have one class, so the configuration alone is free."""
        return "template <class CONFIG_T>"

    def stream(self, beat: str, name: str, out: bool) -> str:
        """A stream as a parameter."""
        return f"hls::stream<{beat}> &{name}"

    def tensor(self, beat: str, name: str, size: int) -> str:
        """An array."""
        return f"{beat} {name}[{size}]"

    def task(self, function: str, streams: Sequence[str]) -> list[str]:
        """The top function calls the layer itself."""
        return []

    def partition(self, array: str) -> list[str]:
        """All elements in registers."""
        return [f"#pragma HLS ARRAY_PARTITION variable={array} complete dim=0"]

    def rows(self, frame: str) -> list[str]:
        """A memory of tokens, each token one word of registers side by side."""
        return [f"#pragma HLS ARRAY_PARTITION variable={frame} complete dim=2"]

    def ahead(self, unrolled: bool) -> list[str]:
        """Pragmas stand inside a loop."""
        return []

    def pipeline(self, interval: str) -> list[str]:
        """The initiation interval."""
        return [f"#pragma HLS PIPELINE II={interval}"]

    def process(self) -> list[str]:
        """Small functions would be inlined, and with them their limits and dataflow's processes."""
        return ["#pragma HLS INLINE off"]

    def unroll(self) -> list[str]:
        """All iterations at once."""
        return ["#pragma HLS UNROLL"]

    def dataflow(self) -> list[str]:
        """One process a call."""
        return ["#pragma HLS DATAFLOW"]

    def limit(self, count: str) -> list[str]:
        """Multipliers are shared over R clocks."""
        return [f"#pragma HLS ALLOCATION operation instances=mul limit={count}"]
