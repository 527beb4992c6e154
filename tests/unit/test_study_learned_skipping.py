"""The page of a language model that learns to be skipped: its verdicts, its record, its caches."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from gateformer.study import learned_skipping as study
from gateformer.study.learned_skipping import WAYS, results

HERE = Path(__file__).parents[2]


def rows(more: float, spread: float) -> list[dict[str, object]]:
    """Return a record of two ways whose difference is ``more`` on average."""
    apart = np.array([more - spread, more + spread])
    return [
        {"way": asdict(WAYS[0]), "bits": [[2.0, 2.5]]},
        {"way": asdict(WAYS[3]), "bits": [(np.array([2.0, 2.5]) + apart).tolist()]},
    ]


def test_the_page_is_that_of_its_record() -> None:
    recorded = json.loads((HERE / study.RECORD).read_text("utf-8"))
    assert [study.Way(**row["way"]) for row in recorded["rows"]] == list(WAYS)
    for row in recorded["rows"]:
        assert np.shape(row["bits"]) == (len(study.SEEDS), study.WINDOWS)
    assert (HERE / "docs/pim_learned_skip.md").read_text("utf-8") == study.page(recorded)


def test_a_difference_within_its_error_is_none() -> None:
    # Two stretches that are +-s about the mean: the standard error is s.
    first, same = results(rows(0.1, 0.1001))
    assert same.bar == pytest.approx(0.1001) and same.more == pytest.approx(0.1)
    assert same.verdict.startswith("gains on 1")
    assert results(rows(0.1, 0.0999))[1].verdict == "loses accuracy"
    assert first.verdict == "no gain"


def test_clocks_have_to_fall_by_more_than_a_hundredth() -> None:
    found = results(rows(0.0, 0.1))[1]
    assert replace(found, change=(-0.02, -0.0099, 0.1)).verdict == "gains on 1"
    assert replace(found, change=(-0.02, -0.0101, 0.1)).verdict == "gains on 1 and 2"
    assert replace(found, change=(-0.0099, 0.0, 0.1)).verdict == "no gain"


def test_a_training_is_kept_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    way = WAYS[-1]
    recipe = replace(way.recipe(1), steps=1, batch=1, window=16)
    model = study.trained(recipe, tmp_path)
    monkeypatch.setattr(study, "fit", lambda *_: pytest.fail("it was trained again"))
    again = study.trained(recipe, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert np.array_equal(model.embedding, again.embedding)
    assert model.decoder == again.decoder == way.decoder
    with pytest.raises(pytest.fail.Exception, match="again"):
        study.trained(replace(recipe, seed=2), tmp_path)


def test_stretches_lie_in_the_test_text_alone() -> None:
    learned, test = study.texts()
    found = list(study.stretches())
    assert len(found) == study.WINDOWS and {len(one) for one in found} == {study.WINDOW + 1}
    assert test.startswith(found[0]) and test.endswith(found[-1])
    assert len(test) == pytest.approx((len(learned) + len(test)) / 8, abs=1)


def test_a_record_tells_which_text_it_is_of() -> None:
    recorded = json.loads((HERE / study.RECORD).read_text("utf-8"))
    if recorded["versions"]["python"] != platform.python_version():
        pytest.skip("another Python has another documentation")
    whole = b"".join(study.texts())
    assert recorded["text"]["sha256"] == sha256(whole).hexdigest()
    assert recorded["text"]["learned"] == len(study.texts()[0])
