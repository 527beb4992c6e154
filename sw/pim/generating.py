"""``pim generate``: a real language model's words on a simulated memory, with their clocks.

Owns ``generate``. Imports the model's file, its vocabulary, the simulation and the tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gateformer.hw.pim import device as devices
from gateformer.pim.screen import Answer, Block
from gateformer.pim.waiting import waiting
from gateformer.quant import language
from gateformer.quant.errors import ConfigError
from gateformer.quant.frontends import gguf_file
from gateformer.quant.frontends.gguf_vocabulary import Vocabulary, Words
from gateformer.quant.words import counted
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim.speaking import Speech, check, fit, speak
from gateformer.sim.pim.weights import of_language

if TYPE_CHECKING:
    from gateformer.hw.pim.device import Policy

CHAT = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
"""What stands around a question to a model that was trained on ChatML."""


def generate(
    model: Path,
    prompt: str,
    *,
    tokens: int = 64,
    weights: str = "bf16",
    device: str = "pim-gpt",
    channels: int | None = None,
    mapping: str = "pim-gpt",
    refresh: Policy = "all-bank",
    overlap: bool = False,
    method: Literal["closed", "command"] = "closed",
    chat: bool = False,
    checked: bool = False,
) -> Answer:
    """Generate, and check the logits where asked for.

    Parameters
    ----------
    model : Path
        A GGUF file.
    prompt : str
        Text in front.
    tokens : int
        Words at most: the model may end its text before.
    weights, device, channels, mapping, refresh, overlap, method
        As for ``pim simulate``.
    chat : bool
        Whether the prompt is a question, to be put between ChatML's marks.
    checked : bool
        Whether all logits are computed once more, without any address, and compared bit by bit;
        and put beside float32.

    Raises
    ------
    DataError
        E602 for characters of the prompt that the model's vocabulary lacks.
    ConfigError
        E022 where prompt and words exceed the model's context; E005 for marks that it lacks.
    """
    memory = devices.load(device)
    if channels is not None:
        memory = devices.with_(memory, channels=channels)
    with waiting(f"reading {model.name}"):
        found = gguf_file.load(model)
        words = Words(found.vocabulary)
        text = _asked(prompt, found.vocabulary) if chat else prompt
        least = words.least(text)
        if least > found.decoder.context:  # no need to cut megabytes into tokens
            fit(found.decoder, least, tokens, at_least=True)
        words.check(prompt)  # before marks go round it: a message counts the user's own columns
        given = words.encode(text)
        fit(found.decoder, len(given), tokens)
        numbers = of_language(found, weights)
    with waiting(f"{found.decoder.name}: {counted(tokens, 'token')}", tokens) as step:
        speech = speak(
            found.decoder,
            numbers,
            memory,
            given,
            tokens,
            mapping=mapping,
            form=weights,
            overlap=overlap,
            refresh=Refresh(refresh),
            method=method,
            end=found.vocabulary.end,
            said=lambda _: step(1),
        )
    text = words.decode(speech.words)
    data: dict[str, Any] = {
        "model": found.decoder.name,
        "weights": weights,
        "device": memory.name,
        "mapping": mapping,
        "prompt": prompt,
        "text": text,
        "prompt_tokens": list(speech.prompt),
        "tokens": list(speech.words),
        "token_clocks": list(speech.clocks),
        "prompt_clocks": speech.prompt_clocks,
        "clock_ns": memory.clock_ns,
    }
    blocks = [_times(speech, memory.clock_ns)]
    notes = [text.strip("\n") or "(no text)"]
    if checked:
        with waiting("checking the logits"):
            check(speech, numbers)
            data["check"] = _beside(speech, found)
        blocks.append(_checked(data["check"]))
    return Answer(data, tuple(blocks), tuple(notes))


def _asked(prompt: str, vocabulary: Vocabulary) -> str:
    missing = {"<|im_start|>", "<|im_end|>"} - set(vocabulary.tokens)
    if missing:
        raise ConfigError(
            "E005",
            "model without ChatML's marks",
            layer="--chat",
            cause=f"It knows no {min(missing)}",
            fix="Leave --chat away, and write the model's own marks into the prompt",
        )
    return prompt.join(CHAT)


def _times(speech: Speech, clock_ns: float) -> Block:
    clocks = np.array(speech.clocks)
    mean = float(clocks.mean())
    rows = (
        ("tokens of the prompt", len(speech.prompt)),
        ("tokens generated", len(speech.words)),
        ("clocks a token, mean", mean),
        ("clocks a token, least", int(clocks.min())),
        ("clocks a token, most", int(clocks.max())),
        ("latency of a token, ms", mean * clock_ns * 1e-6),
        ("tokens a second", 1e9 / (mean * clock_ns)),
        ("clocks of the prompt before them", speech.prompt_clocks),
    )
    return Block(f"{speech.compiler.decoder.name}, simulated", ("figure", "value"), rows)


def _beside(speech: Speech, model: gguf_file.Language) -> dict[str, Any]:
    """Return how far the logits are from float32's, after the same tokens."""
    tokens = [*speech.prompt, *speech.words][: len(speech.prompt) + len(speech.words) - 1]
    exact = language.logits(model, tokens)[len(speech.prompt) - 1 :]
    apart = speech.logits.astype(np.float64) - exact
    return {
        "words": len(speech.words),
        "logits": int(speech.logits.size),
        "equal": True,
        "float32_largest": float(np.abs(exact).max()),
        "error_largest": float(np.abs(apart).max()),
        "error_rms": float(np.sqrt(np.square(apart).mean())),
        "same_choice": int((exact.argmax(1) == speech.logits.argmax(1)).sum()),
    }


def _checked(found: dict[str, Any]) -> Block:
    rows = (
        ("logits that equal the plain decoder's in every bit", found["logits"]),
        ("largest logit in float32", found["float32_largest"]),
        ("largest difference from float32", found["error_largest"]),
        ("root of the mean square difference", found["error_rms"]),
        ("words that float32 would choose too", f"{found['same_choice']} of {found['words']}"),
    )
    return Block("Checked", ("figure", "value"), rows)
