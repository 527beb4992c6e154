"""Language models from GGUF files: the numbers, the metadata, the words, and files that lie."""

from __future__ import annotations

import os
import re
import struct
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from unit.gguf_models import HEADS, HIDDEN, KV_HEADS, WIDTH, File

from gateformer.quant import language
from gateformer.quant.errors import DataError, GateformerError, Problems
from gateformer.quant.frontends import gguf_file, gguf_header
from gateformer.quant.frontends.gguf_vocabulary import Words

gguf = pytest.importorskip("gguf")
tokenizers = pytest.importorskip("tokenizers")


def said(problem: BaseException) -> str:
    """All messages of an error."""
    return "\n".join(map(str, getattr(problem, "problems", [problem])))


def test_shape_and_metadata(tmp_path: Path) -> None:
    model = gguf_file.load(File().write(tmp_path / "Small-1M.Q4.gguf"))
    own = model.decoder
    assert (own.name, own.layers, own.d_model, own.heads) == ("Small-1M", 2, WIDTH, HEADS)
    assert (own.kv_heads, own.d_head, own.d_ff, own.vocab) == (KV_HEADS, 16, HIDDEN, 11)
    assert own.epsilon == pytest.approx(1e-6)
    assert own.base == 50000.0
    assert own.tied and own.gated and own.norm == "rms" and own.positions == "rotary"
    assert own.parameters == sum(one.size for one in File().numbers.values())
    assert dict(model.formats) == {"F32": own.parameters}


def test_every_number_arrives(tmp_path: Path) -> None:
    file = File()
    model = gguf_file.load(file.write(tmp_path / "a.gguf"))
    for layer, block in enumerate(model.blocks):
        own = {
            name.split(".")[2]: values
            for name, values in file.numbers.items()
            if name.startswith(f"blk.{layer}.")
        }
        parts = [own["attn_q"], own["attn_k"], own["attn_v"]]
        assert np.array_equal(block["qkv"], np.concatenate(parts))
        assert np.array_equal(block["projection"], own["attn_output"])
        assert np.array_equal(block["up"][0::2], own["ffn_gate"])
        assert np.array_equal(block["up"][1::2], own["ffn_up"])
        assert np.array_equal(block["down"], own["ffn_down"])
        gains = np.concatenate([own["attn_norm"], own["ffn_norm"]])
        assert np.array_equal(block["parameters"], gains)
    assert model.head is model.embedding
    assert np.array_equal(model.head, file.numbers["token_embd.weight"])


def test_an_lm_head_of_its_own(tmp_path: Path) -> None:
    file = File()
    file.numbers["output.weight"] = -file.numbers["token_embd.weight"]
    model = gguf_file.load(file.write(tmp_path / "a.gguf"))
    assert not model.decoder.tied
    assert np.array_equal(model.head, -model.embedding)


@pytest.mark.parametrize(
    ("kind", "error"), [("F16", 1e-3), ("BF16", 8e-3), ("Q8_0", 8e-3), ("Q4_1", 0.08)]
)
def test_formats(kind: str, error: float, tmp_path: Path) -> None:
    file = File()
    file.kinds = {name: kind for name in file.numbers if "norm" not in name}
    model = gguf_file.load(file.write(tmp_path / "a.gguf"))
    found, meant = model.blocks[1]["down"], file.numbers["blk.1.ffn_down.weight"]
    assert 0 < np.abs(found - meant).max() <= error * np.abs(meant).max()
    assert model.formats[kind] > model.formats["F32"]


def test_halves_turn_as_the_file_s_neighbours_do() -> None:
    """Rotary positions of neighbouring pairs, as files order them, give the same scores."""
    rng = np.random.default_rng(1)
    width, heads = 16, 3
    rows = [rng.normal(size=(heads * width, 20)) for _ in "qk"]
    x = rng.normal(size=(2, 20))
    angles = 7 * 10000.0 ** (-np.arange(8) / 8)

    def neighbours(y: np.ndarray, angles: np.ndarray) -> np.ndarray:
        a, b = y[..., 0::2], y[..., 1::2]
        c, s = np.cos(angles), np.sin(angles)
        return np.stack([a * c - b * s, a * s + b * c], -1).reshape(y.shape)

    def halves(y: np.ndarray, angles: np.ndarray) -> np.ndarray:
        a, b = y[..., :8], y[..., 8:]
        c, s = np.cos(angles), np.sin(angles)
        return np.concatenate([a * c - b * s, b * c + a * s], -1)

    def scores(turn, order) -> np.ndarray:  # type: ignore[no-untyped-def]  # noqa: ANN001
        q, k = (
            (order(one) @ other).reshape(heads, width) for one, other in zip(rows, x, strict=True)
        )
        return (turn(q, angles) * turn(k, 0 * angles)).sum(-1)

    theirs = scores(neighbours, lambda one: one)
    ours = scores(halves, lambda one: gguf_file.halves(one, heads))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_words(tmp_path: Path) -> None:
    words = Words(gguf_file.load(File().write(tmp_path / "a.gguf")).vocabulary)
    assert words.encode("ab c12\n") == [6, 7, 8, 9, 10]
    assert words.decode([6, 7, 8, 9, 10]) == "ab c12\n"
    assert words.encode("<|im_start|>ab") == [1, 6]
    assert words.decode([1, 6, 0]) == "ab"


def test_a_beginning_where_the_file_asks_for_one(tmp_path: Path) -> None:
    file = File()
    file.fields |= {"tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.add_bos_token": True}
    words = Words(gguf_file.load(file.write(tmp_path / "a.gguf")).vocabulary)
    assert words.encode("ab") == [1, 6]


def test_logits_do_not_look_ahead(tmp_path: Path) -> None:
    model = gguf_file.load(File().write(tmp_path / "a.gguf"))
    whole = language.logits(model, [2, 6, 7, 3])
    part = language.logits(model, [2, 6])
    np.testing.assert_allclose(part, whole[:2], rtol=1e-4, atol=1e-5)


def test_all_problems_at_once(tmp_path: Path) -> None:
    file = File()
    file.fields |= {
        "llama.attention.head_count_kv": 0,
        "llama.expert_count": 4,
        "llama.rope.scaling.type": "yarn",
        "llama.attention.sliding_window": 16,
        "llama.attention.layer_norm_rms_epsilon": float("nan"),
        "tokenizer.ggml.token_type": [1],
    }
    with pytest.raises(Problems) as caught:
        gguf_file.load(file.write(tmp_path / "a.gguf"))
    text = said(caught.value)
    for key in file.fields.keys() - File().fields.keys() | {
        "llama.attention.head_count_kv",
        "llama.attention.layer_norm_rms_epsilon",
        "tokenizer.ggml.token_type",
    }:
        assert key in text
    assert "E811" in text


@pytest.mark.parametrize(
    ("key", "value", "cause"),
    [
        ("llama.attention.head_count_kv", 3, "cannot share"),
        ("llama.attention.head_count", 5, "do not divide"),
        ("llama.rope.dimension_count", 8, "It is 8"),
        ("llama.vocab_size", 12, "11 tokens are listed"),
        ("llama.block_count", 5000, "from 1 to"),
        ("llama.block_count", "two", "whole number"),
        ("llama.embedding_length", -3.0, "whole number"),
        ("tokenizer.ggml.tokens", ["a"] * 11, "twice"),
        ("tokenizer.ggml.eos_token_id", 11, "no token"),
    ],
)
def test_metadata_that_contradicts_itself(
    key: str, value: object, cause: str, tmp_path: Path
) -> None:
    file = File()
    file.fields[key] = value
    with pytest.raises(GateformerError) as caught:
        gguf_file.load(file.write(tmp_path / "a.gguf"))
    assert key in said(caught.value) and cause in said(caught.value)


def test_another_architecture(tmp_path: Path) -> None:
    file = File(architecture="mamba")
    with pytest.raises(GateformerError, match=r"E811 .*general.architecture.*'mamba'"):
        gguf_file.load(file.write(tmp_path / "a.gguf"))


def test_tensors_that_are_missing_too_many_or_misshapen(tmp_path: Path) -> None:
    file = File()
    del file.numbers["blk.0.attn_v.weight"]
    file.numbers["blk.1.ffn_up.weight"] = file.numbers["blk.1.ffn_up.weight"][:-1]
    file.numbers["blk.1.attn_q.bias"] = np.ones(WIDTH, np.float32)
    with pytest.raises(Problems) as caught:
        gguf_file.load(file.write(tmp_path / "a.gguf"))
    text = said(caught.value)
    for words in ("blk.0.attn_v.weight", "missing", "(95, 64)", "attn_q.bias", "E104", "E811"):
        assert words in text


def test_a_model_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_file, "LARGEST", 1000)
    with pytest.raises(GateformerError, match=r"E107 .*1,000"):
        gguf_file.load(File().write(tmp_path / "a.gguf"))


def test_the_shape_alone_asks_nothing_of_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = File()
    file.kinds = {"blk.0.ffn_up.weight": "Q8_0"}
    file.numbers["blk.1.ffn_up.weight"][3, 3] = np.nan
    path = file.write(tmp_path / "a.gguf")
    monkeypatch.setattr(gguf_file, "LARGEST", 1000)
    monkeypatch.setattr(import_module("gguf.quants"), "_type_traits", {})
    found = gguf_file.shape(path)
    monkeypatch.undo()
    assert found == gguf_file.load(File().write(path)).decoder
    file.numbers["blk.1.ffn_up.weight"] = file.numbers["blk.1.ffn_up.weight"][:-1]
    with pytest.raises(GateformerError, match="E104"):
        gguf_file.shape(file.write(path))


def test_nan_is_refused(tmp_path: Path) -> None:
    file = File()
    file.numbers["blk.1.ffn_up.weight"][3, 3] = np.nan
    file.numbers["output_norm.weight"][5] = np.inf
    with pytest.raises(Problems) as caught:
        gguf_file.load(file.write(tmp_path / "a.gguf"))
    assert said(caught.value).count("E105") == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokenizer.ggml.model", "llama"),
        ("tokenizer.ggml.pre", "qwen2"),
        ("tokenizer.ggml.merges", ["a b", "a"]),
        ("tokenizer.ggml.merges", ["b a"]),
    ],
)
def test_words_of_an_unknown_kind(key: str, value: object, tmp_path: Path) -> None:
    file = File()
    file.fields[key] = value
    model = gguf_file.load(file.write(tmp_path / "a.gguf"))
    with pytest.raises(GateformerError, match="E811"):
        Words(model.vocabulary)


@pytest.mark.parametrize(
    "content", [b"", b"GGU", b"PK\x03\x04" + bytes(50), b"GGUF", b"GGUF" + struct.pack("<I", 1)]
)
def test_what_is_no_such_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(GateformerError, match="E101"):
        gguf_file.load(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "no.gguf", tmp_path):
        with pytest.raises(GateformerError, match="E003"):
            gguf_file.load(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    os.mkfifo(path)
    with pytest.raises(GateformerError, match=r"E101 .*It is no plain file"):
        gguf_file.load(path)


def test_counts_that_are_absurd(tmp_path: Path) -> None:
    start = b"GGUF" + struct.pack("<I", 3)
    text = struct.pack("<Q", 1) + b"k"
    for rest in (
        struct.pack("<QQ", 2**40, 0),
        struct.pack("<QQ", 0, 2**63),
        struct.pack("<QQ", 0, 1) + struct.pack("<Q", 2**62),
        # lists of numbers behind the file's end, without end
        struct.pack("<QQ", 0, 1) + text + struct.pack("<IIQ", 9, 0, 2**60),
        struct.pack("<QQ", 0, 1) + text + struct.pack("<IIQ", 9, 0, 2**22),
        # lists of lists
        struct.pack("<QQ", 0, 1) + text + struct.pack("<IIQ", 9, 9, 1) * 2000,
        struct.pack("<QQ", 0, 1) + text + struct.pack("<I", 77),
        struct.pack("<QQ", 1, 0) + text + struct.pack("<I", 2**31),
    ):
        path = tmp_path / "a.gguf"
        path.write_bytes(start + rest)
        with pytest.raises(GateformerError, match=r"E101|E107"):
            gguf_header.check(path)


def test_files_that_are_cut_or_damaged(tmp_path: Path) -> None:
    whole = File().write(tmp_path / "a.gguf").read_bytes()
    header = len(whole) - sum(4 * one.size for one in File().numbers.values())
    rng = np.random.default_rng(0)
    path = tmp_path / "b.gguf"
    for cut in [*rng.integers(4, header, 25).tolist(), len(whole) - 1, len(whole) // 2]:
        path.write_bytes(whole[:cut])
        with pytest.raises(GateformerError):
            gguf_file.load(path)
    for _ in range(120):
        other = bytearray(whole)
        for place in rng.integers(4, header, 3).tolist():
            other[place] = int(rng.integers(256))
        path.write_bytes(other)
        try:
            gguf_file.load(path)
        except GateformerError as problem:
            assert str(problem)


def test_a_text_of_bytes_that_are_no_utf_8(tmp_path: Path) -> None:
    words = Words(gguf_file.load(File().write(tmp_path / "m.gguf")).vocabulary)
    with pytest.raises(DataError, match=r"not UTF-8 stands at line 2, column 2"):
        words.encode("ab\na\udcff")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("abx c", "no token for 'x' (line 1, column 3). Leave"),
        ("ab\nc xé\n\x04", "'x' (line 2, column 3), 'é' (line 2, column 4), '\\x04' (line 3, col"),
        ("<|end|>x<|end|>x", "no token for 'x' (line 1, column 8). Leave"),
        ("<|end>", "'<' (line 1, column 1), '|' (line 1, column 2), 'e' (line 1, column 3), 'n' ("),
        ("defghijklm", "'h' (line 1, column 5), and others. Leave"),
    ],
)
def test_characters_that_a_vocabulary_lacks(text: str, says: str, tmp_path: Path) -> None:
    words = Words(gguf_file.load(File().write(tmp_path / "m.gguf")).vocabulary)
    with pytest.raises(DataError, match="E602") as caught:
        words.encode(text)
    assert says in str(caught.value)
    assert words.encode("<|im_start|>ab<|end|>") == [1, 6, 0]  # names of control tokens are some


def test_a_vocabulary_of_all_bytes_takes_every_text(tmp_path: Path) -> None:
    from dataclasses import replace

    plain = gguf_file.load(File().write(tmp_path / "m.gguf")).vocabulary
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    more = replace(plain, tokens=(*dict.fromkeys((*plain.tokens, *letters)),))
    text = "a\x00\x04\x7fé\u3042\U000f0000 \U0010ffff"
    words = Words(more)
    assert words.decode(words.encode(text)) == text
    for place, letter in enumerate(letters):
        few = tuple(one for one in more.tokens if one != letter)
        merges = tuple(one for one in more.merges if letter not in one)
        lacking = Words(replace(more, tokens=few, merges=merges, control=frozenset()))
        raw = bytes(lacking._lacked)
        assert len(raw) == 1, place
        if raw < b"\x80":
            with pytest.raises(DataError, match=re.escape(repr(raw.decode()))):
                lacking.encode("\n" + raw.decode())


def test_the_longest_token_bounds_a_text_s_tokens(tmp_path: Path) -> None:
    words = Words(gguf_file.load(File().write(tmp_path / "m.gguf")).vocabulary)
    assert words.least("") == 0
    rng = np.random.default_rng(0)
    for _ in range(50):
        parts = rng.choice(["a", "b", "ab", " c", "1", "\n", "<|im_start|>"], 20)
        text = "".join(parts.tolist())
        least = words.least(text)
        assert least == -(-len(text) // len("<|im_start|>"))
        assert least <= len(words.encode(text))


def placed(raw: bytes, name: str) -> int:
    """Return where a header says a tensor's first size; format and offset follow its two."""
    text = struct.pack("<Q", len(name)) + name.encode()
    return raw.index(text) + len(text) + 4


def told_of(path: Path, raw: bytes) -> list[str]:
    """Load a file's bytes; return what is said."""
    path.write_bytes(raw)
    with pytest.raises(GateformerError) as caught:
        gguf_file.load(path)
    return [str(one) for one in getattr(caught.value, "errors", [caught.value])]


ONE, TWO = "blk.0.attn_q.weight", "blk.0.attn_output.weight"


@pytest.mark.parametrize(
    ("back", "form", "value", "says"),
    [
        (20, "<Q", 0, f"on are those of '{TWO}' too"),
        (20, "<Q", 64, f"on are those of '{TWO}' too"),
        (20, "<Q", 33, f"'a.gguf: {ONE}'. It begins at byte "),
        (20, "<Q", 1 << 40, f"'a.gguf: {ONE}'. Its 16,384 bytes from 1,099,511,6"),
        (20, "<Q", (1 << 63) - 4096, "end behind the file's"),
        (16, "<I", 999, f"'a.gguf: {ONE}'. Its format 999 is none that gguf knows"),
        (16, "<I", 8, f"'a.gguf: {ONE}'. Its rows of 65 are no whole blocks of 32 numbers"),
        (0, "<Q", 1 << 62, "end behind the file's"),
        (0, "<Q", 1 << 63, "end behind the file's"),
        (0, "<Q", 66, f"on are those of '{ONE}' too"),
    ],
)
def test_tensors_whose_bytes_are_not_their_own(
    back: int, form: str, value: int, says: str, tmp_path: Path
) -> None:
    raw = bytearray(File().write(tmp_path / "a.gguf").read_bytes())
    at, other = placed(raw, ONE), placed(raw, TWO)
    if back == 20:
        value += struct.unpack_from("<Q", raw, other + 20)[0]
    if back == 16:
        struct.pack_into("<Q", raw, at, 65)
    struct.pack_into(form, raw, at + back, value)
    found = told_of(tmp_path / "a.gguf", bytes(raw))
    assert all("E104" in one for one in found)
    assert says in "\n".join(found)


def test_a_file_that_is_cut_off_says_so_once(tmp_path: Path) -> None:
    raw = File().write(tmp_path / "a.gguf").read_bytes()
    (told,) = told_of(tmp_path / "a.gguf", raw[: len(raw) // 2])
    assert f"end behind the file's {len(raw) // 2:,}, and so do " in told


@pytest.mark.parametrize("value", [0, 3, 1 << 31])
def test_alignments_that_cannot_be(value: int, tmp_path: Path) -> None:
    file = File()
    file.fields["general.alignment"] = 32
    raw = bytearray(file.write(tmp_path / "a.gguf").read_bytes())
    key = b"general.alignment"
    struct.pack_into("<I", raw, raw.index(key) + len(key) + 4, value)
    told = "\n".join(told_of(tmp_path / "a.gguf", bytes(raw)))
    power = value & (value - 1) == 0 and value > 0
    assert ("no multiple of 2147483648" if power else f"It is {value}, no power of two") in told


@pytest.mark.parametrize("length", [59, 60, 61, 4000])
def test_long_names_end_in_a_whole_ellipsis(length: int, tmp_path: Path) -> None:
    file = File()
    file.fields |= {"llama." + "y" * (length - 6): 1}
    (told,) = told_of(tmp_path / "a.gguf", file.write(tmp_path / "a.gguf").read_bytes())
    shown = "y" * 51 + "..." if length > 60 else "y" * (length - 6)
    assert f"llama.{shown}'" in told


def test_names_in_a_file_are_names_alone(tmp_path: Path) -> None:
    file = File()
    file.numbers |= {
        "../../../etc/passwd": np.ones(4, np.float32),
        "\x1b[31m" + "x" * 60: np.ones(4, np.float32),
    }
    file.fields |= {"general.name": "../../x", "llama.\x1b[2J" + "y" * 4000: 1}
    told = told_of(tmp_path / "a.gguf", file.write(tmp_path / "a.gguf").read_bytes())
    assert len(told) == 1 and "y" * 60 not in told[0] and "\x1b" not in told[0]
    del file.fields["llama.\x1b[2J" + "y" * 4000]
    (told,) = told_of(tmp_path / "a.gguf", file.write(tmp_path / "a.gguf").read_bytes())
    assert "no such tensor, nor 1 others" in told and "\x1b" not in told
    assert [one.name for one in tmp_path.iterdir()] == ["a.gguf"]
