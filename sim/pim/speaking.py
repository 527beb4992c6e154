"""A language model on a simulated memory: its words from banks of bits, its clocks from the engine.

Owns ``speak``, ``fit``, ``check`` and ``Speech``. Imports the compiler, the banks' executor, the
timeline and the bulk decoder. One program a token goes through both, so what is timed is what is
computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.device import Device
from gateformer.hw.pim.layout import Floats
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, MismatchError
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim.collect import Collector
from gateformer.sim.pim.data import Executor
from gateformer.sim.pim.generation import OVERLAPPED
from gateformer.sim.pim.memory import ClosedMemory, CommandMemory
from gateformer.sim.pim.splitting import bulk_of
from gateformer.sim.pim.timeline import serial, together
from gateformer.sim.pim.weights import Weights


@dataclass(frozen=True, slots=True)
class Speech:
    """What was said, and when.

    Attributes
    ----------
    prompt, words : tuple of int
        Tokens given, and tokens said behind them.
    logits : array of float32, shape (words, vocab)
        What each word was chosen from.
    clocks : tuple of int
        Clocks of each word, from the choice of the one in front of it to its own.
    prompt_clocks : int
        Clocks of the prompt but for its last token, whose pass gives the first word.
    compiler : Compiler
        What made the programs.
    """

    prompt: tuple[int, ...]
    words: tuple[int, ...]
    logits: Floats
    clocks: tuple[int, ...]
    prompt_clocks: int
    compiler: Compiler


def speak(
    decoder: Decoder,
    weights: Weights,
    device: Device,
    prompt: Sequence[int],
    count: int,
    *,
    mapping: str = "pim-gpt",
    form: str = "bf16",
    overlap: bool = False,
    refresh: Refresh | None = None,
    method: Literal["closed", "command"] = "closed",
    end: int | None = None,
    said: Callable[[int], None] = lambda word: None,
) -> Speech:
    """Generate words: each time the likeliest one, the first of equals.

    Parameters
    ----------
    decoder : Decoder
        The model.
    weights : Weights
        Its numbers, in the format ``form``.
    device : Device
        The memory.
    prompt : sequence of int
        Tokens in front, at least one.
    count : int
        Words at most.
    mapping, form : str
        How the model lies in the memory; format of its matrices.
    overlap : bool
        Whether memory and ASIC work at once.
    refresh : Refresh or None
        How the memory is refreshed; None for all-bank.
    method : {"closed", "command"}
        Time over bursts, or command by command: the same clocks.
    end : int or None
        A word behind which nothing is said.
    said : callable
        Told each word.

    Raises
    ------
    ConfigError, PimError or Problems
        E022 for an empty prompt or more tokens than the model's context; else as the compiler.
    """
    if not prompt:
        raise ConfigError(
            "E022", "setting out of range", layer="prompt", cause="It is empty", fix="Give a word"
        )
    places = len(prompt) + count - 1
    fit(decoder, len(prompt), count)
    compiler = Compiler(
        decoder,
        device,
        mapping,
        tokens=places,
        weights=form,
        parts=OVERLAPPED if overlap else 1,
    )
    compiler.foresee(range(places))
    executor = Executor(compiler, weights)
    memory = (CommandMemory if method == "command" else ClosedMemory)(
        device, refresh or Refresh("all-bank")
    )
    times = Collector(device, together if overlap else serial, memory)
    tokens, logits = list(prompt), []
    for position in range(places):
        chooses = position >= len(prompt) - 1
        program = compiler.token(position, logits=chooses, word=tokens[position])
        times.token(program)
        found = executor.run(program, position, tokens[position])
        if found is None:
            continue
        logits.append(found)
        tokens.append(int(found.argmax()))
        said(tokens[-1])
        if tokens[-1] == end:
            break
    given = len(prompt)
    return Speech(
        prompt=tuple(prompt),
        words=tuple(tokens[given:]),
        logits=np.array(logits),
        clocks=tuple(times.token_clocks[given - 1 :]),
        prompt_clocks=sum(times.token_clocks[: given - 1]),
        compiler=compiler,
    )


def fit(decoder: Decoder, given: int, count: int, *, at_least: bool = False) -> None:
    """Hold a prompt and the words behind it to a model's context.

    Parameters
    ----------
    decoder : Decoder
        The model.
    given : int
        Tokens of the prompt.
    count : int
        Words.
    at_least : bool
        Whether the prompt may have more tokens than that.

    Raises
    ------
    ConfigError
        E022 where they do not fit.
    """
    places, most = given + count - 1, decoder.context
    if places <= most:
        return
    more, free = (" or more" if at_least else ""), most - given + 1
    noun = "token" if given == 1 else "tokens"
    cause = (
        f"The prompt has {given:,}{more} {noun}, and {count:,} are to be generated: but for the "
        f"last, that is {places:,}{more}; {decoder.name}'s context has {most:,}"
    )
    layer, fix = "prompt", "Shorten the prompt"
    if free > 0:
        layer, fix = "tokens", f"Generate {free:,} at most, or shorten the prompt"
    raise ConfigError("E022", "setting out of range", layer=layer, cause=cause, fix=fix)


def check(speech: Speech, weights: Weights) -> Floats:
    """Compute all logits once more without any address, and compare every bit.

    Returns
    -------
    array of float32
        The same logits.

    Raises
    ------
    MismatchError
        E401 where a bit differs.
    """
    bulk = bulk_of(speech.compiler, weights)
    tokens = [*speech.prompt, *speech.words][: len(speech.prompt) + len(speech.words) - 1]
    expected = bulk.logits(tokens)[len(speech.prompt) - 1 :]
    differ = (expected.view(np.uint32) != speech.logits.view(np.uint32)).any(1)
    if differ.any():
        raise MismatchError(
            "E401",
            "simulated values differ from the model",
            layer=f"word {int(differ.argmax())}",
            cause=f"{int(differ.sum())} of {len(differ)} words have other logits",
            fix="Report this with the command",
        )
    return expected
