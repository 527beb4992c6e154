"""A board under PYNQ: its bitstream, its DMAs, its memory.

Owns ``PynqBoard``. Imports pynq when a board is made: it is installed on boards alone.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from gateformer.host.board import Dma, Registers
from gateformer.host.description import STATUS_BLOCK, Description
from gateformer.quant.errors import BoardError, Problems
from gateformer.sim.rtl.streams import ByteArray

AS_ROOT = "Run this on the board, in its notebook server or as root (sudo -i)"


class PynqBoard:
    """A board, programmed.

    Parameters
    ----------
    bitstream : Path
        The ``.bit``; its ``.hwh`` stands beside it.
    description : Description
        Names the blocks that the driver uses.

    Raises
    ------
    BoardError
        E906 where PYNQ, a file or a block is missing.
    """

    def __init__(self, bitstream: Path, description: Description) -> None:
        Problems.raise_if_any(
            _unusable(f"no {path.suffix} file", str(path), "Copy the whole folder to the board")
            for path in (bitstream, bitstream.with_suffix(".hwh"))
            if not path.is_file()
        )
        try:
            self._pynq: Any = import_module("pynq")
        except ImportError as error:
            raise _unusable(
                "PYNQ not installed",
                str(error),
                AS_ROOT,
            ) from None
        try:
            self._overlay: Any = self._pynq.Overlay(str(bitstream))
        except (OSError, RuntimeError, ValueError) as error:
            raise _unusable(f"bitstream not loaded: {error}", str(bitstream), AS_ROOT) from error
        blocks = self._overlay.ip_dict
        Problems.raise_if_any(
            _unusable(f"no block '{name}'", str(bitstream), "Take the .bit and .hwh of one build")
            for name in (*description.dmas, STATUS_BLOCK)
            if name not in blocks
        )

    @property
    def status(self) -> Registers:
        """The GPIO block."""
        block: Registers = getattr(self._overlay, STATUS_BLOCK)
        return block

    def dma(self, name: str) -> Dma:
        """Return a DMA block."""
        block: Dma = getattr(self._overlay, name)
        return block

    def allocate(self, nbytes: int) -> ByteArray:
        """Return contiguous memory."""
        try:
            buffer: ByteArray = self._pynq.allocate(shape=(nbytes,), dtype="u1")
        except (MemoryError, RuntimeError) as error:
            raise _unusable(
                "no memory for a DMA", f"{nbytes:,} bytes", f"Take a smaller batch ({error})"
            ) from error
        return buffer

    def release(self, buffer: ByteArray) -> None:
        """Give it back."""
        buffer.freebuffer()  # type: ignore[attr-defined] # an array of PYNQ's own kind


def _unusable(what: str, place: str, fix: str) -> BoardError:
    return BoardError("E906", what, layer=place, fix=fix)
