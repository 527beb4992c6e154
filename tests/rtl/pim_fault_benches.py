"""The benches that seeded faults are shown to: the smallest of each kind, all on Icarus.

Owns ``BENCHES``: each raises one of ``FOUND`` where the circuit does not do what the model does.
Those of the memory stand in pim_fault_memory_benches.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray
from rtl import pim_asic_bench, pim_rescale_bench, test_pim_fp32, test_pim_mac
from rtl.pim_fault_memory_benches import MEMORY_BENCHES
from rtl.pim_fault_place import Place, altered
from rtl.pim_operands import random_pairs, special_pairs
from rtl.test_pim_asic_unary import numbers

from gateformer.hw.pim import functions
from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.functions import Alu
from gateformer.sim.pim import asic_rtl
from gateformer.sim.rtl.vectors import Ports, stream


def fp32(unit: test_pim_fp32.Unit, stages: int, place: Place) -> None:
    """Special and random pairs through an operation of FP32 or BF16 numbers."""
    both = zip(special_pairs(), random_pairs(700, seed=7), strict=True)
    a, b = (np.concatenate(pair) for pair in both)
    if unit is test_pim_fp32.TO_BF16:
        tie = test_pim_fp32.ALL_BF16[::5] << np.uint32(16) | np.uint32(0x8000)
        a = np.concatenate([a, tie - 1, tie, tie + 1]).astype(np.uint32)
    operands = test_pim_fp32.fitted(unit, a, b)
    with altered(place, test_pim_fp32):
        test_pim_fp32.compare(unit, operands, "icarus", stages, place.work, place.cache)


def mac(stages: int, place: Place) -> None:
    """A bank's BF16 lanes: columns, loads, pauses and resets."""
    with altered(place, test_pim_mac):
        test_pim_mac.test_bf16(16, stages, 250, place.cache, place.work)


def whole_mac(lanes: int, bits: int, place: Place) -> None:
    """A bank's lanes for whole numbers."""
    with altered(place, test_pim_mac):
        test_pim_mac.test_whole_numbers(lanes, bits, 1, place.cache, place.work)


def compare(found: NDArray[np.int64], model: NDArray[np.float32], sent: NDArray[np.uint32]) -> None:
    """Compare results with the model's bits, a NaN as the ASIC has it."""
    expected = np.where(np.isnan(model), np.uint32(0x7FC00000), model.view(np.uint32))
    wrong = np.flatnonzero(found != expected)
    told = [f"{sent[i]:08x} {found[i]:08x} {expected[i]:08x}" for i in wrong[:3]]
    assert not told, f"{len(wrong)} of {len(found)}: operand, found, expected {told}"


EDGES = (1 << 16) + 30_000 + 20_000
"""Where ``numbers`` has those near an edge, behind BF16 numbers and random ones."""


def scale(place: Place) -> None:
    """Numbers of all kinds times powers of two, as far as the module takes them."""
    rng = np.random.default_rng(5)
    sent = np.concatenate([random_pairs(100, seed=5)[0], special_pairs()[0][::53]])
    fields = np.maximum(sent >> 23 & 255, 1).astype(np.int64)
    power = rng.choice([-26, -24, -1, 0, 1, 2, 127, 254, 255, 256, 484], len(sent)) - fields
    power = np.clip(power, -256, 255)
    ports = Ports({"a": 32, "power": 9}, {"y": 32}, latency=2)
    top = "gf_pim_fp32_scale"
    words = np.stack([sent, power % 512], 1).tolist()
    found = stream(
        "icarus", place.sources(top), top, ports, words, work=place.work, cache=place.cache
    )
    compare(np.array(found)[:, 0], Alu().shifted(sent.view(np.float32), power), sent)


def unary(name: str, place: Place) -> None:
    """FP32 and BF16 numbers, edges among them, through a unit of one number."""
    every = numbers()
    some = [every[: 1 << 16 : 73], every[1 << 16 : EDGES : 11], every[EDGES:]]
    sent = np.concatenate(some).astype(np.uint32)
    ports = Ports({"x": 32}, {"y": 32}, latency=asic_rtl.UNARY[name])
    top = f"gf_pim_{name}"
    words = sent[:, None].tolist()
    found = stream(
        "icarus", place.sources(top), top, ports, words, work=place.work, cache=place.cache
    )
    model = getattr(functions, name)(Alu(), sent.view(np.float32))
    compare(np.array(found)[:, 0], model, sent)


TOTAL = """
module total_bench (input clk, rst, add, first, input [127:0] numbers, output [31:0] sum);
  gf_pim_total #(.LANES(4)) total (
    .clk(clk), .rst(rst), .add(add), .first(first), .in(numbers), .sum(sum)
  );
endmodule
"""
"""Gives its numbers a name that the bench does not use itself."""


def total(place: Place) -> None:
    """Sums of vectors of one to three words, zeros of both signs among them, and pauses."""
    lanes, rng = 4, np.random.default_rng(3)
    ports = Ports(
        {"rst": 1, "add": 1, "first": 1, "numbers": 32 * lanes}, {"sum": 32}, latency=2 * 2 + 1
    )
    rows: list[list[int]] = []
    expected: list[tuple[int, np.float32]] = []
    for number in range(120):
        words = 1 + number % 3
        x = rng.normal(size=words * lanes).astype(np.float32) * 10 ** rng.uniform(-3, 3)
        x = x.astype(np.float32) if number % 5 else np.full(words * lanes, -0.0, np.float32)
        for word in range(words):
            bits = x[word * lanes : (word + 1) * lanes].view(np.uint32).tolist()
            packed = sum(one << 32 * lane for lane, one in enumerate(bits))
            rows.append([0, 1, int(word == 0), packed])
            rows += [[0, 0, 1, packed]] * int(rng.integers(0, 2))
        expected.append((len(rows) - 1, functions.total(x, lanes)[()]))
    files = place.sources("gf_pim_total") | {"total_bench.v": TOTAL}
    found = stream("icarus", files, "total_bench", ports, rows, work=place.work, cache=place.cache)
    at = [clock for clock, _ in expected]
    sums = np.array([one for _, one in expected], np.float32)
    compare(np.array(found)[at, 0], sums, np.array(at, np.uint32))


def special_vectors(length: int) -> NDArray[np.float32]:
    """Vectors of zeros, ties of the largest, huge, tiny, infinite and undefined numbers."""
    signs = np.where(np.arange(length) % 2, -1.0, 1.0)
    rng = np.random.default_rng(length)
    infinite, negative, nan = to_bf16(rng.normal(size=(3, length)))
    infinite[1], negative[1] = np.inf, -np.inf
    nan.view(np.uint32)[-1] = 0xFFC00000  # a NaN whose sign bit is set
    rows = [
        np.zeros(length), -np.zeros(length), 0.0 * signs, np.full(length, 3.0), 3e38 * signs,
        1e-39 * signs, 2.5 * signs, np.arange(length) * -3.0 - 1,
    ]  # fmt: skip
    return np.concatenate([to_bf16(np.array(rows)), [infinite, negative, nan]])


class Some(pim_asic_bench.Bench):
    """Operations of some units only, in a memory that has no room for others."""

    def __init__(self, units: tuple[str, ...]) -> None:
        super().__init__(4, 512)
        self.units = units

    def add(
        self,
        operation: asic_rtl.Operation,
        results: np.ndarray,
        work: tuple[int, ...],
        marks: np.ndarray | None = None,
    ) -> None:
        """Add it; one of another unit takes no place, and leaves before the run."""
        used = self.used
        super().add(operation, results, work, marks)
        self.used = self.used if operation.unit in self.units else used

    def run(self, place: Place) -> None:
        """Run what is wanted."""
        kept = [at for at, one in enumerate(self.operations) if one.unit in self.units]
        self.operations = [self.operations[at] for at in kept]
        self.expected = [self.expected[at] for at in kept]
        self.memory = self.memory[: self.used]
        self.check("icarus", place.work, place.cache, place.sources("gf_pim_asic"))


def asic(units: tuple[str, ...], length: int, special: bool, place: Place) -> None:
    """Operations of some units on four lanes; places behind results must stay."""
    bench = Some(units)
    if {"add", "multiply", "accumulate", "rotary"} & {*units}:
        pim_asic_bench.several_operands(bench, 2, length, 3)
        zeros(bench, length)
    else:
        usual = next(pim_asic_bench.vectors_of_all_kinds(length))
        pim_asic_bench.reduce_and_map(bench, special_vectors(length) if special else usual)
    bench.run(place)


def select(place: Place) -> None:
    """Choices among words that tie, that only rounding parts, and that only signs part."""
    bench, lanes = Some(("select",)), 4
    rng = np.random.default_rng(4)
    for length in (3, 21, 64):
        numbers = np.arange(length)
        some = numbers // lanes % 5 * 2.0**-9  # behind 1 a fraction of its last place
        steps = np.choose(np.minimum(numbers % lanes, 2), [np.ones(length), some, 0.0 * some])
        rows = np.array([
            rng.normal(size=length), np.ones(length), np.where(numbers % 2, -3.0, 3.0), steps,
            rng.integers(-2, 3, length), np.where(numbers // lanes % 4, 1.0, 3e38),
        ])  # fmt: skip
        x = to_bf16(rows)
        source, words = bench.put(x), -(-length // lanes)
        for keep in {1, words // 2 + 1, words, 255}:
            pim_asic_bench.add_select(bench, x, source, keep)
    bench.run(place)


def merge(place: Place) -> None:
    """Heads over few shares: usual ones, any bits, infinities, zeros of both signs."""
    bench = Some(("merge",))
    several = islice(pim_asic_bench.shares_of_all_kinds(2, 6, 3), 3)
    alone = islice(pim_asic_bench.shares_of_all_kinds(1, 4, 1), 3, None, 2)
    for shares in chain(several, alone):
        pim_asic_bench.add_merge(bench, shares)
    bench.run(place)


def rescale(place: Place) -> None:
    """Tiles' sums with and without a bias: usual ones, any bits, ties, zeros of both signs."""
    bench = Some(("rescale",))
    for sums, scales, steps, bias in pim_rescale_bench.rescaled_of_all_kinds(3, 6):
        pim_rescale_bench.add_rescale(bench, sums, scales, steps, bias)
        pim_rescale_bench.add_rescale(bench, sums, scales, steps)
    bench.run(place)


def zeros(bench: pim_asic_bench.Bench, width: int) -> None:
    """Add weighted sums and sums of zeros of both signs."""
    values = np.full((2, 1, width), -0.0, np.float32)
    values[:, :, ::2] = 0.0
    weights = np.ones((1, 2), np.float32)
    words = -(-width // bench.lanes)
    place = bench.put(values.reshape(-1, width))
    weighted = asic_rtl.Operation(
        "accumulate", place, bench.put(weights), stride=words, count=2, length=width
    )
    found = functions.accumulate(weights, values.swapaxes(0, 1))
    bench.add(weighted, pim_asic_bench.bits(found), (2 * width, 1))
    chain = asic_rtl.Operation("add", place, place + words, count=2, length=width)
    bench.add(chain, pim_asic_bench.bits(values[0] + values[1]), (width, 1))


BENCHES: Mapping[str, Callable[[Place], None]] = {
    "add": partial(fp32, test_pim_fp32.ADD, 0),
    "add pipelined": partial(fp32, test_pim_fp32.ADD, 2),
    "multiply": partial(fp32, test_pim_fp32.MULTIPLY, 0),
    "multiply pipelined": partial(fp32, test_pim_fp32.MULTIPLY, 3),
    "bf16 multiply": partial(fp32, test_pim_fp32.BF16_MULTIPLY, 0),
    "to bf16": partial(fp32, test_pim_fp32.TO_BF16, 0),
    "from int": partial(fp32, test_pim_fp32.FROM_INT, 0),
    "mac": partial(mac, 0),
    "mac pipelined": partial(mac, 9),
    "int8 mac": partial(whole_mac, 32, 8),
    "int4 mac": partial(whole_mac, 64, 4),
    **{name: partial(unary, name) for name in asic_rtl.UNARY},
    "scale": scale,
    "total": total,
    "softmax": partial(asic, ("softmax",), 6, False),
    "special softmax": partial(asic, ("softmax",), 6, True),
    "norms": partial(asic, ("layernorm", "rmsnorm"), 6, False),
    "special norms": partial(asic, ("layernorm", "rmsnorm"), 6, True),
    "quantize": partial(asic, ("quantize",), 6, False),
    "special quantize": partial(asic, ("quantize",), 6, True),
    "maximum": partial(asic, ("maximum",), 6, True),
    "share": partial(asic, ("share",), 6, True),
    "select": select,
    "merge": merge,
    "rescale": rescale,
    "relu": partial(asic, ("relu",), 6, True),
    "activation": partial(asic, ("gelu", "silu"), 6, False),
    **MEMORY_BENCHES,
    "several operands": partial(asic, ("add", "multiply", "accumulate", "rotary"), 8, False),
}
