import numpy as np
import pytest

from gateformer.quant.errors import ConfigError, DataError
from gateformer.quant.types import Fixed, Overflow, Rounding, dyadic


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("fixed<17,7>", Fixed(True, 17, 10)),
        ("ufixed<8, 3>", Fixed(False, 8, 5)),
        (" fixed<4,-2> ", Fixed(True, 4, 6)),
        ("ufixed<4,9>", Fixed(False, 4, -5)),
    ],
)
def test_parse(text: str, kind: Fixed) -> None:
    assert Fixed.parse(text) == kind
    assert Fixed.parse(str(kind)) == kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fixed",
        "fixed<17>",
        "fixed<0,0>",
        "fixed<999,0>",
        "fixed<16,4000>",
        "fixed<16,-4000>",
        "fixed<\u0668,\u0663>",
        "int<8,8>",
    ],
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ConfigError):
        Fixed.parse(text)


@pytest.mark.parametrize(
    "bounds", [(0, 0), (0, 1), (0, 255), (-1, 0), (-128, 127), (-129, 0), (3, 4)]
)
def test_for_range_is_the_narrowest(bounds: tuple[int, int]) -> None:
    kind = Fixed.for_range(*bounds, 0)
    assert kind.min <= bounds[0] and bounds[1] <= kind.max
    if kind.width > 1:
        narrower = Fixed(kind.signed, kind.width - 1, 0)
        assert narrower.min > bounds[0] or narrower.max < bounds[1]


def test_host_quantization_saturates_and_rounds() -> None:
    kind = Fixed(True, 4, 1)
    x = np.array([-9.0, -4.0, -0.25, 0.25, 0.75, 3.4, 99.0, np.inf, -np.inf])
    assert kind.from_real(x).tolist() == [-8, -8, 0, 0, 2, 7, 7, 7, -8]
    assert kind.from_real(x, Rounding.RND).tolist() == [-8, -8, 0, 1, 2, 7, 7, 7, -8]
    assert kind.from_real(x, Rounding.TRN).tolist() == [-8, -8, -1, 0, 1, 6, 7, 7, -8]
    assert kind.from_real(x, overflow=Overflow.SAT_SYM).min() == -7


def test_host_quantization_of_wide_types_is_exact() -> None:
    for width in (53, 54, 62, 63, 64, 80):
        kind = Fixed(True, width, 0)
        assert [int(v) for v in kind.from_real(np.array([1e300, -1e300]))] == [kind.max, kind.min]
        assert kind.from_real(np.array([3.0]))[0] == 3


def test_rounding_half_up_does_not_round_twice() -> None:
    just_below = np.nextafter(0.5, 0.0)
    assert Fixed(True, 8, 0).from_real(np.array([just_below]), Rounding.RND)[0] == 0


def test_host_quantization_refuses_nan_and_wrapped_infinity() -> None:
    with pytest.raises(DataError, match="index"):
        Fixed(True, 8, 0).from_real(np.array([[0.0, np.nan]]))
    with pytest.raises(DataError):
        Fixed(True, 8, 0).from_real(np.array([np.inf]), overflow=Overflow.WRAP)


def test_dyadic() -> None:
    raw, frac = dyadic(np.array([0.75, -2.0, 0.0])) or (None, None)
    assert (raw.tolist(), frac) == ([3, -8, 0], 2)
    assert dyadic(np.array([96.0, 32.0]))[1] == -5
    assert dyadic(np.zeros(3))[1] == 0
    assert dyadic(np.array([0.1])) is None
    assert dyadic(np.array([1.0, 2.0**-30]), 24) is None
