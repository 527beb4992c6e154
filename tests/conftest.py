"""What every test shares: seeded hypothesis, and skips that name the piece that is missing."""

import os
from importlib.util import find_spec

import pytest
from hypothesis import settings

from gateformer.quant.tools import find_tool

# qkeras needs Keras 2, which tensorflow gives only if asked before its first import.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

settings.register_profile("seeded", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("seeded")

NEEDS = {
    "tensorflow": ({"tensorflow", "tf_keras", "qkeras"}, set()),
    "brevitas": ({"torch", "brevitas", "onnx", "onnxoptimizer", "onnxruntime", "qonnx"}, set()),
    "onnx": ({"onnx", "onnxruntime"}, set()),
    "icarus": ({"cocotb"}, {"iverilog"}),
    "verilator": ({"cocotb"}, {"verilator", "g++", "make"}),
    "synth": ({"pyosys"}, set()),
    "nextpnr": ({"pyosys"}, {"nextpnr-ecp5", "ecppack", "nextpnr-himbaechel", "gowin_pack"}),
    "hls": ({"hls4ml"}, {"g++"}),
    "baselines": ({"torch", "onnx", "onnxruntime", "openvino"}, {"g++"}),
}
"""Each marker's Python packages and programs."""


@pytest.fixture(autouse=True, scope="session")
def own_kernels(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let torch compile into a folder of its own: kernels of another torch end the process."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path_factory.mktemp("inductor"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers():
        packages, programs = NEEDS.get(marker.name, (set(), set()))
        missing = {name for name in packages if find_spec(name) is None}
        missing |= {name for name in programs if find_tool(name) is None}
        if missing:
            pytest.skip(f"not installed: {', '.join(sorted(missing))}")
