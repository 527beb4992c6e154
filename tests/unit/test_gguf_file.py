"""Language models from GGUF files: the numbers, the metadata, the words, and files that lie."""

from __future__ import annotations

import struct
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
    with pytest.raises(DataError, match=r"Character 1 comes of a byte that is not UTF-8"):
        words.encode("a\udcff")
