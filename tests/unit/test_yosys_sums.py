"""Sums of three as LUT pairs and carries: the cells compute the sum; only true ones are made."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from gateformer.toolchains import yosys_worker as worker
from gateformer.toolchains.yosys_worker import Bit

WIDTH = 3


def sum_cell(kind: str, a: list[Bit], b: list[Bit], y: list[Bit], signed: bool = True) -> Any:
    sizes = {"A_WIDTH": f"{len(a):032b}", "B_WIDTH": f"{len(b):032b}", "Y_WIDTH": f"{len(y):032b}"}
    flags = dict.fromkeys(("A_SIGNED", "B_SIGNED"), f"{signed:032b}")
    return worker.cell_of(kind, {**sizes, **flags}, {"A": a, "B": b}, {"Y": y})


def module(
    first: str, second: str, *, low: int = 0, swap: bool = False, signed: bool = True,
    named: bool = False, read_twice: bool = False, inner: int = 6,
) -> dict[str, Any]:  # fmt: skip
    """``y = (a first (b << low)) second c`` of 3-bit operands; ``swap`` puts the sum second."""
    a, b, c = ([2 + WIDTH * k + i for i in range(WIDTH)] for k in range(3))
    middle: list[Bit] = [20 + i for i in range(inner)]
    y: list[Bit] = [40 + i for i in range(6)]
    zeros: list[Bit] = ["0"] * low
    sides: list[list[Bit]] = [list(c), middle[:6]] if swap else [middle[:6], list(c)]
    cells = {
        "inner": sum_cell(first, list(a), zeros + b, middle, signed),
        "outer": sum_cell(second, *sides, y, signed),
    }
    ports = {
        name: {"direction": way, "bits": bits}
        for name, way, bits in (
            ("a", "input", a), ("b", "input", b), ("c", "input", c), ("y", "output", y),
        )
    }  # fmt: skip
    if read_twice:
        ports["t"] = {"direction": "output", "bits": middle}
    nets = {name: {"hide_name": 0, "bits": port["bits"]} for name, port in ports.items()}
    nets["middle"] = {"hide_name": int(not named), "bits": middle}
    return {"ports": ports, "cells": cells, "netnames": nets}


def evaluate(tree: dict[str, Any], inputs: dict[str, int]) -> int:
    """The output y of a module of LUTs, carries and wires."""
    known: dict[Bit, int] = {"0": 0, "1": 1}
    for name, value in inputs.items():
        for place, bit in enumerate(tree["ports"][name]["bits"]):
            known[bit] = value >> place & 1
    waiting = list(tree["cells"].values())
    while waiting:
        ready = [cell for cell in waiting if all(
            bit in known
            for port, way in cell["port_directions"].items() if way == "input"
            for bit in cell["connections"][port]
        )]  # fmt: skip
        assert ready, "a loop"
        waiting = [cell for cell in waiting if cell not in ready]
        for cell in ready:
            for port, values in outputs(cell, known).items():
                known.update(zip(cell["connections"][port], values, strict=True))
    return sum(known[bit] << place for place, bit in enumerate(tree["ports"]["y"]["bits"]))


def outputs(cell: dict[str, Any], known: dict[Bit, int]) -> dict[str, list[int]]:
    pins = {
        port: [known[bit] for bit in bits]
        for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "input"
    }
    if cell["type"] == "$pos":
        return {"Y": pins["A"]}
    if cell["type"] == "CARRY4":
        carry, o, co = pins["CI"][0] | pins["CYINIT"][0], [], []
        for s, d in zip(pins["S"], pins["DI"], strict=True):
            o.append(s ^ carry)
            carry = carry if s else d
            co.append(carry)
        return {"O": o, "CO": co}
    table = [int(digit) for digit in reversed(cell["parameters"]["INIT"])]
    index = sum(values[0] << int(port[1:]) for port, values in pins.items())
    if cell["type"] == "LUT4":
        assert len(table) == 16
        return {"O": [table[index]]}
    assert cell["type"] == "LUT6_2" and len(table) == 64
    return {"O6": [table[index]], "O5": [table[index & 31]]}


def signed(value: int) -> int:
    return value - (value >> WIDTH - 1 << WIDTH)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("low", [0, 2])
@pytest.mark.parametrize("second", worker.SUMS)
@pytest.mark.parametrize("first", worker.SUMS)
def test_the_cells_compute_the_sum(
    first: str, second: str, low: int, swap: bool, packed: bool
) -> None:
    tree = module(first, second, low=low, swap=swap)
    assert worker.ternary(tree, packed) == 1
    kinds = [cell["type"] for cell in tree["cells"].values()]
    assert not {*worker.SUMS} & {*kinds}
    for a, b, c in product(range(1 << WIDTH), repeat=3):
        inner = signed(a) + (-1 if first == "$sub" else 1) * (signed(b) << low)
        left, right = (signed(c), inner) if swap else (inner, signed(c))
        wanted = left - right if second == "$sub" else left + right
        assert evaluate(tree, {"a": a, "b": b, "c": c}) == wanted & 63


def test_a_bit_takes_one_lut() -> None:
    tree = module("$add", "$sub")
    worker.ternary(tree, True)
    kinds = [cell["type"] for cell in tree["cells"].values()]
    assert (kinds.count("LUT6_2"), kinds.count("CARRY4")) == (6, 2)


def test_unsigned_operands_are_extended_by_zeros() -> None:
    tree = module("$add", "$add", signed=False)
    assert worker.ternary(tree, True) == 1
    assert evaluate(tree, {"a": 7, "b": 6, "c": 5}) == 18


@pytest.mark.parametrize("keywords", [{"named": True}, {"read_twice": True}, {"inner": 5}])
def test_other_sums_stay_as_they_are(keywords: dict[str, Any]) -> None:
    """One that the source names, that something else reads, or that wraps before it is extended."""
    tree = module("$add", "$add", **keywords)
    if "inner" in keywords:
        tree["cells"]["outer"] = sum_cell("$add", [20 + i for i in range(5)], [8, 9, 10],
                                          tree["ports"]["y"]["bits"])  # fmt: skip
    before = {name: dict(cell) for name, cell in tree["cells"].items()}
    assert worker.ternary(tree, True) == 0
    assert tree["cells"] == before


def test_a_negation_behind_joins() -> None:
    """``(a + b) + (-c)``, the negation a cell of its own."""
    tree = module("$add", "$add")
    negated: list[Bit] = [60 + i for i in range(6)]
    sizes = {"A_SIGNED": f"{1:032b}", "A_WIDTH": f"{3:032b}", "Y_WIDTH": f"{6:032b}"}
    tree["cells"]["minus"] = worker.cell_of("$neg", sizes, {"A": [8, 9, 10]}, {"Y": negated})
    tree["cells"]["outer"]["connections"]["B"] = negated
    assert worker.ternary(tree, True) == 1
    assert "minus" not in tree["cells"]
    assert evaluate(tree, {"a": 3, "b": 2, "c": 1}) == 4
    assert evaluate(tree, {"a": 3, "b": 2, "c": 7}) == 6
