"""docs/baselines.md: every candidate is listed, and no other."""

from pathlib import Path

import pytest

from gateformer.baselines.registry import PLACES, Device, candidates

PAGE = Path(__file__).parents[2] / "docs" / "baselines.md"


@pytest.mark.parametrize(("kind", "device"), list(PLACES))
def test_the_page_lists_what_runs(kind: str, device: Device) -> None:
    words = {"network": "network", "decode": "decoder", "cpu": "CPU", "cuda": "GPU"}
    runtimes: dict[str, list[str]] = {}
    for one in candidates(PLACES[kind, device]):
        runtimes.setdefault(one.runtime, []).append(one.precision)
    listed = "; ".join(f"`{name}` {', '.join(all_)}" for name, all_ in runtimes.items())
    row = f"| {words[kind]} | {words[device]} | {listed} |"
    assert row in PAGE.read_text(encoding="utf-8"), f"the row is now: {row}"


@pytest.mark.parametrize(("kind", "device"), list(PLACES))
def test_a_place_s_keys_tell_its_candidates_apart(kind: str, device: Device) -> None:
    found = candidates(PLACES[kind, device])
    assert len({one.key for one in found}) == len(found)
    assert {one.device for one in found} == {device}
    assert all(one.exact or one.tolerance > 0 for one in found)
