"""Targets: what each hls4ml backend needs of this package.

Owns ``Target`` and ``TARGETS``. Imports the dialects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateformer.hw.hls.dialect import Dialect, Xilinx
from gateformer.hw.hls.intel import Intel, finished, widen
from gateformer.hw.hls.oneapi import Sycl, plain_weights
from gateformer.hw.hls.project import Backend

COMMON = (
    "gf.h",
    "gf_arithmetic.h",
    "gf_cast.h",
    "gf_layout.h",
    "gf_lookup.h",
    "gf_matmul.h",
    "gf_normalize.h",
    "gf_reduce.h",
    "gf_tree.h",
    "gf_weights.h",
)
"""Templates that every vendor compiles."""


Texts = Mapping[str, str]


def _keep_model(model: Any) -> None:
    """Nothing is left to do."""


def _keep_texts(texts: Texts, top: str, depths: Mapping[str, int]) -> Texts:
    """Nothing is left to do."""
    return texts


@dataclass(frozen=True, slots=True)
class Target:
    """A backend of hls4ml.

    Attributes
    ----------
    backend : str
        Its name in hls4ml.
    dialect : Dialect
        How loops, arrays and streams are said.
    headers : mapping of str to str
        Header in the project -> its file in templates/, for what vendors say differently.
    prepare : callable
        Takes the hls4ml model before it is written.
    finish : callable
        Takes hls4ml's files, the top function and the beats of each stream between layers;
        returns the files.
    root : str
        Folder of the sources inside the project.
    """

    backend: str
    dialect: Dialect
    headers: Mapping[str, str]
    prepare: Callable[[Any], None] = _keep_model
    finish: Callable[[Texts, str, Mapping[str, int]], Texts] = _keep_texts
    root: str = ""


_XILINX = {"gf_types.h": "gf_types_ap.h", "gf_io.h": "gf_io.h"}
_INTEL = {"gf_types.h": "gf_types_ac.h", "gf_io.h": "gf_io_ac.h"}
_SYCL = {"gf_types.h": "gf_types_ac.h", "gf_io.h": "gf_io_sycl.h"}
TARGETS: dict[Backend, Target] = {
    "vitis": Target("Vitis", Xilinx(), _XILINX),
    "vivado": Target("Vivado", Xilinx(), _XILINX),
    "quartus": Target("Quartus", Intel(), _INTEL, widen, finished),
    "oneapi": Target("oneAPI", Sycl(), _SYCL, widen, plain_weights, "src/"),
}
"""Backends that can be generated."""
