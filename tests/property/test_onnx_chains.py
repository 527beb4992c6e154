"""Random chains of ONNX nodes: the imported graph's reals are onnxruntime's."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateformer.quant.execute import run_reals
from gateformer.quant.frontends import load

pytestmark = pytest.mark.onnx


def check(seed: int, length: int, batch: int, dynamic: bool, folder: Path) -> None:
    """One chain: reals equal up to float32's own rounding."""
    from property.onnx_chains import Chain, outputs

    rng = np.random.default_rng(seed)
    chain = Chain(rng, batch, dynamic)
    while len(chain.nodes) < length:
        chain.grow()
    model = chain.model()
    path = folder / "chain.onnx"
    path.write_bytes(model.SerializeToString())
    x = rng.normal(size=chain.shapes["x"]).astype(np.float32)
    expected = outputs(model, x)
    graph = load(path)
    (y,) = run_reals(graph, {"x": x.astype(np.float64)}).values()
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(y.reshape(expected.shape), expected, atol=1e-4 * scale, rtol=1e-3)


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
    st.sampled_from([(1, False), (3, False), (2, True)]),
)
def test_reals_are_onnxruntimes(
    tmp_path_factory: pytest.TempPathFactory, seed: int, length: int, batch: tuple[int, bool]
) -> None:
    """Layouts, broadcasts, contractions and reductions in any order."""
    check(seed, length, *batch, tmp_path_factory.mktemp("chain"))
