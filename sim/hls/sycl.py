"""What a oneAPI project needs of SYCL for plain g++: stand-ins for pipes and tasks, and ac_types.

Owns ``emulation`` and ``interface``. Imports the project and the errors.
"""

from __future__ import annotations

import re
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from gateformer.hw.hls.project import Project
from gateformer.quant.errors import ToolError

_FORWARDED = (
    "sycl.hpp",
    "ext/intel/ac_types/ac_fixed.hpp",
    "ext/intel/ac_types/ac_fixed_math.hpp",
    "ext/intel/ac_types/ac_int.hpp",
    "ext/intel/experimental/task_sequence.hpp",
    "ext/intel/fpga_extensions.hpp",
)
"""Headers that hls4ml's oneAPI sources include, below sycl/."""


def emulation(folder: str) -> dict[str, str]:
    """Return headers by path below a folder: SYCL's names, and hls4ml's copy of ac_types.

    Raises
    ------
    ToolError
        E505 without hls4ml.
    """
    spec = find_spec("hls4ml")
    if spec is None or not spec.submodule_search_locations:
        raise ToolError(
            "E505",
            "hls4ml is not installed",
            cause="It brings the ac_types headers",
            fix="pip install hls4ml==1.3.0",
        )
    types = Path(spec.submodule_search_locations[0], "templates/quartus/ac_types")
    ours = resources.files("gateformer.sim.hls").joinpath("bench/gf_sycl.h").read_text("utf-8")
    headers = {f"{folder}/gf_sycl.h": ours}
    headers |= {f"{folder}/sycl/{name}": '#include "gf_sycl.h"\n' for name in _FORWARDED}
    for name in ("ac_fixed.h", "ac_int.h"):
        headers[f"{folder}/{name}"] = (types / name).read_text("utf-8")
    return headers


def interface(project: Project) -> tuple[str, list[str]]:
    """Return the kernel's class, and its pipes: inputs, then outputs."""
    text = project.files[f"src/firmware/{project.top}.h"]
    kernel = re.search(r"^struct (\w+) \{", text, re.MULTILINE)
    assert kernel is not None, "hls4ml declares the kernel"
    return kernel[1], re.findall(r"^using (\w+Pipe) = ", text, re.MULTILINE)
