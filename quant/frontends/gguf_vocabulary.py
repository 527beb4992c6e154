"""The vocabulary of a GGUF file, and texts as its tokens.

Owns ``Vocabulary`` and ``Words``. Imports the metadata, the errors and, for texts, the package
tokenizers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from gateformer.quant.errors import DataError, PimError, ToolError
from gateformer.quant.frontends.gguf_fields import Fields
from gateformer.quant.frontends.plain_json import shorten

KIND = "gpt2"
"""Byte-level BPE."""
SPLITS = {"smollm": True, "gpt-2": False, "default": False}
"""Names of the ways in which a text is cut before merging, to whether digits stand alone."""
CONTROL = 3
"""Type of a token that stands for no text."""
NAMED = 5
"""Characters without a token that a message names."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens and how they are merged.

    Attributes
    ----------
    kind, split : str
        Kind of tokenizer, and how a text is cut before merging, as the file calls them.
    tokens, merges : tuple of str
        Tokens by number, and pairs that are merged, most urgent first.
    control : frozenset of int
        Tokens that stand for no text.
    end : int or None
        The token that ends a text.
    begin : int or None
        The token that has to stand in front of each text, if one has.
    """

    kind: str
    split: str
    tokens: tuple[str, ...]
    merges: tuple[str, ...]
    control: frozenset[int]
    end: int | None
    begin: int | None

    @classmethod
    def of(cls, fields: Fields) -> Vocabulary:
        """Read a file's; problems go to ``fields``."""

        def words(name: str, needed: bool) -> tuple[str, ...]:
            key = f"tokenizer.ggml.{name}"
            found = fields.value(key)
            if found is None and not needed and key not in fields.held:
                return ()
            if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
                fields.wrong(key, "It is missing" if found is None else "It is no list of strings")
                return ()
            return tuple(found)

        def token(name: str) -> int | None:
            key = f"tokenizer.ggml.{name}"
            found = fields.value(key)
            if found is None:
                return None
            if type(found) is not int or not 0 <= found < len(tokens):
                fields.wrong(key, f"It is {shorten(found)}, no token")
                return None
            return found

        tokens = words("tokens", needed=True)
        if len(set(tokens)) != len(tokens):
            fields.wrong("tokenizer.ggml.tokens", "Some stand there twice")
        merges = words("merges", needed=False)
        types = fields.value("tokenizer.ggml.token_type") or []
        if types and (not isinstance(types, list) or len(types) != len(tokens)):
            fields.wrong("tokenizer.ggml.token_type", f"There are not {len(tokens)} of them")
            types = []
        begin = token("bos_token_id")
        return cls(
            kind=str(fields.value("tokenizer.ggml.model")),
            split=str(fields.value("tokenizer.ggml.pre") or "default"),
            tokens=tokens,
            merges=merges,
            control=frozenset(number for number, kind in enumerate(types) if kind == CONTROL),
            end=token("eos_token_id"),
            begin=begin if fields.value("tokenizer.ggml.add_bos_token") is True else None,
        )


class Words:
    """Texts to tokens and back.

    Parameters
    ----------
    vocabulary : Vocabulary
        The tokens.

    Raises
    ------
    ToolError
        E505 without the package tokenizers.
    PimError
        E811 for a kind of tokenizer that is not known, or merges that contradict the tokens.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        try:
            made: Any = import_module("tokenizers")
        except ImportError as cause:
            raise ToolError(
                "E505",
                "Python package not installed",
                layer="tokenizers",
                fix="pip install -e '.[language]'",
            ) from cause
        if vocabulary.kind != KIND or vocabulary.split not in SPLITS:
            known = ", ".join(SPLITS)
            cause_ = f"It is '{vocabulary.kind}', '{vocabulary.split}'; '{KIND}' with {known}"
            raise _malformed("tokenizer.ggml.model", f"{cause_} are known")
        numbers = {token: number for number, token in enumerate(vocabulary.tokens)}
        pairs = [tuple(one.split(" ")) for one in vocabulary.merges]
        for pair in pairs:
            if len(pair) != 2 or not {*pair, "".join(pair)} <= numbers.keys():
                cause_ = f"{shorten(' '.join(pair))} does not make one token of two"
                raise _malformed("tokenizer.ggml.merges", cause_)
        splits = [made.pre_tokenizers.ByteLevel(add_prefix_space=False)]
        if SPLITS[vocabulary.split]:
            splits.insert(0, made.pre_tokenizers.Digits(individual_digits=True))
        self._made = made.Tokenizer(made.models.BPE(vocab=numbers, merges=pairs))
        self._made.pre_tokenizer = made.pre_tokenizers.Sequence(splits)
        self._made.decoder = made.decoders.ByteLevel()
        special = [vocabulary.tokens[number] for number in sorted(vocabulary.control)]
        self._made.add_special_tokens([one for one in special if one])
        self._lacked = frozenset(byte for byte, own in enumerate(_letters()) if own not in numbers)
        special = sorted(filter(None, special), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, special))) if special else None
        # A token's letter stands for one byte; a control token for its name as it is.
        ordinary = (len(one) for one in vocabulary.tokens)
        self._longest = max(1, *ordinary, *(len(one.encode()) for one in special))

    def encode(self, text: str) -> list[int]:
        """Return a text's tokens; names of control tokens become these.

        Raises
        ------
        DataError
            E602 as ``check`` says.
        """
        self.check(text)
        begin = self.vocabulary.begin
        return [*([] if begin is None else [begin]), *self._made.encode(text).ids]

    def check(self, text: str) -> None:
        """Refuse what would be left out of a text's tokens.

        Raises
        ------
        DataError
            E602 for a text of bytes that were not UTF-8, or characters that the vocabulary lacks.
        """
        try:
            raw = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                "E602",
                "malformed data",
                layer="text",
                cause=f"A byte that is not UTF-8 stands at {_place(text, error.start)}",
                fix="Give a text in UTF-8",
            ) from None
        if not self._lacked.isdisjoint(raw):
            self._refuse(text)

    def least(self, text: str) -> int:
        """Return how many tokens a text has at least, by the longest token's bytes; no search."""
        begin = 0 if self.vocabulary.begin is None else 1
        return begin - -len(text.encode("utf-8", "replace")) // self._longest

    def _refuse(self, text: str) -> None:
        """Raise where a character of a text, names of control tokens apart, has no token."""
        found: dict[str, str] = {}
        for at, letter in self._plain(text):
            if letter in found or self._lacked.isdisjoint(letter.encode()):
                continue
            if len(found) == NAMED:
                found[""] = "and others"
                break
            found[letter] = f"{letter!r} ({_place(text, at)})"
        if found:
            raise DataError(
                "E602",
                "malformed data",
                layer="text",
                cause=f"The model's vocabulary has no token for {', '.join(found.values())}",
                fix="Leave these characters out, or take a model whose vocabulary has all bytes",
            )

    def _plain(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield the characters that belong to no name of a control token, and where they stand."""
        start = 0
        for match in self._special.finditer(text) if self._special else ():
            yield from enumerate(text[start : match.start()], start)
            start = match.end()
        yield from enumerate(text[start:], start)

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens; control tokens leave none, cut characters a U+FFFD."""
        return str(self._made.decode(list(tokens), skip_special_tokens=True))


def _place(text: str, at: int) -> str:
    """Return where a character stands, as editors count."""
    return f"line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"


def _letters() -> list[str]:
    """Return the letter by which byte-level BPE writes each byte: itself where that is visible."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    other = iter(range(0x100, 0x200))
    return [chr(byte) if byte in visible else chr(next(other)) for byte in range(256)]


def _malformed(key: str, cause: str) -> PimError:
    return PimError(
        "E811",
        "malformed model configuration",
        layer=key,
        cause=cause,
        fix="Take another model, or convert it again",
    )
