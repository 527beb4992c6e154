"""Targets: what each hls4ml backend needs of this package.

Owns ``Target`` and ``TARGETS``. Imports the dialects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateformer.hw.hls.dialect import Dialect, Xilinx
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
)
"""Templates that every vendor compiles."""


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
    """

    backend: str
    dialect: Dialect
    headers: Mapping[str, str]


_XILINX = {"gf_types.h": "gf_types_ap.h", "gf_io.h": "gf_io.h"}
TARGETS: dict[Backend, Target] = {
    "vitis": Target("Vitis", Xilinx(), _XILINX),
    "vivado": Target("Vivado", Xilinx(), _XILINX),
}
"""Backends that can be generated."""
