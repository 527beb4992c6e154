"""JapaneseVowels: its published parts, and frames cut and padded."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gateformer.quant.datasets import vowels
from gateformer.quant.datasets.labelled import Labelled, Sample


def test_frames_are_cut_and_padded() -> None:
    series = np.arange(12 * 5, dtype=np.float64).reshape(12, 5)
    long, short = vowels.frames(series, 8), vowels.frames(series, 3)
    assert long.shape == (8, 12)
    assert_array_equal(long[:5], series.T)
    assert not long[5:].any()
    assert_array_equal(short, series.T[:3])


def test_the_published_parts_come_back() -> None:
    pytest.importorskip("aeon", reason="JapaneseVowels needs the data extra")
    sample = vowels.sample(seed=1)
    assert [len(p) for p in (sample.train, sample.valid, sample.test)] == [216, 54, 370]
    assert sample.test.x.shape[1:] == (16, 12)
    assert np.bincount(sample.valid.y).tolist() == [6] * 9
    assert np.bincount(sample.train.y).tolist() == [24] * 9
    # The published test part has 24 to 88 utterances a speaker.
    assert np.bincount(sample.test.y).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    other = vowels.sample(seed=2)
    assert_array_equal(other.test.x, sample.test.x)
    assert not np.array_equal(other.train.x, sample.train.x)


def labelled(n: int, tokens: int = 4, top: int = 2) -> Labelled:
    return Labelled(np.zeros((n, tokens, 3), np.float32), np.full(n, top, np.int64))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((3, 4), np.float32), np.zeros(3, np.int64)),
        (np.zeros((3, 4, 2), np.float32), np.zeros(2, np.int64)),
        (np.zeros((3, 4, 2), np.float64), np.zeros(3, np.int64)),
        (np.zeros((3, 4, 2), np.float32), np.zeros(3, np.int8)),
        (np.full((3, 4, 2), np.inf, np.float32), np.zeros(3, np.int64)),
    ],
)
def test_malformed_data_are_refused(x: np.ndarray, y: np.ndarray) -> None:
    with pytest.raises(ValueError, match="labelled data need"):
        Labelled(x, y)


def test_a_sample_has_one_shape_and_known_classes() -> None:
    with pytest.raises(ValueError, match="one shape"):
        Sample(labelled(3), labelled(3, tokens=5), labelled(3), ("a", "b", "c"))
    with pytest.raises(ValueError, match="other labels"):
        Sample(labelled(3), labelled(3, top=3), labelled(3), ("a", "b", "c"))
