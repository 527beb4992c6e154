"""Whole designs: what is predicted before synthesis against what yosys makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from equiv.networks import NETWORKS, network

from gateformer.hw.dataflow.plan import plan
from gateformer.hw.rtl.emit import emit
from gateformer.hw.settings import Settings
from gateformer.toolchains.yosys import synthesize_modules

pytestmark = [pytest.mark.slow, pytest.mark.synth]


@pytest.mark.parametrize("threes", [False, True])
@pytest.mark.parametrize(
    "name", ["layer_norm", "gelu", "cross", "masked_causal", "eight_heads", "deep"]
)
def test_prediction_and_logic(name: str, threes: bool, tmp_path: Path) -> None:
    """Adder graphs are solved here, as they are once cached."""
    pytest.importorskip("pyosys")
    settings = Settings(logic_ns=3.5, joint=threes, ternary=threes)
    planned = plan(network(NETWORKS[name]), settings)
    rtl = emit(planned)
    modules = dict.fromkeys([*rtl.stages, rtl.core, rtl.top], 1)
    found = synthesize_modules(rtl.files, modules, tmp_path).metrics()
    for part in ("lut", "ff", "dsp", "bram"):
        counted = found[f"synth.{part}"]
        assert getattr(planned.design.cost, part) == pytest.approx(counted, rel=0.15), part
    assert found["synth.logic_ns"] <= settings.logic_ns
