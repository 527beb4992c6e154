"""How long a generation of 1,024 tokens takes to compile, layout included, in CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.device import load
from gateformer.quant import models

Benchmark = Callable[..., Any]
TOKENS = 1024
MOST = 0.5
"""Seconds that gpt3-xl may take."""


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("name", models.names())
def test_generation(benchmark: Benchmark, name: str, parts: int) -> None:
    decoder, memory = models.load(name), load("pim-gpt")

    def generation() -> float:
        start = time.process_time()
        compiler = Compiler(decoder, memory, tokens=TOKENS, parts=parts)
        for position in range(TOKENS):
            compiler.token(position)
        return time.process_time() - start

    seconds = benchmark.pedantic(generation, rounds=3)
    if name == "gpt3-xl":
        assert seconds < MOST
