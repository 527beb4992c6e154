"""The generated C++ of a small attention layer, as people read it.

The layer is drawn from primitives, so that it stays what it is when expansions change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from equiv.hls_graphs import Drawing

from gateformer.hw.hls.model import generate
from gateformer.hw.hls.project import HlsSettings, IoType
from gateformer.quant.graph import Graph
from gateformer.quant.ops.cast import Cast, Constant
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.normalize import Normalize, Shift
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import Fixed, Overflow, Rounding
from gateformer.quant.version import __version__

pytestmark = pytest.mark.hls

HERE = Path(__file__).parent

CASES: dict[str, IoType] = {
    "hls_mix_stream.h": "io_stream",
    "hls_mix_parallel.h": "io_parallel",
}


def attention() -> Graph:
    """Two heads over four tokens of two features, keys and values the tokens themselves."""
    to = Drawing("attention")
    x = to.input("x", "fixed<6,3>", 4, 2)
    weight = np.array([[3, -2], [1, 0], [-4, 2], [2, 5]])
    query = to.add(Dense(weight, 2, np.array([1, 0, -1, 2]), 3, (2, 2)), x, name="mix/query/exact")
    query = to.add(Cast(Fixed(True, 6, 2)), query, name="mix/query")
    keys = to.add(Reshape((4, 1, 2)), x, name="mix/keys")
    score = to.add(MatMul("features"), query, keys, name="mix/score/exact")
    offset = to.add(
        Constant(-64 * np.triu(np.ones((4, 4), np.int64), 1)[:, None], 3), name="mix/offset"
    )
    score = to.add(Add(), score, offset, name="mix/score/causal")
    score = to.add(Cast(Fixed(True, 5, 1)), score, name="mix/score")
    table = np.arange(32) ** 2 + 1
    exp = to.add(Lookup(table, 10), score, name="mix/exp")
    total = to.add(Reduce("sum", "features"), exp, name="mix/total")
    weighted = to.add(MatMul("tokens"), exp, keys, name="mix/weighted")
    zeros = to.add(Normalize(), total, name="mix/leading_zeros")
    cut = Shift(Fixed(False, 5, 3), Rounding.TRN, Overflow.WRAP)
    mantissa = to.add(cut, total, zeros, name="mix/mantissa")
    reciprocal = to.add(Lookup(np.arange(32, 64), 6), mantissa, name="mix/reciprocal")
    context = to.add(Mul(), weighted, reciprocal, name="mix/context")
    back = Dense(np.array([[1, 2, 3, 4], [-4, -3, -2, -1]]), 2, np.zeros(2, np.int64), 0, (2,))
    y = to.add(back, context, name="mix/exact")
    return to.graph(to.add(Cast(Fixed(True, 8, 2)), y, name="mix"))


def text(name: str) -> str:
    """The file as it is generated now, without the version."""
    project = generate(attention(), HlsSettings(io_type=CASES[name]), {"mix": "Attention"})
    found = project.files["firmware/layers/mix.h"]
    return found.replace(f"gateformer {__version__}", "gateformer")


@pytest.mark.parametrize("name", CASES)
def test_text_is_as_reviewed(name: str) -> None:
    assert text(name) == (HERE / name).read_text("utf-8")
