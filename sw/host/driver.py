"""The accelerator as a Python object: real numbers in, real numbers out, a board between.

Owns ``Accelerator``. Imports the description, the packing and the protocols of a board; a board
itself only when a bitstream is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType

import numpy as np

from gateformer.host.board import (
    DMA_RESET,
    FRAME_ERROR,
    RECEIVE_CONTROL,
    SEND_CONTROL,
    SOFT_RESET,
    STATUS,
    Board,
    Channel,
)
from gateformer.host.checking import examined, settings_faults
from gateformer.host.description import Description, Stream
from gateformer.host.packing import from_memory, to_memory
from gateformer.hw.dataflow.design import Port
from gateformer.quant.errors import BoardError, GateformerError, Problems
from gateformer.quant.types import FloatArray, IntArray, Rounding

BATCH_BYTES = 1 << 20
"""Memory of a stream's buffer, unless told otherwise: far below what a board sets aside."""
MOST_BYTES = (1 << 26) - 1
"""Longest transfer of a DMA whose length register has 26 bits (AMD PG021)."""
RESET_S = 0.1
"""Time that a DMA may take to leave its reset: it waits for its memory transfers, microseconds."""


class Accelerator:
    """A design on a board.

    Parameters
    ----------
    board : Board
        Programmed with the design's bitstream.
    description : Description
        Of the same build.
    timeout_s : float
        Seconds that a batch may take.
    batch : int, optional
        Frames a transfer; by default as many as fit `BATCH_BYTES`.

    Raises
    ------
    BoardError
        E901 where the bitstream is another design's, E903 where the DMA does not start.
    DataError
        E602 where ``batch`` or ``timeout_s`` is no such number.
    """

    def __init__(
        self,
        board: Board,
        description: Description,
        *,
        timeout_s: float = 1.0,
        batch: int | None = None,
    ) -> None:
        Problems.raise_if_any(settings_faults(timeout_s, batch))
        self.description, self.timeout_s = description, timeout_s
        self._board, self._status = board, board.status
        self._dmas = {name: board.dma(name) for name in description.dmas}
        found = self._status.read(STATUS) >> 1
        if found != description.identity:
            raise BoardError(
                "E901",
                "bitstream of another design",
                layer=description.name,
                cause=f"It says {found:#010x}, the description {description.identity:#010x}",
                fix="Take the .bit, .hwh and .json of one build",
            )
        streams = (*description.inputs, *description.outputs)
        largest = max(stream.layout.frame_bytes for stream in streams)
        fits = MOST_BYTES // largest
        self.batch = max(1, min(fits, batch if batch is not None else BATCH_BYTES // largest))
        self.reset()
        self._buffers = {
            stream.port.name: board.allocate(self.batch * stream.layout.frame_bytes)
            for stream in streams
        }

    @classmethod
    def open(
        cls, bitstream: str | Path, *, timeout_s: float = 1.0, batch: int | None = None
    ) -> Accelerator:
        """Program the board with a bitstream; the ``.hwh`` and ``.json`` stand beside it.

        Parameters
        ----------
        bitstream : str or Path
            The ``.bit``.
        timeout_s, batch
            As above.

        Raises
        ------
        BoardError
            E906 where PYNQ, a file or a block of the design is missing; E901, E903, E907.
        """
        from gateformer.host.pynq_board import PynqBoard

        path = Path(bitstream)
        description = Description.load(path.with_suffix(".json"))
        return cls(PynqBoard(path, description), description, timeout_s=timeout_s, batch=batch)

    def close(self) -> None:
        """Give the board's memory back."""
        while self._buffers:
            self._board.release(self._buffers.popitem()[1])

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def frame_error(self) -> bool:
        """Whether the board has dropped a frame since its last reset."""
        return bool(self._status.read(STATUS) & FRAME_ERROR)

    def predict(
        self, inputs: FloatArray | Mapping[str, FloatArray]
    ) -> FloatArray | dict[str, FloatArray]:
        """Run the network on real numbers.

        Parameters
        ----------
        inputs : ndarray of float, (n, tokens, features), or mapping of str to such
            The model's input, or each by its name; a vector is (n, features). They are rounded
            to the input's type and saturate. A padding mask is true where a token counts.

        Returns
        -------
        ndarray of float, (n, tokens, features) or (n, features), or dict of str to such
            The output's real values; by name where there are several.

        Raises
        ------
        DataError
            E602 for shapes, E620 for NaN: before anything is sent, all problems at once.
        BoardError
            As `run`.
        """
        only = self.description.inputs[0].port.value
        given = inputs if isinstance(inputs, Mapping) else {only: inputs}
        _, faults = examined(self.description, given, "real numbers", "fiub")
        faulty = {fault.layer for fault in faults}
        raw: dict[str, IntArray] = {}
        for stream in self.description.inputs:
            port = stream.port
            try:
                if port.value in given and port.value not in faulty:
                    units = np.asarray(given[port.value], np.float64)
                    units = units / _factors(port, units.shape)
                    raw[port.value] = (
                        port.type.from_real(units)
                        if port.floor is None
                        else port.type.from_real(units, Rounding.TRN, port.floor)
                    )
            except GateformerError as error:
                faults.append(error.at(port.value))
            if port.mask is not None and port.mask in given and port.mask not in faulty:
                raw[port.mask] = (np.asarray(given[port.mask]) != 0).astype(np.int64)
        Problems.raise_if_any(faults)
        ports = {stream.port.value: stream.port for stream in self.description.outputs}
        real = {
            value: ports[value].type.to_real(out) * _factors(ports[value], out.shape)
            for value, out in self.run(raw).items()
        }
        return real if len(real) > 1 else next(iter(real.values()))

    def run(self, frames: Mapping[str, IntArray]) -> dict[str, IntArray]:
        """Run the network on raw integers.

        Parameters
        ----------
        frames : mapping of str to ndarray of int, (n, tokens, features) or (n, features)
            Each input by its name, masks too: (n, tokens).

        Returns
        -------
        dict of str to ndarray of int, (n, tokens, features) or (n, features)

        Raises
        ------
        DataError
            E602 for names, shapes and ranges, all problems at once.
        BoardError
            E902 where a DMA fails, E903 where it is not done in time, E904 where the board
            dropped a frame, E905 and E908 where it answers with what is no frames. The board has
            been reset, so that the next call finds it as new.
        """
        count, faults = examined(self.description, frames, "raw integers", "iubO")
        Problems.raise_if_any(faults)
        if not self._buffers:
            raise BoardError(
                "E906", "accelerator closed", layer=self.description.name, fix="Open it again"
            )
        outputs = {stream.port.value: _empty(stream, count) for stream in self.description.outputs}
        for start in range(0, count, self.batch):
            part = slice(start, min(start + self.batch, count))
            sent = {value: np.asarray(data)[part] for value, data in frames.items()}
            for value, data in self._exchange(sent, part.stop - part.start).items():
                outputs[value][part] = data.reshape(outputs[value][part].shape)
        return outputs

    def reset(self) -> None:
        """Empty the board: its pipeline, its DMAs, ``frame_error``.

        Raises
        ------
        BoardError
            E903 where a DMA does not leave its reset.
        """
        self._status.write(SOFT_RESET, 1)
        sending = {stream.dma for stream in self.description.inputs}
        for name, dma in self._dmas.items():
            control = SEND_CONTROL if name in sending else RECEIVE_CONTROL
            dma.write(control, DMA_RESET)
            limit = monotonic() + RESET_S
            while dma.read(control) & DMA_RESET:
                if monotonic() > limit:
                    raise BoardError(
                        "E903",
                        "DMA does not leave its reset",
                        layer=name,
                        cause="Its clock or its memory port stands still",
                        fix="Load the bitstream anew",
                    )
        self._status.write(SOFT_RESET, 0)
        for _, channel in self._channels():
            channel.start()

    def _channels(self) -> list[tuple[Stream, Channel]]:
        """Outputs first: they have to be ready when the first frame leaves."""
        receive = [(s, self._dmas[s.dma].recvchannel) for s in self.description.outputs]
        return receive + [(s, self._dmas[s.dma].sendchannel) for s in self.description.inputs]

    def _exchange(self, frames: Mapping[str, IntArray], count: int) -> dict[str, IntArray]:
        """Send one batch and return what comes back."""
        for stream in self.description.inputs:
            octets = to_memory(stream.layout, frames)
            self._buffers[stream.port.name][: len(octets)] = octets
        try:
            for stream, channel in self._channels():
                size = count * stream.layout.frame_bytes
                channel.transfer(self._buffers[stream.port.name], 0, size)
            self._complete()
            return {s.port.value: self._received(s, count) for s in self.description.outputs}
        except (OSError, RuntimeError, ValueError) as error:
            # PYNQ's own, of a channel in disorder, or of memory that it cannot reach
            with suppress(BoardError, OSError):
                self.reset()
            raise BoardError(
                "E902",
                "DMA transfer failed",
                layer=self.description.name,
                cause=str(error),
                fix="Try again; if it stays so, load the bitstream anew",
            ) from error
        except BaseException:
            # A transfer may still be under way, into memory that the next one uses.
            with suppress(BoardError, OSError):
                self.reset()
            raise

    def _complete(self) -> None:
        """Wait until all channels are done."""
        limit = monotonic() + self.timeout_s
        pending = self._channels()
        while pending:
            late = monotonic() > limit  # before the look: a slow look is no timeout
            if self.frame_error:
                raise _dropped(self.description.name)
            still = []
            for stream, channel in pending:
                if channel.error:
                    raise _failed(stream)
                if channel.idle:
                    channel.wait()
                else:
                    still.append((stream, channel))
            pending = still
            if pending and late:
                raise self._too_late(pending)
        if self.frame_error:
            raise _dropped(self.description.name)

    def _too_late(self, pending: list[tuple[Stream, Channel]]) -> BoardError:
        names = ", ".join(f"{stream.port.name} of {stream.dma}" for stream, _ in pending)
        return BoardError(
            "E903",
            "board timed out",
            layer=self.description.name,
            cause=f"After {self.timeout_s:g} s still waiting for {names}",
            fix="Raise timeout_s for large batches, else load the bitstream anew",
        )

    def _received(self, stream: Stream, count: int) -> IntArray:
        layout, wanted = stream.layout, count * stream.layout.frame_bytes
        found = self._dmas[stream.dma].recvchannel.transferred
        if found != wanted:
            raise BoardError(
                "E905",
                "short transfer",
                layer=stream.port.value,
                cause=f"{found} bytes came, {count} frames have {wanted}",
                fix="Take the .bit, .hwh and .json of one build",
            )
        return from_memory(layout, np.array(self._buffers[stream.port.name][:wanted]))


def _factors(port: Port, shape: tuple[int, ...]) -> FloatArray:
    """What a port's reals are multiplied by to be the model's, repeated to frames of a shape."""
    found = np.array(port.scale)
    return found if found.size in (1, port.features) else found.reshape(shape[1:])


def _empty(stream: Stream, count: int) -> IntArray:
    port = stream.port
    shape = (count, port.tokens, port.features) if port.tokens > 1 else (count, port.features)
    return np.zeros(shape, np.int64 if port.type.width < 63 else object)


def _dropped(name: str) -> BoardError:
    return BoardError(
        "E904",
        "frame dropped by the board",
        layer=name,
        cause="A packet ended inside a frame",
        fix="Take the .bit, .hwh and .json of one build",
    )


def _failed(stream: Stream) -> BoardError:
    return BoardError(
        "E902",
        "DMA transfer failed",
        layer=f"{stream.dma}, {stream.port.name}",
        cause="Its error bit is set: a packet longer than its buffer, or an address without memory",
        fix="Take the .bit, .hwh and .json of one build",
    )
