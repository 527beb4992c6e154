"""The board's description: what it says, and what is refused in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateformer.host.description import Description, Stream
from gateformer.hw.dataflow.design import Port
from gateformer.hw.dataflow.words import Words
from gateformer.quant.errors import BoardError, GateformerError, Problems
from gateformer.quant.types import Fixed, Overflow

IN = Port("s_axis", "x", 16, 4, Fixed(True, 6, 4), 1)
OUT = Port("m_axis", "y", 1, 10, Fixed(True, 12, 4), 1)
MADE = Description("digits", 77, 10.0, 80, 16, (Stream(IN, "dma_0"),), (Stream(OUT, "dma_0"),))

TEXT = """\
{
  "format": 1,
  "name": "digits",
  "identity": 77,
  "clock_ns": 10.0,
  "latency_cycles": 80,
  "interval_cycles": 16,
  "inputs": [
    {
      "stream": "s_axis",
      "value": "x",
      "dma": "dma_0",
      "type": "fixed<6,2>",
      "tokens": 16,
      "features": 4,
      "tokens_per_beat": 1,
      "mask": null,
      "element_bytes": 1,
      "word_bytes": 4,
      "words_per_beat": 1,
      "beats_per_frame": 16,
      "frame_bytes": 64
    }
  ],
  "outputs": [
    {
      "stream": "m_axis",
      "value": "y",
      "dma": "dma_0",
      "type": "fixed<12,8>",
      "tokens": 1,
      "features": 10,
      "tokens_per_beat": 1,
      "mask": null,
      "element_bytes": 2,
      "word_bytes": 8,
      "words_per_beat": 3,
      "beats_per_frame": 1,
      "frame_bytes": 24
    }
  ]
}
"""


def test_the_file_says_all_and_reads_back() -> None:
    assert MADE.to_json() == TEXT
    assert Description.from_json(TEXT) == MADE


@pytest.mark.parametrize("scale", [(0.3,), tuple(np.linspace(0.1, 0.9, 10))])
def test_scales_make_another_format_and_read_back(scale: tuple[float, ...]) -> None:
    told = replace(MADE, outputs=(Stream(replace(OUT, scale=scale), "dma_0"),))
    assert json.loads(told.to_json())["format"] == 2
    assert Description.from_json(told.to_json()) == told


@pytest.mark.parametrize("floor", [Overflow.WRAP, Overflow.SAT])
def test_rounding_down_makes_another_format_and_reads_back(floor: Overflow) -> None:
    (stream, *others) = MADE.inputs
    floored = Stream(replace(stream.port, floor=floor), stream.dma)
    told = replace(MADE, inputs=(floored, *others))
    table = json.loads(told.to_json())
    assert (table["format"], table["inputs"][0]["floor"]) == (2, floor.name)
    assert Description.from_json(told.to_json()) == told


@pytest.mark.parametrize(
    ("tokens", "features", "bits", "lanes", "mask", "word", "words"),
    [
        (1, 1, 1, 1, None, 4, 1),
        (16, 4, 8, 1, None, 4, 1),
        (16, 4, 8, 1, "keep", 8, 1),
        (9, 1, 8, 9, None, 8, 2),
        (9, 1, 24, 3, None, 8, 2),
        (64, 32, 16, 64, "keep", 8, 513),
    ],
)
def test_beats_begin_at_words(
    tokens: int, features: int, bits: int, lanes: int, mask: str | None, word: int, words: int
) -> None:
    layout = Words(Port("s_axis", "x", tokens, features, Fixed(True, bits, 0), lanes, mask))
    assert (layout.word_bytes, layout.words) == (word, words)
    assert layout.beat_bytes >= layout.data_bytes + layout.mask_bytes > layout.beat_bytes - word


def changed(*path: Any, to: Any) -> str:
    table = json.loads(TEXT)
    *way, last = path
    inner = table
    for key in way:
        inner = inner[key]
    inner[last] = to
    return json.dumps(table)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "It is no JSON"),
        ("[" * 100_000, "It is no JSON"),
        ("[]", "It is of no format up to 2"),
        (changed("format", to=3), "It is of no format up to 2"),
        (changed("name", to=3), "'name' is no text"),
        (changed("identity", to=-1), "'identity' is no number"),
        (changed("identity", to=True), "'identity' is no number"),
        (changed("clock_ns", to=float("nan")), "'clock_ns' is no number"),
        (changed("latency_cycles", to=1.5), "'latency_cycles' is no number"),
        (changed("inputs", to=[]), "'inputs' is no list of streams"),
        (changed("inputs", 0, "type", to="int8"), "inputs[0]: ConfigError E020"),
        (changed("inputs", 0, "tokens", to=0), "inputs[0]: ValueError 0 is no count"),
        (changed("inputs", 0, "dma", to=None), "inputs[0]: ValueError None is no text"),
        (changed("inputs", 0, to=7), "inputs[0]: TypeError"),
        (changed("inputs", 0, "scale", to=[0.0]), "inputs[0]: ValueError a scale is no positive"),
        (changed("inputs", 0, "scale", to=[1.0, 2.0]), "inputs[0]: ValueError 2 scales do not"),
        (changed("inputs", 0, "scale", to=3), "inputs[0]: TypeError"),
        (changed("inputs", 0, "floor", to="UP"), "inputs[0]: KeyError 'UP'"),
        (changed("outputs", 0, to={}), "outputs[0]: KeyError 'tokens'"),
        (changed("outputs", 0, "frame_bytes", to=16), "outputs[0]: 'frame_bytes' disagree"),
    ],
)
def test_malformed_files_are_refused(text: str, cause: str) -> None:
    with pytest.raises(BoardError) as caught:
        Description.from_json(text, "digits.json")
    assert caught.value.code == "E907"
    assert caught.value.cause.startswith(cause), caught.value.cause


def test_all_faults_of_a_file_come_at_once() -> None:
    table = json.loads(TEXT)
    table["name"], table["clock_ns"], table["inputs"], table["outputs"] = 1, "10", 2, [3, {}]
    with pytest.raises(Problems) as caught:
        Description.from_json(json.dumps(table))
    assert len(caught.value.errors) == 5


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GateformerError) as caught:
        Description.load(tmp_path / "none.json")
    assert caught.value.code == "E906"
    assert "none.json" in str(caught.value)
