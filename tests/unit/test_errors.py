"""The messages, codes and exit codes of errors, and that each code is documented."""

import ast
import pickle
import re
from pathlib import Path

import pytest

from gateformer import errors
from gateformer.errors import (
    MEANINGS,
    ConfigError,
    GateformerError,
    Interrupted,
    ModelError,
    Problems,
    RunError,
)

ROOT = Path(__file__).parents[2]
FLOORS = ("quant", "hw", "sim", "sw")
FAMILIES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, GateformerError) and kind.family != "E"
]

GRU = ModelError(
    "E102",
    "unsupported layer",
    layer="gru_1",
    kind="GRU",
    cause="gateformer generates Dense, attention and norm layers.",
    fix="Replace it, or write a lowering (docs/extend.md)",
)


def test_message_is_one_line_with_place_cause_and_fix() -> None:
    assert str(GRU) == (
        "E102 unsupported layer: 'gru_1' (GRU). gateformer generates Dense, attention and norm "
        "layers. Replace it, or write a lowering (docs/extend.md)."
    )


def test_parts_left_out_leave_no_trace() -> None:
    assert str(RunError("E701", "disk full")) == "E701 disk full."
    assert str(ConfigError("E001", "unknown key", fix="Did you mean 'out'?")).endswith("'out'?")


def test_naming_the_layer_later_keeps_the_first_name() -> None:
    error = ModelError("E105", "NaN weights").at("dense_1").at("dense_2")
    assert error.layer == "dense_1"


@pytest.mark.parametrize("error", [GRU, Interrupted(fix="Run it again")])
def test_errors_survive_pickling(error: GateformerError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.as_dict()) == (str(error), error.as_dict())


def test_problems_show_all_at_once() -> None:
    problems = Problems([GRU, RunError("E701", "disk full")])
    assert str(problems).splitlines() == [str(GRU), "E701 disk full."]
    assert problems.exit_code == GRU.exit_code
    assert problems.as_dict()["errors"] == [error.as_dict() for error in problems.errors]
    assert str(pickle.loads(pickle.dumps(problems))) == str(problems)


def test_problems_need_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Problems([])


def test_raise_if_any_raises_none_one_or_all() -> None:
    Problems.raise_if_any([])
    with pytest.raises(ModelError):
        Problems.raise_if_any([GRU])
    with pytest.raises(Problems):
        Problems.raise_if_any([GRU, GRU])


def test_families_have_their_own_exit_codes() -> None:
    codes = {kind.exit_code for kind in FAMILIES}
    assert len(codes) == len(FAMILIES)
    assert not codes & {0, 1, 70, 141}


def test_every_code_belongs_to_one_family() -> None:
    families = {kind.family for kind in FAMILIES}
    assert {code[:2] for code in MEANINGS} == families
    assert all(re.fullmatch(r"E\d{3}", code) for code in MEANINGS)


def test_every_code_is_documented() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| (E\d{3}) \| ([^|]+?) \|", page, flags=re.MULTILINE))
    assert documented == MEANINGS


def test_every_exit_code_is_documented() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)}
    assert documented == {0, 70, 141} | {kind.exit_code for kind in FAMILIES}


def raised() -> list[tuple[str, str, str]]:
    """Every error made in the sources: place, class and code."""
    names = {kind.__name__ for kind in FAMILIES}
    files = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", node.func.id, str(node.args[0].value))
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
        if node.args and isinstance(node.args[0], ast.Constant)
    ]


def test_every_raised_code_is_known_and_fits_its_class() -> None:
    family = {kind.__name__: kind.family for kind in FAMILIES}
    wrong = [
        f"{place}: {name}({code!r})"
        for place, name, code in raised()
        if code not in MEANINGS or not code.startswith(family[name])
    ]
    assert not wrong, "\n".join(wrong)
