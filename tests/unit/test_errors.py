"""The messages, codes and exit codes of errors, and that each code is documented."""

import ast
import pickle
import re
from collections.abc import Iterator
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


def test_a_terminal_s_own_characters_are_spelt_out() -> None:
    error = ModelError("E102", "unsupported layer", layer="\x1b]0;owned\x07é\x9b2J", cause="a\nb")
    assert str(error) == "E102 unsupported layer: '\\x1b]0;owned\\x07é\\x9b2J'. a\nb."


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


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """Every syntax node of the sources, and where it is."""
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def test_every_code_in_the_sources_is_known() -> None:
    unknown = {
        f"{place}: {node.value}"
        for place, node in nodes()
        if isinstance(node, ast.Constant) and re.fullmatch(r"E\d{3}", str(node.value))
        if node.value not in MEANINGS
    }
    assert not unknown


def test_every_code_fits_the_class_that_carries_it() -> None:
    family = {kind.__name__: kind.family for kind in FAMILIES}
    wrong = {
        f"{place}: {node.func.id}({code.value!r})"
        for place, node in nodes()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in family and node.args
        if isinstance(code := node.args[0], ast.Constant)
        if not str(code.value).startswith(family[node.func.id])
    }
    assert not wrong
