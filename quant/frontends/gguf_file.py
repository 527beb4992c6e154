"""Language models from GGUF files: LLaMA's kind, with every weight as a number.

Owns ``Language``, ``load``, ``shape`` and the shapes of a file's tensors. Imports the decoder, the
bounds of the header, what is read of the vocabulary, and the package gguf. A file is data: nothing
in it is run, neither templates nor paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import GateformerError, ModelError, Problems, ToolError
from gateformer.quant.frontends import gguf_header, gguf_places
from gateformer.quant.frontends.gguf_fields import Fields, error
from gateformer.quant.frontends.gguf_vocabulary import Vocabulary
from gateformer.quant.frontends.plain_json import shorten_name

Floats = NDArray[np.float32]
LARGEST = 1 << 31
"""Numbers of the largest model that is read: all of them are held at once, four bytes each."""
DAMAGED = (ValueError, LookupError, TypeError, OverflowError, MemoryError, RecursionError)
"""What the package raises for files that contradict themselves."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language model.

    Attributes
    ----------
    decoder : Decoder
        Its shape, with RMSNorm's epsilon and the base of rotary positions.
    blocks : tuple of mapping of str to array of float32
        For each block its matrices by ``Decoder.matrices``' names, outputs x inputs, and both
        norms' gains. Rotary positions turn a head's first half with its second.
    head, embedding : array of float32, shape (vocab, d_model)
        One array where both are tied.
    final : array of float32, shape (d_model,)
        Gain of the last norm.
    vocabulary : Vocabulary
        Tokens, and how a text becomes some of them.
    formats : mapping of str to int
        Formats of the file's tensors, and how many numbers stand in each.
    """

    decoder: Decoder
    blocks: tuple[Mapping[str, Floats], ...]
    head: Floats
    embedding: Floats
    final: Floats
    vocabulary: Vocabulary
    formats: Mapping[str, int]


def load(path: str | Path) -> Language:
    """Read a file.

    Parameters
    ----------
    path : str or Path
        A ``.gguf`` file of architecture ``llama``.

    Raises
    ------
    ToolError
        E505 without the package gguf.
    ConfigError, ModelError, PimError or Problems
        E003, E101 and E107 for a file that cannot be read or is too large; else all that is wrong
        with it at once: E811 for metadata, E104 and E105 for tensors.
    """
    path = Path(path)
    decoder, vocabulary, held = _opened(path)
    if decoder.parameters > LARGEST:
        raise ModelError(
            "E107",
            "model too large",
            layer=str(path),
            cause=f"It has {decoder.parameters:,} numbers; {LARGEST:,} are held at most",
            fix="Take a smaller model",
        )
    numbers = _Tensors(path, held)
    numbers.check(dict(_tensors(decoder)))
    formats: dict[str, int] = {}
    for one in held.values():
        name = one.tensor_type.name
        formats[name] = formats.get(name, 0) + int(one.n_elements)
    blocks = tuple(_block(decoder, numbers, f"blk.{layer}.") for layer in range(decoder.layers))
    embedding = numbers.get("token_embd.weight")
    head = embedding if decoder.tied else numbers.get("output.weight")
    final = numbers.get("output_norm.weight")
    Problems.raise_if_any(numbers.problems)
    return Language(decoder, blocks, head, embedding, final, vocabulary, formats)


def shape(path: str | Path) -> Decoder:
    """Return a file's shape; its weights are not read, so their number has no limit.

    Raises
    ------
    ToolError, ConfigError, ModelError, PimError or Problems
        As ``load``, but for E105, E107 and formats that are not dequantized.
    """
    path = Path(path)
    decoder, _, held = _opened(path)
    _Tensors(path, held).check(dict(_tensors(decoder)), numbers=False)
    return decoder


def _opened(path: Path) -> tuple[Decoder, Vocabulary, Mapping[str, Any]]:
    """Return what the metadata says, and the file's tensors."""
    header = gguf_header.check(path)
    package = _package("gguf")
    formats = {kind.value: size for kind, size in package.GGML_QUANT_SIZES.items()}
    gguf_places.check(path, header, formats)
    try:
        file = package.GGUFReader(path)
    except DAMAGED as cause:
        raise _damaged(path, cause) from None
    fields = Fields(path, file.fields)
    sizes = fields.shape()
    vocabulary = Vocabulary.of(fields)
    if not fields.problems:
        fields.sizes(sizes, len(vocabulary.tokens))
    Problems.raise_if_any(fields.problems)
    held = {one.name: one for one in file.tensors}
    tied = "output.weight" not in held
    decoder = Decoder(
        vocab=len(vocabulary.tokens), tied=tied, source=f"{path.name}, architecture llama", **sizes
    )
    return decoder, vocabulary, held


def halves(matrix: Floats, heads: int) -> Floats:
    """Return queries' or keys' rows such that a head's first half turns with its second.

    Files of this kind hold, for each head, the rows of a pair one behind the other.

    Parameters
    ----------
    matrix : array, shape (heads x width, inputs)
        Rows as in the file.
    heads : int
        Heads.
    """
    pairs = matrix.reshape(heads, -1, 2, matrix.shape[-1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(matrix.shape)


def _tensors(decoder: Decoder) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the tensors of a file and their shapes."""
    d, hidden = decoder.d_model, decoder.d_ff
    yield "token_embd.weight", (decoder.vocab, d)
    yield "output_norm.weight", (d,)
    if not decoder.tied:
        yield "output.weight", (decoder.vocab, d)
    for layer in range(decoder.layers):
        for name, shape in (
            ("attn_norm", (d,)),
            ("attn_q", (decoder.queries, d)),
            ("attn_k", (decoder.kv_width, d)),
            ("attn_v", (decoder.kv_width, d)),
            ("attn_output", (d, decoder.queries)),
            ("ffn_norm", (d,)),
            ("ffn_gate", (hidden, d)),
            ("ffn_up", (hidden, d)),
            ("ffn_down", (d, hidden)),
        ):
            yield f"blk.{layer}.{name}.weight", shape


def _block(decoder: Decoder, numbers: _Tensors, prefix: str) -> dict[str, Floats]:
    def get(name: str) -> Floats:
        return numbers.get(f"{prefix}{name}.weight")

    queries, keys = halves(get("attn_q"), decoder.heads), halves(get("attn_k"), decoder.kv_heads)
    up = np.stack([get("ffn_gate"), get("ffn_up")], axis=1)
    return {
        "qkv": np.concatenate([queries, keys, get("attn_v")]),
        "projection": get("attn_output"),
        "up": up.reshape(-1, decoder.d_model),
        "down": get("ffn_down"),
        "parameters": np.concatenate([get("attn_norm"), get("ffn_norm")]),
    }


class _Tensors:
    """A file's tensors as numbers; problems gather."""

    def __init__(self, path: Path, held: Mapping[str, Any]) -> None:
        self.path, self.held = path, held
        self.problems: list[GateformerError] = []

    def check(self, expected: Mapping[str, tuple[int, ...]], *, numbers: bool = True) -> None:
        """Raise all that is missing, too many, of another shape, or of a format none can read."""
        known = import_module("gguf.quants")._type_traits
        plain = ("F32", "F16")
        found: list[GateformerError] = []
        more = sorted(self.held.keys() - expected.keys())
        if more:
            others = f", nor {len(more) - 1} others that it holds" if more[1:] else ""
            cause = f"A decoder of this kind has no such tensor{others}; it would be left out"
            name = shorten_name(more[0])
            found.append(error("E811", self.path, name, cause, "Convert a plain LLaMA model"))
        for name, shape in expected.items():
            if name not in self.held:
                found.append(self._wrong(name, "It is missing"))
                continue
            own = self.held[name]
            given = tuple(int(one) for one in reversed(own.shape.tolist()))
            if given != shape:
                found.append(self._wrong(name, f"Its shape is {given}, by the metadata {shape}"))
            elif numbers and own.tensor_type.name not in plain and own.tensor_type not in known:
                kind = own.tensor_type.name
                found.append(self._wrong(name, f"Its format {kind} is none that gguf dequantizes"))
        Problems.raise_if_any(found)

    def get(self, name: str) -> Floats:
        """Return a tensor's numbers, dequantized by the package."""
        own = self.held[name]
        dequantize = import_module("gguf.quants").dequantize
        try:
            with np.errstate(invalid="ignore", over="ignore"):
                found: Floats = dequantize(own.data, own.tensor_type).astype(np.float32)
        except (*DAMAGED, NotImplementedError) as error_:
            raise _damaged(self.path, error_) from None
        if not np.isfinite(found).all():
            cause = "It holds NaN or infinity"
            fix = "Convert the model again"
            self.problems.append(error("E105", self.path, name, cause, fix))
        return found

    def _wrong(self, name: str, cause: str) -> ModelError:
        found = error("E104", self.path, name, cause, "Convert the model again")
        assert isinstance(found, ModelError)
        return found


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as cause:
        raise ToolError(
            "E505",
            "Python package not installed",
            layer=name,
            fix="pip install -e '.[language]'",
        ) from cause


def _damaged(path: Path, cause: BaseException) -> ModelError:
    said = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
    return ModelError(
        "E101",
        "GGUF file cannot be read",
        layer=str(path),
        cause=f"It is damaged or cut off ({said})",
        fix="Pass a whole .gguf file",
    )
