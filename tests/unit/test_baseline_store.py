"""Files of records: kept by machine and workload, replaced by setup, refused by name."""

import json
from pathlib import Path

import pytest
from unit.baseline_records import PLAIN, record

from gateformer.baselines import store
from gateformer.baselines.record import Times
from gateformer.quant.errors import BaselineError, Problems


def test_records_go_where_they_are_found_again(tmp_path: Path) -> None:
    records = [record(), record(workload={"name": "gpt2-medium"}), record(hardware={"id": "b"})]
    paths = store.keep(records, tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in paths) == [
        "a-machine/gpt2-medium.json",
        "a-machine/gpt2-small.json",
        "b/gpt2-small.json",
    ]
    empty = tmp_path / "none"

    def found(**wanted: str) -> list[tuple[str, str]]:
        held = store.find(own=tmp_path, package=empty, **wanted)
        return sorted((one.record.hardware.id, one.record.workload.name) for one in held)

    assert len(found()) == 3
    assert found(workload="gpt2-medium") == [("a-machine", "gpt2-medium")]
    assert found(hardware="b") == [("b", "gpt2-small")]
    assert found(fingerprint="beef") == []
    assert all(not one.shipped for one in store.find(own=tmp_path, package=empty))


def test_a_new_record_takes_the_place_of_its_own_setup_alone(tmp_path: Path) -> None:
    huge = {"options": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}}
    store.keep([record(), record(setup=huge), record(setup={"precision": "q8_0"})], tmp_path)
    (path,) = store.keep([record(times={"median": 0.0095})], tmp_path)
    held = store.read(path)
    assert len(held) == 3
    assert sorted(one.times.median for one in held) == [0.0095, 0.01, 0.01]


def test_the_machine_s_own_record_counts_before_a_shipped_one(tmp_path: Path) -> None:
    own, package = tmp_path / "own", tmp_path / "package"
    store.keep([record(times={"median": 0.0105}), record(workload={"batch": 8})], package)
    store.keep([record()], own)
    found = {one.record.workload.batch: one for one in store.find(own=own, package=package)}
    assert (found[1].record.times.median, found[1].shipped) == (0.01, False)
    assert found[8].shipped


def test_a_name_that_leads_elsewhere_does_not(tmp_path: Path) -> None:
    (path,) = store.keep([record(workload={"name": "../../out [*]"})], tmp_path / "inside")
    assert path.parent == tmp_path / "inside" / "a-machine"
    assert len(store.find(workload="../../out [*]", own=tmp_path / "inside")) == 1


def test_all_faults_of_a_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "gpt2-small.json"
    wrong = json.loads(record().model_dump_json())
    wrong["setup"]["threads"] = 0
    wrong["times"]["p99"] = 0.001
    wrong["colour"] = "blue"
    path.write_text(json.dumps({"spec_version": 1, "records": [wrong]}))
    with pytest.raises(Problems) as caught:
        store.read(path)
    said = str(caught.value)
    assert "records.0.setup.threads" in said
    assert "records.0.times: Value error, times are not in order" in said
    assert "records.0.colour" in said
    assert {error.code for error in caught.value.errors} == {"E850"}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"spec_version": 2, "records": []}', b"\xff\xfe", b"[" * 100_000],
)
def test_what_is_no_file_of_records_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises((BaselineError, Problems), match="E850"):
        store.read(path)


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = store.keep([record()], tmp_path)
    monkeypatch.setattr(store, "LARGEST", 100)
    with pytest.raises(BaselineError, match="of 100 at most"):
        store.read(path)


def test_a_malformed_file_is_left_as_it_is(tmp_path: Path) -> None:
    (path,) = store.keep([record()], tmp_path)
    path.write_text("mine")
    with pytest.raises(Problems, match="E850"):
        store.keep([record()], tmp_path)
    assert path.read_text() == "mine"
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_what_comes_with_the_package_is_well_formed() -> None:
    for one in store.find(own=Path("nowhere")):
        assert one.shipped
        assert one.path.parent.name == one.record.hardware.id
        assert one.record.difference is not None


def test_times_are_in_order() -> None:
    with pytest.raises(ValueError, match="not in order"):
        Times.model_validate(PLAIN["times"] | {"p90": 1.0})
