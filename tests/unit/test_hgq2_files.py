"""HGQ2's files, changed by hand: what is refused, with which code, and what has one meaning."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from gateformer.quant.errors import GateformerError, Problems
from gateformer.quant.execute import run_reals
from gateformer.quant.expand import Quantize, QuantizeEach
from gateformer.quant.frontends import load
from gateformer.quant.types import Overflow, Rounding

GOLDEN = Path(__file__).parents[1] / "golden" / "hgq2"
Layers = dict[str, dict[str, Any]]


def changed(
    path: Path,
    name: str,
    configure: Callable[[Layers], None] | None = None,
    weights: Callable[[h5py.File], None] | None = None,
) -> Path:
    """A golden model with another configuration or other weights."""
    with zipfile.ZipFile(GOLDEN / f"{name}.keras") as file:
        parts = {item: file.read(item) for item in file.namelist()}
    if configure is not None:
        config = json.loads(parts["config.json"])
        configure({layer["name"]: layer for layer in config["config"]["layers"]})
        parts["config.json"] = json.dumps(config).encode()
    if weights is not None:
        held = io.BytesIO(parts["model.weights.h5"])
        with h5py.File(held, "r+") as file:
            weights(file)
        parts["model.weights.h5"] = held.getvalue()
    with zipfile.ZipFile(path / "changed.keras", "w") as file:
        for item, content in parts.items():
            file.writestr(item, content)
    return path / "changed.keras"


def settings(layer: str, key: str, **values: object) -> Callable[[Layers], None]:
    """Change a quantizer's configuration."""

    def apply(layers: Layers) -> None:
        layers[layer]["config"][key]["config"].update(values)

    return apply


def config(layer: str, **values: object) -> Callable[[Layers], None]:
    return lambda layers: layers[layer]["config"].update(values)


def bits(path: str, value: object) -> Callable[[h5py.File], None]:
    """Put something else in a dataset's place."""

    def apply(file: h5py.File) -> None:
        held = file[path][()]
        del file[path]
        if value is not None:
            file[path] = np.asarray(value(held) if callable(value) else value)

    return apply


DENSE = "layers/q_dense"
BAD_CONFIGS = {
    "float": (settings("dense", "kq_conf", q_type="float"), "E109", "kbi or kif"),
    "scaler": (settings("dense", "kq_conf", scaler=0.3), "E109", "has a 'scaler'"),
    "affine": (settings("dense", "iq_conf", affine=[2.0, 1.0]), "E109", "has a 'affine'"),
    "mapper": (settings("dense", "iq_conf", bw_mapper={}), "E109", "has a 'bw_mapper'"),
    "rounding": (settings("dense", "kq_conf", round_mode="RND_ZERO"), "E109", "RND_ZERO"),
    "overflow": (settings("dense", "kq_conf", overflow_mode="WRAP_SM"), "E109", "WRAP_SM"),
    "type": (settings("dense", "kq_conf", q_type=7), "E103", "not a string"),
    "no quantizer": (config("dense", kq_conf=None), "E103", "not a quantizer"),
    "code": (config("bent", activation={"class_name": "f"}), "E102", "its function is"),
    "no such function": (config("bent", activation="mish"), "E102", "Use one of"),
    "no table's type": (config("bent", enable_oq=False), "E102", "no output quantizer"),
    "bare activation": (config("dense", activation="tanh"), "E102", "QUnaryFunctionLUT"),
    "axis": (config("shares", axes=[1]), "E102", "softmax over axes"),
    "equation": (config("split", equation="bti,tihk->bthk"), "E102", "no dense layer"),
}


def said(path: Path) -> tuple[set[str], str]:
    """Codes and text of what a file's import ends in."""
    with pytest.raises((GateformerError, Problems)) as raised:
        load(path)
    found = raised.value
    errors = found.errors if isinstance(found, Problems) else [found]
    return {error.code for error in errors}, str(found)


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_configurations_without_a_meaning(case: str, tmp_path: Path) -> None:
    change, code, text = BAD_CONFIGS[case]
    codes, message = said(changed(tmp_path, "saturated", change))
    assert codes == {code}
    assert text in message


BAD_BITS = {
    "missing": (bits(f"{DENSE}/kq/quantizer/vars/0", None), "E104"),
    "nan": (bits(f"{DENSE}/kq/quantizer/vars/0", np.nan), "E104"),
    "empty": (bits(f"{DENSE}/kq/quantizer/vars/0", np.zeros((0, 5))), "E104"),
    "wide": (bits(f"{DENSE}/kq/quantizer/vars/0", lambda b: b + 1e9), "E109"),
    "far": (bits(f"{DENSE}/kq/quantizer/vars/1", lambda i: i - 500.0), "E109"),
    "sign": (bits(f"{DENSE}/kq/quantizer/vars/2", lambda k: k + 1), "E112"),
    "shape": (bits(f"{DENSE}/kq/quantizer/vars/0", np.ones((2, 3))), "E112"),
    "kernel": (bits(f"{DENSE}/vars/0", np.ones((8, 6))), "E104"),
    "text": (bits(f"{DENSE}/kq/quantizer/vars/0", b"x"), "E104"),
}


@pytest.mark.parametrize("case", BAD_BITS)
def test_bits_that_are_none(case: str, tmp_path: Path) -> None:
    change, code = BAD_BITS[case]
    codes, message = said(changed(tmp_path, "saturated", weights=change))
    assert codes == {code}
    assert "'dense'" in message


def test_all_faults_at_once(tmp_path: Path) -> None:
    def both(layers: Layers) -> None:
        layers["held"]["registered_name"] = "hgq>QGRU"
        layers["held"]["class_name"] = "QGRU"
        layers["dense"]["config"]["activation"] = "gelu"

    codes, message = said(changed(tmp_path, "saturated", both))
    assert codes == {"E102"}
    assert "'held'" in message
    assert "'dense'" in message


def test_a_table_of_several_types_is_refused(tmp_path: Path) -> None:
    def spread(file: h5py.File) -> None:
        place = "layers/q_unary_function_lut/oq/quantizer/vars/0"
        del file[place]
        file[place] = np.arange(8.0).reshape(1, 1, 8) + 1
        for number in (1, 2):
            held = file[f"layers/q_unary_function_lut/oq/quantizer/vars/{number}"][()]
            del file[f"layers/q_unary_function_lut/oq/quantizer/vars/{number}"]
            file[f"layers/q_unary_function_lut/oq/quantizer/vars/{number}"] = np.broadcast_to(
                held, (1, 1, 8)
            )

    codes, message = said(changed(tmp_path, "saturated", weights=spread))
    assert codes == {"E109"}
    assert "allow_heterogeneous_table" in message


def test_elements_without_bits_are_zero(tmp_path: Path) -> None:
    def none(file: h5py.File) -> None:
        bits(f"{DENSE}/kq/quantizer/vars/0", lambda b: 0 * b)(file)
        bits(f"{DENSE}/kq/quantizer/vars/2", lambda k: 0 * k)(file)
        bits(f"{DENSE}/vars/1", lambda b: 0 * b)(file)

    graph = load(changed(tmp_path, "saturated", weights=none))
    x = np.random.default_rng(0).normal(size=(5, 4, 6))
    assert not run_reals(graph, {"x": x}, keep=True)["dense"].any()


def test_alike_elements_become_one_type() -> None:
    graph = load(GOLDEN / "saturated.keras")
    ops = {node.output: node.op for node in graph.nodes}
    held, dense = ops["held"], ops["dense/input"]
    assert isinstance(held, QuantizeEach)
    assert (held.rounding, held.overflow) == (Rounding.RND_CONV, Overflow.SAT)
    assert held.width.shape == (4, 6)
    assert isinstance(dense, Quantize)
    assert dense.overflow is Overflow.SAT_SYM


def test_a_model_of_hgq2_is_not_read_as_one_of_qkeras(tmp_path: Path) -> None:
    """Both have a QDense; the package that registered it tells them apart."""

    def anonymous(layers: Layers) -> None:
        layers["dense"]["registered_name"] = "QDense"

    graph = load(changed(tmp_path, "saturated", anonymous))
    assert "dense/input" not in graph.values
    assert "dense/input" in load(GOLDEN / "saturated.keras").values
