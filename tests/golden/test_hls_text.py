"""The generated C++ of two small layers, as people read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from equiv.networks import Maker, network

from gateformer.hw.hls.model import generate
from gateformer.hw.hls.project import HlsSettings, IoType
from gateformer.quant.expand import Softmax
from gateformer.quant.version import __version__

pytestmark = pytest.mark.hls

HERE = Path(__file__).parent


def attention(m: Maker) -> None:
    """One head of causal attention over four tokens."""
    x = m.builder.input("x", (4, 2))
    m.builder.output(m.attention(x, x, "mix", heads=1, size=2, causal=True))


def softmax(m: Maker) -> None:
    """A softmax over three logits."""
    x = m.builder.input("x", (3,))
    m.builder.output(m.one(Softmax(), x, name="shares"))


CASES = {
    "hls_attention_stream.h": (attention, "fixed<6,3>", "io_stream", "mix"),
    "hls_softmax_parallel.h": (softmax, "fixed<6,3>", "io_parallel", "shares"),
}


def text(name: str) -> str:
    """The file as it is generated now, without the version."""
    make, kind, io_type, layer = CASES[name]
    settings = HlsSettings(io_type=_io(io_type))
    found = generate(network(make, kind), settings).files[f"firmware/layers/{layer}.h"]
    return found.replace(f"gateformer {__version__}", "gateformer")


def _io(name: str) -> IoType:
    return "io_stream" if name == "io_stream" else "io_parallel"


@pytest.mark.parametrize("name", CASES)
def test_text_is_as_reviewed(name: str) -> None:
    assert text(name) == (HERE / name).read_text("utf-8")
