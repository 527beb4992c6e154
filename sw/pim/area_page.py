"""The page of the Verilog's area: prose from a template, numbers from yosys.

Owns ``page`` and ``measure``. Imports the synthesis. ``python -m gateformer.pim.area_page
docs/pim_area.md`` writes it; the same sources and the same yosys give the same bytes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateformer.flow.files import write_whole
from gateformer.hw.pim.device import load
from gateformer.pages import filled
from gateformer.pim.area import Area, Library, sky130, synthesize
from gateformer.pim.replication_page import markdown
from gateformer.pim.screen import Block, percent
from gateformer.toolchains.yosys import yosys_version

OPERATORS = ("gf_pim_fp32_add", "gf_pim_fp32_multiply", "gf_pim_bf16_multiply")
UNITS = {
    "gf_pim_elementwise": "sums, products, weighted and rescaled sums, ReLU",
    "gf_pim_rotary": "rotary positions",
    "gf_pim_activation": "GELU, SiLU",
    "gf_pim_softmax": "softmax, shares of attention",
    "gf_pim_norm": "LayerNorm, RMSNorm",
    "gf_pim_quantize": "quantization to INT8",
    "gf_pim_maximum": "maximum",
    "gf_pim_select": "columns of the largest sums",
    "gf_pim_merge": "shares of attention merged",
    "gf_pim_asic_sequencer": "operations and addresses",
}
INNER = ("gf_pim_exp", "gf_pim_reciprocal", "gf_pim_rsqrt", "gf_pim_gate", "gf_pim_gelu_argument",
         "gf_pim_total")  # fmt: skip
MEMORY = "gf_pim_sram"
SCALE, SCALED_NM = 0.072, 32
"""Area of a circuit of 130 nm at 32 nm: Stillmaker and Baas 2017, 10.1016/j.vlsi.2017.02.002, as
two programs that cite it have its table. 28 nm is not in it."""
ASSUMED = {"asic_mm2": 0.64, "asic_mw": 305, "macs_mw": 149, "node_nm": 28}
"""What is assumed to be the PIM-GPT paper's (arXiv 2310.09385); recalled, not read there."""


@dataclass(frozen=True, slots=True)
class Mac:
    """A bank's multipliers and accumulator, one way of building them.

    Attributes
    ----------
    label : str
        What it is.
    top : str
        The module.
    parameters : mapping of str to int
        Of the module.
    """

    label: str
    top: str
    parameters: Mapping[str, int]


MACS = (
    Mac("16 x BF16, FP32 accumulator", "gf_pim_mac", {"LANES": 16, "STAGES": 0}),
    Mac("the same, 9 registers deep", "gf_pim_mac", {"LANES": 16, "STAGES": 9}),
    Mac("32 x INT8, INT32 accumulator", "gf_pim_int_mac", {"LANES": 32, "WEIGHT_BITS": 8}),
    Mac("64 x INT4, INT32 accumulator", "gf_pim_int_mac", {"LANES": 64, "WEIGHT_BITS": 4}),
)


def measure(work: Path) -> tuple[dict[str, Area], Area]:
    """Return each MAC's area and the ASIC's, its memory left out."""
    macs = {
        mac.label: synthesize(mac.top, work / str(i), parameters=mac.parameters, kept=OPERATORS)
        for i, mac in enumerate(MACS)
    }
    kept = (*OPERATORS, *UNITS, *INNER)
    return macs, synthesize("gf_pim_asic", work / "asic", kept=kept, left_out=[MEMORY])


def page(work: Path) -> str:
    """Return the page's text; yosys runs in the folder."""
    library, (macs, asic) = sky130(), measure(work)
    device, own = load("pim-gpt"), load("pim-rtl").asic
    if own is None:
        raise ValueError("pim-rtl has no ASIC")
    banks = device.organization.banks
    first = macs[MACS[0].label]
    return filled(
        "pim",
        "area",
        library=library,
        yosys=yosys_version(),
        sram_bytes=own.sram_bytes,
        lanes=own.lanes,
        banks=banks,
        channels=device.organization.channels,
        scale=SCALE,
        scaled_nm=SCALED_NM,
        assumed=ASSUMED,
        lane={name: f"{first.parts[name] / 16:,.0f}" for name in first.parts},
        multiply=f"{asic.inside['gf_pim_fp32_multiply']:,}",
        bf16_multiply=f"{asic.inside['gf_pim_bf16_multiply']:,}",
        add=f"{asic.inside['gf_pim_fp32_add']:,}",
        tables={
            "macs": markdown(_macs(macs, library, banks)),
            "asic": markdown(_asic(asic, library)),
            "beside": markdown(_beside(first, asic, banks, device.organization.channels)),
        },
    )


def _macs(macs: Mapping[str, Area], library: Library, banks: int) -> Block:
    heads = ("MAC of a bank", "cells", "flip-flops", "mm2", "NAND2", "flip-flops' area",
             f"mm2 of {banks} banks")  # fmt: skip
    rows = tuple(
        (
            label,
            f"{found.cells:,}",
            f"{found.registers:,}",
            f"{found.um2 / 1e6:.3f}",
            f"{found.um2 / library.unit_um2:,.0f}",
            percent(found.register_um2 / found.um2),
            f"{banks * found.um2 / 1e6:.2f}",
        )
        for label, found in macs.items()
    )
    return Block("MACs", heads, rows)


def _asic(found: Area, library: Library) -> Block:
    heads = ("unit", "of", "mm2", "NAND2", "share")
    own = {"rest": found.um2 - sum(found.parts.values()), "all": found.um2}
    areas = {name: found.parts[name] for name in UNITS} | own
    rows = tuple(
        (
            name,
            UNITS.get(name, "without the memory" if name == "all" else "choice between the units"),
            f"{area / 1e6:.3f}",
            f"{area / library.unit_um2:,.0f}",
            percent(area / found.um2),
        )
        for name, area in areas.items()
    )
    return Block("ASIC", heads, rows)


def _beside(mac: Area, asic: Area, banks: int, channels: int) -> Block:
    heads = ("", "here, 130 nm", f"here, scaled to {SCALED_NM} nm",
             f"the paper's, {ASSUMED['node_nm']} nm: assumed")  # fmt: skip

    def mm2(area: float) -> tuple[str, str]:
        return f"{area / 1e6:.2f} mm2", f"{area * SCALE / 1e6:.3f} mm2"

    rows = (
        ("ASIC's area", *mm2(asic.um2), f"{ASSUMED['asic_mm2']} mm2"),
        ("ASIC's power", None, None, f"{ASSUMED['asic_mw']} mW"),
        (f"MACs' area, a channel ({banks} banks)", *mm2(banks * mac.um2), None),
        ("MACs' power, a channel", None, None, f"{ASSUMED['macs_mw']} mW"),
        (f"MACs' area, {channels} channels", *mm2(channels * banks * mac.um2), None),
    )
    return Block("Beside the paper", heads, rows)


def main() -> int:
    """Write the page to the file that the command names."""
    if len(sys.argv) != 2:
        print("usage: python -m gateformer.pim.area_page FILE", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as work:
        write_whole(Path(sys.argv[1]), page(Path(work)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
