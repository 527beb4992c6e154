import numpy as np
import pytest

from gateformer.quant.errors import DataError
from gateformer.quant.metrics import accuracy, auc, ranks


def pairs(score: np.ndarray, positive: np.ndarray) -> float:
    """Share of pairs of a positive and a negative that are in order; a tie counts half."""
    gap = score[positive][:, None] - score[~positive]
    return float((gap > 0).mean() + (gap == 0).mean() / 2)


def test_ranks_share_ties() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 0.0])).tolist() == [3.5, 2.0, 3.5, 1.0]


@pytest.mark.parametrize("steps", [3, 1000])
def test_auc_counts_ordered_pairs(steps: int) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 500)
    score = np.rint(rng.random((500, 3)) * steps + np.eye(3)[label])
    wanted = np.mean([pairs(score[:, k], label == k) for k in range(3)])
    assert auc(score, label) == pytest.approx(wanted, abs=1e-12)
    binary = pairs(score[:, 1], label == 1)
    assert auc(score[:, 1], label == 1) == pytest.approx(binary, abs=1e-12)


def test_auc_needs_two_classes() -> None:
    with pytest.raises(DataError, match="E604"):
        auc(np.zeros((4, 2)), np.zeros(4, np.int64) + 5)


def test_accuracy() -> None:
    assert accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1])) == 0.5
    assert accuracy(np.array([[0.9], [0.2]]), np.array([1, 0])) == 1.0
