"""Configurations of Hugging Face models: what they mean, and all that is wrong with one at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateformer.hw.pim import device
from gateformer.hw.pim.compile import compile_token
from gateformer.quant import models
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, GateformerError, PimError, Problems
from gateformer.quant.frontends import hf_config

GPT2 = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
}
OPT = {
    "model_type": "opt",
    "activation_function": "relu",
    "do_layer_norm_before": True,
    "ffn_dim": 3072,
    "hidden_size": 768,
    "max_position_embeddings": 2048,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "vocab_size": 50272,
    "word_embed_proj_dim": 768,
}
LLAMA = {
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "max_position_embeddings": 2048,
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
    "vocab_size": 49152,
}
MISTRAL = {**LLAMA, "model_type": "mistral", "sliding_window": 1024}
QWEN2 = {**LLAMA, "model_type": "qwen2", "sliding_window": 1024, "use_sliding_window": False}


def read(values: object) -> Decoder:
    return hf_config.read(json.dumps(values, indent=2).encode(), "config.json", "theirs")


def problems(values: object) -> list[str]:
    with pytest.raises((PimError, Problems)) as caught:
        read(values)
    errors = getattr(caught.value, "errors", (caught.value,))
    assert {error.code for error in errors} == {"E811"}
    return [f"{error.layer}: {error.cause}" for error in errors]


def test_gpt2_is_ours() -> None:
    ours, theirs = models.load("gpt2-small"), read(GPT2)
    assert theirs.parameters == ours.parameters
    assert theirs.block() == ours.block()


def test_opt() -> None:
    found = read(OPT)
    assert (found.activation, found.d_ff, found.context) == ("relu", 3072, 2048)
    assert found.bias_qkv and found.bias_projection and found.bias_ffn and found.tied


def test_llama() -> None:
    found = read(LLAMA)
    assert (found.norm, found.activation, found.gated, found.positions) == (
        "rms",
        "silu",
        True,
        "rotary",
    )
    assert (found.heads, found.kv_heads, found.d_head) == (9, 3, 64)
    assert not (found.bias_qkv or found.bias_projection or found.bias_ffn)
    assert round(found.parameters / 1e6, 1) == 134.5  # SmolLM-135M


def test_mistral_looks_back_as_far_as_its_window() -> None:
    assert read(MISTRAL).context == 1024
    assert read({**MISTRAL, "sliding_window": None}).context == 2048


def test_qwen2_has_biases_and_no_window() -> None:
    found = read(QWEN2)
    assert found.bias_qkv and not found.bias_projection
    assert found.context == 2048
    assert read({**QWEN2, "use_sliding_window": True}).context == 1024


def test_a_head_may_have_a_width_of_its_own() -> None:
    assert read({**LLAMA, "head_dim": 128, "num_attention_heads": 10, "num_key_value_heads": 5})


@pytest.mark.parametrize("values", [GPT2, OPT, LLAMA, MISTRAL, QWEN2])
def test_all_kinds_compile(values: dict[str, object]) -> None:
    decoder = read(values)
    program = compile_token(decoder, device.load("pim-gpt"), "pim-gpt", 100, tokens=256)
    assert sum(step.macs for step in program.steps) == decoder.macs(100)


def test_a_decoder_is_called_after_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "tiny-gpt"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(GPT2))
    (folder / "other.json").write_text(json.dumps(GPT2))
    assert hf_config.load(folder).name == "tiny-gpt"
    assert hf_config.load(folder / "config.json").name == "tiny-gpt"
    assert hf_config.load(folder / "other.json").name == "other"


@pytest.mark.parametrize(
    ("base", "changes", "place", "cause"),
    [
        (GPT2, {"model_type": "gpt3"}, "config.json:6 model_type", "It is 'gpt3'; known are gpt2"),
        (GPT2, {"model_type": None}, "model_type", "It is None"),
        (GPT2, {"model_type": ["gpt2"]}, "model_type", "known are"),
        (GPT2, {"n_layer": 0}, "config.json:10 n_layer", "It is 0, no whole number"),
        (GPT2, {"n_layer": -3}, "n_layer", "no whole number of at least 1"),
        (GPT2, {"n_layer": 12.0}, "n_layer", "no whole number"),
        (GPT2, {"n_layer": True}, "n_layer", "no whole number"),
        (GPT2, {"n_layer": "12"}, "n_layer", "no whole number"),
        (GPT2, {"n_layer": 10**30}, "n_layer", "absurd"),
        (GPT2, {"n_embd": 1 << 40}, "n_embd", "over 131072 is absurd"),
        (GPT2, {"n_head": 7}, "n_head", "7 heads do not divide n_embd = 768"),
        (GPT2, {"activation_function": "mish"}, "activation_function", "It is 'mish'"),
        (GPT2, {"add_cross_attention": True}, "add_cross_attention", "without an encoder"),
        (GPT2, {"auto_map": {"AutoModel": "x.py"}}, "auto_map", "code, which is never run"),
        (GPT2, {"tie_word_embeddings": 1}, "tie_word_embeddings", "not true or false"),
        (OPT, {"do_layer_norm_before": False}, "do_layer_norm_before", "not supported"),
        (OPT, {"word_embed_proj_dim": 512}, "word_embed_proj_dim", "not supported"),
        (LLAMA, {"num_key_value_heads": 4}, "num_key_value_heads", "9 heads cannot share 4"),
        (LLAMA, {"sliding_window": -1}, "sliding_window", "no whole number"),
        (LLAMA, {"attention_bias": "no"}, "attention_bias", "not true or false"),
        (LLAMA, {"head_dim": 1 << 20}, "head_dim", "absurd"),
    ],
)
def test_what_is_wrong(
    base: dict[str, object], changes: dict[str, object], place: str, cause: str
) -> None:
    (found,) = problems({**base, **changes})
    assert place in found
    assert cause in found


def test_what_is_missing() -> None:
    values = {key: value for key, value in GPT2.items() if key != "vocab_size"}
    assert problems(values) == ["config.json:1 vocab_size: It is missing"]


def test_everything_is_told_at_once() -> None:
    found = problems({"model_type": "gpt2", "n_layer": 0, "n_embd": "x", "auto_map": {}})
    assert [one.split()[1].rstrip(":") for one in found] == [
        "auto_map",
        "n_embd",
        "n_head",
        "n_layer",
        "vocab_size",
        "n_positions",
    ]


@pytest.mark.parametrize(
    ("raw", "place", "cause"),
    [
        (b'{"model_type": "gpt2",\n "n_layer": }', "config.json:2", "not JSON"),
        (b"[1, 2]", "config.json", "not a JSON object"),
        (b"", "config.json:1", "not JSON"),
        (b"\xff\xfe{}", "config.json", "not UTF-8"),
        (b"[" * 100_000, "config.json", "levels"),
        (b'{"a": "' + b"x" * (1 << 20) + b'"}', "config.json", "over 1 MiB"),
        (b'{"n_layer": ' + b"9" * 10_000 + b"}", "config.json", "not JSON"),
    ],
)
def test_what_is_no_configuration(raw: bytes, place: str, cause: str) -> None:
    with pytest.raises(PimError) as caught:
        hf_config.read(raw, "config.json", "theirs")
    assert caught.value.code == "E811"
    assert str(caught.value.layer).startswith(place)
    assert cause in caught.value.cause


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="E003"):
        hf_config.load(tmp_path / "config.json")
    with pytest.raises(ConfigError, match="E003"):
        hf_config.load(tmp_path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(
    st.sampled_from([GPT2, OPT, LLAMA, QWEN2]),
    st.dictionaries(
        st.sampled_from(sorted(GPT2.keys() | OPT.keys() | LLAMA.keys() | MISTRAL.keys())), VALUES
    ),
)
def test_nothing_but_a_decoder_or_an_error_comes_out(
    base: dict[str, object], changes: dict[str, object]
) -> None:
    try:
        found = read({**base, **changes})
    except GateformerError as error:
        assert error.code == "E811"
    else:
        assert found.parameters > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "mixtral"},
        {"model_type": "mixtral", "num_local_experts": 8},
        {"model_type": "mistral", "num_local_experts": 8},
        {"model_type": "qwen2_moe"},
        {"model_type": "olmoe", "num_experts": 64},
    ],
)
def test_a_mixture_of_experts_is_no_typing_error(changes: dict[str, object]) -> None:
    raw = json.dumps({**LLAMA, **changes}).encode()
    with pytest.raises(PimError, match=r"E811.*Mixtures of experts are not supported") as told:
        hf_config.read(raw, "config.json", "m")
    assert "Did you mean" not in str(told.value)
    one = json.dumps({**LLAMA, "num_experts": 1, "num_local_experts": None}).encode()
    assert hf_config.read(one, "config.json", "m").layers == 30
