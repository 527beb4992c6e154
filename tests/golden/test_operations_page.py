"""docs/operations.md is what the registries say, and every primitive with RTL is simulated."""

from __future__ import annotations

import re
from pathlib import Path

from equiv.networks import NETWORKS, network

from gateformer.hw.operations import TEMPLATES, page, rtl
from gateformer.quant.ops.base import REGISTRY, Primitive

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/operations.md"


def test_page_is_the_registries() -> None:
    assert PAGE.read_text("utf-8") == page(), (
        "python -m gateformer.hw.operations > docs/operations.md"
    )


def test_every_cell_is_implemented_or_says_why() -> None:
    rows = [line.strip("| \n").split(" | ") for line in page().splitlines() if "`" in line]
    assert len(rows) >= 26
    for name, *cells in rows:
        assert len(cells) == 5, name
        assert all(cell and (not cell.startswith("no") or ": " in cell) for cell in cells), name


def test_every_template_that_the_page_names_is_there() -> None:
    text = "".join(path.read_text("utf-8") for path in (ROOT / "hw/hls/templates").glob("*.h"))
    for named in TEMPLATES.values():
        for template in re.findall(r"gf::(\w+)", named):
            assert re.search(rf"\bvoid {template}\(", text), template


def test_every_primitive_is_simulated_in_some_network() -> None:
    seen = {
        type(node.op)
        for make in NETWORKS.values()
        for mode in ("direct", "max")
        for node in network(make, softmax=mode).nodes
    }
    wanted = {
        op
        for op in REGISTRY.values()
        if issubclass(op, Primitive)
        and op.__module__.startswith("gateformer.")
        and hasattr(op, "__dataclass_fields__")
        and not rtl(op).startswith("no")
    }
    assert wanted - seen == set()
