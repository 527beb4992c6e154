"""Simulated jets: geometry, labels, balance, and the same bytes for the same seed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gateformer.quant.datasets import collisions, jets, tracks
from gateformer.quant.datasets.jets import Jets
from gateformer.quant.errors import DataError


def made_up(n: int, seed: int = 0) -> Jets:
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (n, 15, 6)).astype(np.float32) / 32
    x[:, 9:] = 0
    y = rng.integers(0, 3, n).astype(np.int8)
    return Jets(x, y, rng.uniform(20, 400, n).astype(np.float32))


@pytest.fixture(scope="module")
def small_chunks() -> Iterator[None]:
    pytest.importorskip("pythia8mc", reason="simulating collisions needs the data extra")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jets, "CHUNK", 200)
        yield


@pytest.fixture(scope="module")
def simulated(small_chunks: None) -> Jets:
    return jets.generate(600, seed=5)


# Helices


def helix(n: int, pt: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    phi, slope = rng.uniform(-np.pi, np.pi, n), rng.normal(size=n)
    position = rng.normal(size=(3, n))
    momentum = pt * np.stack((np.cos(phi), np.sin(phi), slope))
    return position, momentum, phi, slope


@pytest.mark.parametrize("charge", [1.0, -1.0])
def test_a_stiff_track_has_the_impact_parameters_of_a_straight_line(charge: float) -> None:
    (x, y, z), momentum, phi, slope = helix(500, pt=1e5)
    d0, z0 = tracks.perigee(np.stack((x, y, z)), momentum, np.full(500, charge))
    assert_allclose(d0, x * np.sin(phi) - y * np.cos(phi), atol=1e-6)
    assert_allclose(z0, z - slope * (x * np.cos(phi) + y * np.sin(phi)), atol=1e-6)


def test_a_track_from_the_origin_has_no_impact_parameter() -> None:
    _, momentum, _, _ = helix(100, pt=1.0)
    d0, z0 = tracks.perigee(np.zeros((3, 100)), momentum, np.ones(100))
    assert_allclose(d0, 0, atol=1e-9)
    assert_allclose(z0, 0, atol=1e-9)


@pytest.mark.parametrize("charge", [1.0, -1.0])
def test_perigee_does_not_depend_on_where_along_the_helix_the_track_starts(charge: float) -> None:
    position, momentum, phi, slope = helix(200, pt=1.5)
    radius = 1.5 / (tracks.CURVATURE * tracks.FIELD)
    turn = np.linspace(0.0, 0.03, 200)  # a positive charge turns clockwise
    later = phi - charge * turn
    moved = position + radius * np.stack(
        (
            charge * (np.sin(phi) - np.sin(later)),
            charge * (np.cos(later) - np.cos(phi)),
            slope * turn,
        )
    )
    turned = 1.5 * np.stack((np.cos(later), np.sin(later), slope))
    before = tracks.perigee(position, momentum, np.full(200, charge))
    after = tracks.perigee(moved, turned, np.full(200, charge))
    assert_allclose(after, before, atol=1e-8)


def test_resolution_falls_to_its_constant_terms() -> None:
    width = tracks.resolution(np.array([1.0, 1e6]), np.zeros(2))
    assert_allclose(width.d0, [np.hypot(0.010, 0.100), 0.010], rtol=1e-6)
    assert_allclose(width.z0, [np.hypot(0.050, 0.100), 0.050], rtol=1e-6)


def test_features_are_bounded_and_a_track_is_never_all_zero() -> None:
    pt = np.array([0.5, 4.0, 1e5])
    x = tracks.features(
        pt, np.zeros(3), np.zeros(3), np.array([0, 1e9, -1e9]), np.zeros(3), np.full(3, 1e4)
    )
    assert x.dtype == np.float32
    assert np.abs(x).max() == tracks.LIMIT
    assert np.rint(x * 32).any(axis=1).all()


# Labels and pairs


def test_heavy_hadrons_by_code() -> None:
    codes = np.array([511, -521, 5122, 411, -4122, 443, 211, 2212, 5, 4, 310])
    bottom, charm = collisions.heavy_hadrons(codes)
    assert codes[bottom].tolist() == [511, -521, 5122]
    assert codes[charm].tolist() == [411, -4122, 443]


def test_pairs_are_those_of_equal_event() -> None:
    rng = np.random.default_rng(0)
    left, right = np.sort(rng.integers(0, 9, 20)), np.sort(rng.integers(0, 9, 30))
    i, k = collisions.pairs(left, right)
    wanted = np.argwhere(left[:, None] == right[None, :])
    assert_array_equal(np.stack((i, k), axis=-1), wanted)


def test_matched_classes_have_equal_spectra() -> None:
    sample = made_up(3000)
    chosen = jets.match(sample.y, sample.pt)
    assert len(np.unique(chosen)) == chosen.size > 1500
    assert_array_equal(sample.y[chosen], np.broadcast_to([0, 1, 2], chosen.shape))
    bins = np.digitize(sample.pt[chosen], jets.PT_EDGES)
    assert (bins == bins[:, :1]).all()


# The simulation


def test_simulated_sample_is_balanced_and_physical(simulated: Jets) -> None:
    assert np.bincount(simulated.y).tolist() == [200, 200, 200]
    assert simulated.pt.min() >= collisions.JET_PT
    assert np.abs(simulated.x).max() <= tracks.LIMIT
    n_tracks = simulated.mask.sum(axis=1)
    assert n_tracks.min() >= 2
    assert 5 < n_tracks.mean() < 10
    # Present tracks come first, by falling signed significance.
    assert (np.diff(simulated.mask.astype(int), axis=1) <= 0).all()
    falling = np.diff(simulated.x[..., 0], axis=1) <= 0
    assert falling[simulated.mask[:, 1:]].all()


def test_lifetime_shows_in_bottom_jets_most(simulated: Jets) -> None:
    # asinh(S) / 2 > 0.9 is S > 2.9, which noise alone reaches for one track in a hundred.
    displaced = simulated.x[:, 1, 0] > 0.9
    light, charm, bottom = (displaced[simulated.y == label].mean() for label in range(3))
    assert light < 0.06 < charm < bottom
    assert bottom > 0.45
    prompt = simulated.x[simulated.y == 0][..., 0][simulated.mask[simulated.y == 0]]
    assert abs(np.median(prompt)) < 0.1


def test_same_seed_gives_same_bytes_whatever_the_workers(simulated: Jets) -> None:
    again = jets.generate(600, seed=5, workers=2)
    for name in ("x", "y", "pt"):
        assert getattr(again, name).tobytes() == getattr(simulated, name).tobytes()


def test_other_seed_gives_other_jets(simulated: Jets) -> None:
    other = jets.generate(100, seed=6)
    assert not np.isin(other.pt, simulated.pt).any()


# Files


def test_saved_parts_come_back(tmp_path: Path) -> None:
    path = tmp_path / "jets.npz"
    parts = {"test": made_up(40), "calib": made_up(20, seed=1)}
    jets.save(path, **parts)
    assert [p.name for p in tmp_path.iterdir()] == ["jets.npz"]
    with np.load(path) as file:
        assert file["x_test"].dtype == np.float16  # enough for 8 bits
    for name, part in parts.items():
        read = jets.load(path, name)
        assert_array_equal(read.x, part.x)
        assert_array_equal(read.y, part.y)
        assert_array_equal(read.pt, part.pt)


def test_values_that_float16_would_round_stay_float32(tmp_path: Path) -> None:
    sample = made_up(4)
    sample.x[0, 0, 0] = np.float32(np.pi)
    jets.save(tmp_path / "jets.npz", all=sample)
    assert_array_equal(jets.load(tmp_path / "jets.npz", "all").x, sample.x)


def test_split_is_consecutive() -> None:
    sample = made_up(30)
    first, second, rest = jets.split(sample, 10, 5)
    assert [len(first), len(second), len(rest)] == [10, 5, 15]
    assert_array_equal(jets.concatenate([first, second, rest]).x, sample.x)
    with pytest.raises(ValueError, match="cannot take 31"):
        jets.split(sample, 31)


def columns(**changes: np.ndarray) -> dict[str, np.ndarray]:
    sample = made_up(3)
    return {"x_all": sample.x, "y_all": sample.y, "pt_all": sample.pt} | changes


@pytest.mark.parametrize(
    ("arrays", "code"),
    [
        (columns(x_all=np.array([{"run": "code"}], dtype=object)), "E601"),
        (columns(x_all=np.zeros((3, 14, 6), np.float32)), "E602"),
        (columns(x_all=np.zeros((3, 90), np.float32)), "E602"),
        (columns(x_all=np.full((3, 15, 6), np.nan, np.float32)), "E602"),
        (columns(x_all=np.zeros((3, 15, 6), np.complex64)), "E602"),
        (columns(y_all=np.array([0, 1, 3], np.int8)), "E602"),
        (columns(y_all=np.zeros(3, np.int64)), "E602"),
        (columns(pt_all=np.zeros(2, np.float32)), "E602"),
        ({"y_all": np.zeros(3, np.int8)}, "E604"),
    ],
)
def test_damaged_files_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], code: str
) -> None:
    path = tmp_path / "jets.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError) as caught:
        jets.load(path, "all")
    assert caught.value.code == code
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short", b"\x80\x04."])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "jets.npz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        jets.load(path, "all")
    assert caught.value.code == "E601"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="E605"):
        jets.load(tmp_path / "none.npz", "all")
