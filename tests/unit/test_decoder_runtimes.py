"""Each runtime decodes what the reference does: three families, batches, contexts."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from unit.decoder_shapes import GPT, LLAMA, OPT, SHAPES

from gateformer.baselines.decoders import (
    gguf_file,
    onnx_model,
    onnx_session,
    openvino_model,
    openvino_session,
)
from gateformer.baselines.decoders.candidates import CANDIDATES
from gateformer.baselines.decoders.reference import Start, start
from gateformer.baselines.decoders.rounding import ROUNDINGS, rounded
from gateformer.baselines.decoders.sizes import plain, step_bytes
from gateformer.baselines.decoders.weights import Weights
from gateformer.baselines.measure import compared
from gateformer.baselines.runtime import Candidate, Session
from gateformer.baselines.work import DecoderWork
from gateformer.quant.errors import BaselineError

QUICK = [one for one in CANDIDATES if one.tier != "compiled"]
NAMES = [one.key for one in QUICK]


def opened(candidate: Candidate, work: DecoderWork) -> closing[Session]:
    if (reason := candidate.missing()) is not None:
        pytest.skip(reason)
    return closing(candidate.open(work, 1))


def difference(candidate: Candidate, work: DecoderWork) -> float:
    """Return the largest difference of the second step, of the largest logit."""
    work = work.stored(candidate.weights)
    with opened(candidate, work) as session:
        session.step()
        session.step()
        right = work.reference()
        assert session.outputs().shape == right.shape
        return np.abs(session.outputs() - right).max() / np.abs(right).max()


@pytest.mark.parametrize("candidate", QUICK, ids=NAMES)
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("context", "batch"), [(0, 2), (20, 1), (20, 3)])
def test_a_runtime_gives_the_reference_logits(
    candidate: Candidate, name: str, context: int, batch: int
) -> None:
    work = DecoderWork(SHAPES[name], context, 1, batch)
    if candidate.runtime == "llama.cpp" and name == "opt":
        with pytest.raises(BaselineError, match=r"E851 no such decoder in llama.cpp: 'opt'"):
            opened(candidate, work)
    else:
        assert difference(candidate, work) <= candidate.tolerance


def wrong_heads(begin: Start) -> Start:
    return replace(begin, keys=np.roll(begin.keys, 1, axis=1))


def half_a_cache(begin: Start) -> Start:
    keys = begin.keys.copy()
    keys[:, :, : keys.shape[2] // 2] = 0
    return replace(begin, keys=keys)


INTEGERS = [one for one in CANDIDATES if one.weights]
HANDED = [one for one in INTEGERS if one.runtime != "llama.cpp"]
"""They get the cache from us; llama.cpp makes its own."""


@pytest.mark.parametrize("broken", [wrong_heads, half_a_cache])
@pytest.mark.parametrize("candidate", HANDED, ids=lambda one: one.key)
@pytest.mark.parametrize("name", SHAPES)
def test_a_runtime_with_a_broken_cache_is_refused(
    name: str,
    candidate: Candidate,
    broken: Callable[[Start], Start],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = DecoderWork(SHAPES[name], 32, 1).stored(candidate.weights)
    right = work.reference()
    for module in (onnx_session, openvino_session):
        monkeypatch.setattr(module, "start", lambda work: broken(start(work)))
    with opened(candidate, work) as session:
        session.step()
        with pytest.raises(BaselineError, match="E852"):
            compared(candidate, session.outputs(), right)


@pytest.mark.parametrize("candidate", INTEGERS, ids=lambda one: one.key)
def test_another_activation_is_refused(candidate: Candidate) -> None:
    """The same weights with ReLU for GELU: what the runtime of another model gives."""
    right = DecoderWork(GPT, 32, 1).stored(candidate.weights).reference()
    other = replace(GPT, activation="relu")
    if candidate.runtime == "llama.cpp":
        pytest.importorskip("gguf", reason="needs gguf")
        found = DecoderWork(other, 32, 1).stored(candidate.weights).reference()
    else:
        with opened(candidate, DecoderWork(other, 32, 1).stored(candidate.weights)) as session:
            session.step()
            found = session.outputs()
    with pytest.raises(BaselineError, match="E852"):
        compared(candidate, found, right)


@pytest.mark.parametrize("name", ROUNDINGS)
def test_rounded_weights_are_those_that_the_formats_store(name: str) -> None:
    if name.startswith("gguf"):
        pytest.importorskip("gguf", reason="needs gguf")
    work = DecoderWork(GPT, 0)
    whole, stored = Weights(GPT, 0), rounded(work.stored(name))
    assert stored.outside()["positions"].tolist() == whole.outside()["positions"].tolist()
    one, other = whole.layer(1), stored.layer(1)
    for part in one:
        off = np.abs(one[part] - other[part]).max() / np.abs(one[part]).max()
        assert (off == 0) == (one[part].ndim == 1)
        assert off < (0.005 if "8" in name else 0.13)
    table = np.array_equal(stored.outside()["tokens"], whole.outside()["tokens"])
    assert table == (not name.startswith("gguf"))
    assert rounded(work).layer(1)["up.weight"].tolist() == one["up.weight"].tolist()


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # torch's compiler loads its own old parts
@pytest.mark.parametrize(
    "candidate",
    [one for one in CANDIDATES if one.tier == "compiled"],
    ids=lambda one: one.key,
)
def test_the_compiled_decoder_gives_the_reference_logits(candidate: Candidate) -> None:
    assert difference(candidate, DecoderWork(LLAMA, 20, 1, 2)) <= candidate.tolerance


def test_every_candidate_is_named_once() -> None:
    keys = [one.key for one in CANDIDATES]
    assert len(set(keys)) == len(keys)


def test_torch_writes_its_keys_and_values_behind_the_cache() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    from gateformer.baselines.decoders.torch_model import module

    work = DecoderWork(GPT, 9)
    begin, net = start(work), module(work, "cpu", "float32")
    with torch.inference_mode():
        net(torch.from_numpy(work.tokens()))
    for index, block in enumerate(net.blocks):
        np.testing.assert_array_equal(block.keys[0, :, :9], begin.keys[index])
        assert block.keys[0, :, 9].any() and block.values[0, :, 9].any()
    held = sum(one.numel() for one in net.state_dict().values())
    # The table of positions is held whole, and the tied table twice by name; a step reads a row.
    rest = 4 * (held - (GPT.context - 1) * GPT.d_model - GPT.vocab * GPT.d_model + GPT.d_model)
    assert step_bytes(work, plain(4)) == rest


@pytest.mark.parametrize("precision", onnx_model.STORAGE)
def test_an_onnx_file_holds_the_bytes_that_a_step_reads(precision: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx")
    onnx_model.write(tmp_path, Weights(OPT, 0), 5, precision)
    held = (tmp_path / "weights.bin").stat().st_size
    storage = onnx_model.STORAGE[precision]
    read = step_bytes(DecoderWork(OPT, 0), storage) - OPT.kv_elements * storage.cached
    table = 4 * (OPT.vocab - 1) * OPT.d_model
    tensors = OPT.layers * 16 + 6
    assert read + table <= held <= read + table + tensors * onnx_model.ALIGNED


def test_bytes_on_x86_hold_a_sum_a_block() -> None:
    for precision in ("int8", "int4"):
        stored = onnx_model.STORAGE[precision]
        assert onnx_model.packed(precision, "aarch64") == stored
        assert onnx_model.packed(precision, "x86_64").bytes == stored.bytes + 4
    assert onnx_model.packed("fp32", "x86_64") == onnx_model.STORAGE["fp32"]


@pytest.mark.parametrize("precision", gguf_file.STORAGE)
def test_a_gguf_file_reads_back_as_the_weights(precision: str, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="needs gguf")
    weights = Weights(LLAMA, 0)
    gguf_file.write(tmp_path / "m.gguf", weights, precision)
    tensors = {one.name: one for one in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert len(tensors) == LLAMA.layers * 9 + 3
    down = tensors["blk.2.ffn_down.weight"]
    found = gguf.quants.dequantize(down.data, down.tensor_type)
    right = weights.layer(2)["down.weight"]
    coarse = {"f16": 1e-3, "bf16": 5e-3, "q8_0": 5e-3, "q4_0": 0.13}[precision]
    np.testing.assert_allclose(found, right, rtol=0, atol=coarse * np.abs(right).max())
    read = step_bytes(DecoderWork(LLAMA, 0), gguf_file.STORAGE[precision])
    held = sum(int(one.n_bytes) for one in tensors.values())
    table = gguf_file.STORAGE[precision].matrix(LLAMA.vocab - 1, LLAMA.d_model)
    assert held == read + table - LLAMA.kv_elements * 2


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_blocks_are_within_a_step_of_their_weights(bits: int) -> None:
    rows = np.random.default_rng(0).standard_normal((6, 96)).astype(np.float32)
    rows[2] = 0
    whole, scales = onnx_model.quantized(rows, bits)
    assert whole.shape == (6, 3, 32 * bits // 8) and scales.shape == (6, 3)
    if bits == 4:
        whole = np.stack([whole & 15, whole >> 4], axis=-1).reshape(6, 3, 32)
    real = (whole.astype(np.float32) - (1 << bits - 1)) * scales[..., None]
    # The largest takes the whole negative side; one as large on the other side loses a step.
    assert (np.abs(real.reshape(rows.shape) - rows) <= np.abs(scales).repeat(32, 1) * 1.01).all()
    assert not real[2].any()
    signed, factors = openvino_model.quantized(rows, bits, 32)
    real = (signed * factors).reshape(rows.shape)
    near = factors[..., 0].repeat(32, 1) * 0.51
    assert (np.abs(real - rows) <= near).all()


def test_a_failed_load_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gguf", reason="needs gguf")
    llama = pytest.importorskip("llama_cpp", reason="needs llama_cpp")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(llama, "llama_model_load_from_file", lambda path, wanted: None)
    candidate = next(one for one in CANDIDATES if one.runtime == "llama.cpp")
    with pytest.raises(BaselineError, match=r"E851 .*did not load"):
        candidate.open(DecoderWork(GPT, 3), 1)
    assert not list(tmp_path.iterdir())


def test_no_runtime_is_imported_before_it_is_opened() -> None:
    code = (
        "import sys, gateformer.baselines.decoders.candidates\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'openvino', 'llama_cpp', 'gguf')"
        " if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
