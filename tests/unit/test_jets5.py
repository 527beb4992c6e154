"""Five-class jets: geometry, balance, chunks that resume, and the same bytes for the same seed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gateformer.quant.datasets import boosted, jets5, tracks
from gateformer.quant.datasets.jets5 import Jets5
from gateformer.quant.errors import DataError


def made_up(n: int, particles: int = 64, seed: int = 0) -> Jets5:
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (n, particles, 3)).astype(np.float16) / np.float16(32)
    return Jets5(x, (np.arange(n) % 5).astype(np.int8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    pytest.importorskip("pythia8mc", reason="simulating collisions needs the data extra")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jets5, "CHUNK", 40)
        yield tmp_path_factory.mktemp("chunks")


@pytest.fixture(scope="module")
def simulated(folder: Path) -> Jets5:
    return jets5.generate(250, 3, folder)


# Features


def test_a_particle_is_never_all_zero_and_features_are_bounded() -> None:
    pt = np.array([1e-3, 0.4, 500.0, 1e4])
    x = boosted.features(pt, np.zeros(4), np.array([0.0, 0.1, -0.1, 3.0]), np.full(4, 1000.0))
    assert x.dtype == np.float16
    assert np.abs(x.astype(float)).max() == tracks.LIMIT
    assert (np.rint(x[:, 0].astype(float) * 32) >= 1).all()
    assert (np.diff(x[:, 0]) > 0).all()


def test_features_follow_their_formulas() -> None:
    x = boosted.features(*(np.array([value]) for value in (20.0, 0.3, -0.2, 900.0)))
    assert_allclose(x[0], [(8 + np.log(20 / 900)) / 2, 1.5, -1.0], rtol=1e-3)


# The simulation


def masses(jets: Jets5) -> np.ndarray:
    """Invariant masses [GeV] of 1 TeV jets from their 64 hardest particles' features."""
    log, eta, phi = np.moveaxis(jets.x.astype(np.float64), -1, 0)
    share = np.where(log > 0, np.exp(2 * log - 8), 0.0)
    eta, phi = eta / 5, phi / 5
    parts = (np.cosh(eta), -np.cos(phi), -np.sin(phi), -np.sinh(eta))
    energy, *momentum = ((share * part).sum(axis=1) for part in parts)
    return 1000 * np.sqrt(np.maximum(energy**2 - sum(p**2 for p in momentum), 0))


def test_the_sample_is_balanced_and_its_particles_are_sorted(simulated: Jets5) -> None:
    assert np.bincount(simulated.y).tolist() == [50] * 5
    there = simulated.x[..., 0] > 0
    assert_array_equal(there, simulated.x.any(axis=-1))
    falling = np.diff(simulated.x[..., 0], axis=1) <= 0
    assert falling.all()
    assert 40 < there.sum(axis=1).mean() < 64


def test_masses_are_those_of_the_particles(simulated: Jets5) -> None:
    # Without grooming the underlying event adds some 10 GeV.
    medians = [np.median(masses(simulated[simulated.y == label])) for label in range(5)]
    boson_w, boson_z, top = medians[2:]
    assert 78 < boson_w < 105
    assert 86 < boson_z < 115
    assert 160 < top < 200


def test_gluons_radiate_more_than_quarks(simulated: Jets5) -> None:
    there = (simulated.x[..., 0] > 0).sum(axis=1)
    gluon, quark = (there[simulated.y == label].mean() for label in (0, 1))
    assert gluon > quark + 3


def test_same_seed_gives_same_bytes_whatever_the_folder(simulated: Jets5, tmp_path: Path) -> None:
    again = jets5.generate(50, 3, tmp_path)
    assert again.x.tobytes() == simulated.x[:50].tobytes()
    assert_array_equal(again.y, simulated.y[:50])


def test_finished_chunks_are_used_again_and_damaged_ones_made_again(
    simulated: Jets5, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    real = boosted.simulate

    def counted(seed: int, label: int, n_events: int) -> tuple[np.ndarray, np.ndarray]:
        made.append(label)
        return real(seed, label, n_events)

    monkeypatch.setattr(boosted, "simulate", counted)
    jets5.generate(250, 3, folder)
    assert made == []
    damaged = sorted(folder.glob("*-3-00002.npz"))
    damaged[0].write_bytes(damaged[0].read_bytes()[:100])
    again = jets5.generate(250, 3, folder)
    assert made == [2]
    assert again.x.tobytes() == simulated.x.tobytes()


@pytest.mark.slow
def test_workers_change_nothing(simulated: Jets5, tmp_path: Path) -> None:
    # The workers simulate chunks of the usual size.
    both = [jets5.generate(100, 7, tmp_path / str(n), workers=n) for n in (2, 3)]
    assert both[0].x.tobytes() == both[1].x.tobytes()


def test_a_sample_has_its_parts_and_particles(simulated: Jets5, folder: Path) -> None:
    sample = jets5.sample(folder, 16, train=150, valid=50, test=40, seed=3)
    assert [part.x.shape for part in (sample.train, sample.valid, sample.test)] == [
        (150, 16, 3),
        (50, 16, 3),
        (40, 16, 3),
    ]
    assert_array_equal(sample.train.x, simulated.x[:150, :16].astype(np.float32))
    assert not np.isin(sample.test.x[:, 0, 0] * 1e3 + sample.test.x[:, 1, 1], sample.train.x).any()
    assert sample.classes == ("gluon", "quark", "W", "Z", "top")


# Files


def test_saved_parts_come_back(tmp_path: Path) -> None:
    parts = {"test": made_up(40, 8), "calib": made_up(20, 32, seed=1)}
    jets5.save(tmp_path / "jets.npz", **parts)
    for name, part in parts.items():
        read = jets5.load(tmp_path / "jets.npz", name)
        assert_array_equal(read.x, part.x)
        assert_array_equal(read.y, part.y)


def test_the_hardest_come_first() -> None:
    sample = made_up(4)
    assert_array_equal(sample.hardest(8).x, sample.x[:, :8])


def columns(**changes: np.ndarray) -> dict[str, np.ndarray]:
    sample = made_up(3)
    return {"x_all": sample.x, "y_all": sample.y} | changes


@pytest.mark.parametrize(
    ("arrays", "code"),
    [
        (columns(x_all=np.array([{"run": "code"}], dtype=object)), "E601"),
        (columns(x_all=np.zeros((3, 65, 3), np.float16)), "E602"),
        (columns(x_all=np.zeros((3, 64, 4), np.float16)), "E602"),
        (columns(x_all=np.zeros(3, np.float16)), "E602"),
        (columns(x_all=np.zeros((), np.float16)), "E602"),
        (columns(x_all=np.full((3, 64, 3), np.nan, np.float16)), "E602"),
        (columns(x_all=np.zeros((3, 64, 3), np.float32)), "E602"),
        (columns(y_all=np.array([0, 1, 5], np.int8)), "E602"),
        (columns(y_all=np.zeros(2, np.int8)), "E602"),
        ({"y_all": np.zeros(3, np.int8)}, "E604"),
    ],
)
def test_damaged_files_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], code: str
) -> None:
    path = tmp_path / "jets.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError) as caught:
        jets5.load(path, "all")
    assert caught.value.code == code
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="E605"):
        jets5.load(tmp_path / "none.npz", "all")
