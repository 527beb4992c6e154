"""Random chains of ONNX nodes: the imported graph's reals are onnxruntime's."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateformer.quant.calibrate import calibrate
from gateformer.quant.execute import run, run_reals
from gateformer.quant.frontends import load
from gateformer.quant.lower import lower
from gateformer.quant.passes.fold_scales import fold_scales

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


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_integers_follow_the_reals(
    tmp_path_factory: pytest.TempPathFactory, seed: int, length: int
) -> None:
    """Every chain folds, calibrates and lowers; integers are near where outputs vary at all."""
    from property.onnx_chains import Chain

    rng = np.random.default_rng(seed)
    chain = Chain(rng, 1, dynamic=False)
    while len(chain.nodes) < length:
        chain.grow()
    path = tmp_path_factory.mktemp("chain") / "chain.onnx"
    path.write_bytes(chain.model().SerializeToString())
    graph = fold_scales(load(path))
    (name,) = graph.outputs
    x = rng.normal(size=(30, *chain.shapes["x"][1:]))
    real = run_reals(load(path), {"x": x})[name]
    scale = graph.scales.get(name, 1.0)
    found = run_reals(graph, {"x": x / graph.scales.get("x", 1.0)})[name] * scale
    np.testing.assert_allclose(found, real, rtol=1e-6, atol=1e-6 * max(1.0, np.abs(real).max()))
    lowered = lower(graph, calibrate(graph, {"x": x}).types)
    raw = lowered.values["x"].fixed.from_real(x / graph.scales.get("x", 1.0))
    whole = lowered.values[name].fixed.to_real(run(lowered, {"x": raw})[name]) * scale
    assert np.abs(whole - real).mean() <= 0.1 * max(0.05, real.std())
