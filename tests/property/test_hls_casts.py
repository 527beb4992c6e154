"""The templates' cast, on ap_fixed and ac_fixed: the integers of ``Cast`` for every pair of modes.

One C++ program a family casts raw integers between many drawn types, in each rounding x overflow x
signedness. The vendors' own cast runs beside ours: where it differs, it is for the reasons that
``gf_cast.h`` gives, and nowhere else.
"""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from gateformer.quant.ops.cast import Cast
from gateformer.quant.types import Fixed, IntArray, Overflow, Rounding

pytestmark = pytest.mark.hls

FAMILIES = {"ap": "vivado/ap_types", "ac": "quartus/ac_types"}
"""Family of types -> hls4ml's copy of its headers."""
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 18, 24, 31, 32, 33, 40, 48, 55)
"""Around what the classes treat apart: one bit, and the word sizes of their arithmetic."""


@dataclass(frozen=True)
class Case:
    """A cast from one type to another."""

    source: Fixed
    cast: Cast

    @property
    def instance(self) -> str:
        """The C++ function that runs it."""
        modes = f"gf::{self.cast.rounding.value}, gf::{self.cast.overflow.value}"
        return f"run<{_named(self.source)}, {_named(self.cast.type)}, {modes}>"

    def raw(self, rng: np.random.Generator) -> IntArray:
        """All integers of a narrow type; extremes, small ones and drawn ones of a wide one."""
        low, high = self.source.min, self.source.max
        if self.source.width <= 8:
            return np.arange(low, high + 1)
        drop = max(0, min(self.source.frac - self.cast.type.frac, self.source.width - 2))
        edges = [low, low + 1, high - 1, high, high - (1 << drop) // 2, *range(max(low, -3), 4)]
        halves = rng.integers(low, high, 30, endpoint=True) >> drop << drop
        drawn = rng.integers(low, high, 60, endpoint=True)
        return np.clip(np.concatenate([edges, halves, halves + (1 << drop) // 2, drawn]), low, high)


def _named(kind: Fixed) -> str:
    return f"gf::{'' if kind.signed else 'u'}fixed<{kind.width}, {kind.integer}>"


def draw(rng: np.random.Generator, each: int) -> list[Case]:
    """``each`` casts for each rounding, overflow and pair of signs."""

    def kind(signed: bool) -> Fixed:
        width = int(rng.choice(WIDTHS))
        return Fixed(signed, width, int(rng.integers(-3, width + 6)))

    modes = itertools.product(Rounding, Overflow, (False, True), (False, True))
    return [
        Case(kind(a), Cast(kind(b), rounding, overflow))
        for rounding, overflow, a, b in modes
        for _ in range(each)
    ]


PROGRAM = """
#include "gf_cast.h"

#include <cstdint>
#include <cstdio>
#include <vector>

// Our cast, then the class's own, of each raw integer.
template <class X, class Y, gf::rounding Q, gf::overflow O>
void run(const std::vector<int64_t> &given, std::vector<int64_t> &made) {
    typedef typename gf::traits<Y>::template with<Q, O>::type Own;
    for (int64_t raw : given) {
        const X x = gf::from_raw<X>(raw);
        const Own own = by_class<Own, X, SAFE<X, Y>::value>::cast(x);
        made.push_back(gf::to_raw(gf::convert<Y, Q, O>(x)).to_int64());
        made.push_back(gf::to_raw(Y(own)).to_int64());
    }
}

int main() {
    void (*const cases[])(const std::vector<int64_t> &, std::vector<int64_t> &) = {
        INSTANCES
    };
    for (auto one : cases) {
        int64_t count;
        if (std::fread(&count, 8, 1, stdin) != 1) return 2;
        std::vector<int64_t> given(count), made;
        if (std::fread(given.data(), 8, count, stdin) != std::size_t(count)) return 2;
        one(given, made);
        std::fwrite(made.data(), 8, made.size(), stdout);
    }
}
"""
SAFE = """
// Whether the class itself takes the cast: one bit has a class of ours where Intel has none, and
// ap_fixed insists that all bits that it drops lie inside its operand.
template <class X, class Y> struct SAFE {
    static const int drop = gf::traits<X>::frac - gf::traits<Y>::frac, width = gf::traits<X>::width;
    static const bool value = drop < width && width > 1 && gf::traits<Y>::width > 1;
};
template <class Own, class X, bool Safe> struct by_class {
    static Own cast(const X &x) { return Own(x); }
};
template <class Own, class X> struct by_class<Own, X, false> {
    static Own cast(const X &) { return Own(); }
};
"""


def compiled(family: str, cases: list[Case], folder: Path) -> Path:
    """The program of a family."""
    spec = find_spec("hls4ml")
    assert spec is not None and spec.submodule_search_locations
    headers = Path(spec.submodule_search_locations[0], "templates", FAMILIES[family])
    templates = files("gateformer.hw.hls").joinpath("templates")
    folder.joinpath("gf").mkdir(exist_ok=True)
    same = {name: name for name in ("gf_cast.h", "gf_weights.h")}
    for name, kept in {**same, "gf_types.h": f"gf_types_{family}.h"}.items():
        folder.joinpath("gf", name).write_text(templates.joinpath(kept).read_text("utf-8"))
    folder.joinpath("defines.h").write_text('#include "ac_fixed.h"\n#include "ac_int.h"\n')
    listed = ",\n        ".join(case.instance for case in cases)
    head, body = PROGRAM.split("#include <vector>\n")
    text = f"{head}#include <vector>\n{SAFE}{body}".replace("INSTANCES", listed)
    folder.joinpath("casts.cpp").write_text(text)
    command = ["g++", "-std=c++11", "-O0", "-w", f"-I{headers}", "-Igf", "casts.cpp", "-o", "casts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]
    return folder / "casts"


def check(family: str, each: int, folder: Path, seed: int) -> None:
    """Our integers are the executor's; the class's own are, but where it is known to err."""
    rng = np.random.default_rng(seed)
    cases = draw(rng, each)
    given = [case.raw(rng) for case in cases]
    rows = b"".join(np.int64(len(x)).tobytes() + x.astype(np.int64).tobytes() for x in given)
    program = compiled(family, cases, folder)
    made = subprocess.run([program], input=rows, capture_output=True, check=True).stdout
    results = np.frombuffer(made, np.int64).reshape(-1, 2)
    assert len(results) == sum(map(len, given))
    start = 0
    for case, x in zip(cases, given, strict=True):
        ours, own = results[start : start + len(x)].T
        start += len(x)
        expected = case.cast.execute((case.source,), x).astype(np.int64)
        wrong = np.flatnonzero(ours != expected)
        assert not wrong.size, (case, x[wrong[0]], ours[wrong[0]], expected[wrong[0]])
        if not (np.array_equal(own, expected) or errs(family, case)):
            where = np.flatnonzero(own != expected)[0]
            seen = f"{x[where]}: {own[where]}, not {expected[where]}"
            pytest.fail(f"{family}_fixed: {case} of {seen}")


def errs(family: str, case: Case) -> bool:
    """Whether the class itself is known to differ, or was not asked."""
    source, cast = case.source, case.cast
    drop = source.frac - cast.type.frac
    if drop >= source.width or 1 in (source.width, cast.type.width):
        return True
    carries = cast.rounding is not Rounding.TRN and cast.overflow is not Overflow.WRAP
    return family == "ac" and drop > 0 and carries


@pytest.mark.parametrize("family", FAMILIES)
def test_every_mode_on_drawn_types(family: str, tmp_path: Path) -> None:
    check(family, 2, tmp_path, 1)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_every_mode_on_many_types(family: str, seed: int, tmp_path: Path) -> None:
    check(family, 12, tmp_path, seed)
