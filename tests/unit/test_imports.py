"""The house's order: imports go down only, in no circle, and heavy frameworks stay lazy."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("quant", "hw", "sim", "sw")
HEAVY = {
    "alkaid",
    "brevitas",
    "cocotb",
    "cocotbext",
    "da4ml",
    "fastjet",
    "hls4ml",
    "keras",
    "matplotlib",
    "onnxruntime",
    "pyosys",
    "pythia8mc",
    "pyverilog",
    "qkeras",
    "sklearn",
    "tensorflow",
    "tf_keras",
    "torch",
}
INSIDE_SIMULATOR = {"cocotb", "cocotbext"}
"""What bench modules of sim/rtl and sim/pim/rtl may import at their top: simulators load them."""

SOURCES = {path: floor for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))}


def name_of(path: Path) -> str:
    """Return a source file's module name."""
    floor, *inside = path.relative_to(ROOT).with_suffix("").parts
    parts = ["gateformer", *([] if floor == "sw" else [floor]), *inside]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in SOURCES}


def floor_of(module: str) -> int:
    """Return how high a module stands."""
    second = module.split(".")[1] if "." in module else ""
    return FLOORS.index(second) if second in FLOORS[:3] else FLOORS.index("sw")


def type_checking(node: ast.AST) -> bool:
    """Tell whether a node is ``if TYPE_CHECKING:``, which never runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def statements(tree: ast.AST, *, everywhere: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield import statements: all of them, or those that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or type_checking(node)
        if everywhere or not inner:
            yield from statements(node, everywhere=everywhere)


def imported(path: Path, *, everywhere: bool) -> set[str]:
    """Return the modules that a file imports."""
    found: set[str] = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8")), everywhere=everywhere):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = whole & MODULES.keys()
            found |= modules
            if len(modules) < len(whole):
                found.add("." * node.level + (node.module or ""))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_are_absolute_and_go_down(path: Path) -> None:
    modules = imported(path, everywhere=True)
    assert not {name for name in modules if name.startswith(".")}
    own = {name for name in modules if name.split(".")[0] == "gateformer"}
    height = FLOORS.index(SOURCES[path])
    assert not {name for name in own if floor_of(name) > height}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_frameworks_are_imported_where_they_are_used(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path, everywhere=False)}
    in_bench = "rtl" in path.relative_to(ROOT).parts[1:-1] and path.is_relative_to(ROOT / "sim")
    assert not roots & (HEAVY - INSIDE_SIMULATOR if in_bench else HEAVY)


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        name: imported(path, everywhere=False) & MODULES.keys() - {name}
        for name, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_floors_exist() -> None:
    assert {"gateformer", "gateformer.hw", "gateformer.quant", "gateformer.sim"} <= MODULES.keys()
