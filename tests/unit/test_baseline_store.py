"""Files of records: kept by machine and workload, replaced by setup, refused by name."""

import json
import os
import subprocess
import sys
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


def changed(path: Path, **changes: object) -> None:
    """Write a file with one record, some keys of its parts changed past the checks."""
    held = json.loads(record().model_dump_json())
    for name, part in changes.items():
        held[name] = held[name] | part if isinstance(part, dict) and held[name] else part
    path.write_text(json.dumps({"spec_version": 1, "records": [held]}))


METERED = {"value": 1.0, "kind": "measured", "boundary": "package", "source": "RAPL, 3 windows"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"energy": METERED | {"source": "trust me"}, "energy_note": "read"}, "names no meter"),
        ({"energy": METERED}, "a note that it was not measured"),
        ({"energy": METERED | {"value": -1.0}, "energy_note": "read"}, "greater than 0"),
        ({"energy": METERED | {"value": 0.0}, "energy_note": "read"}, "greater than 0"),
        ({"energy": METERED | {"value": 1e308}, "energy_note": "read"}, "records.0.energy.value"),
        ({"times": {"p99": 1e306}}, "records.0.times.p99"),
        ({"times": {"minimum": 5e-324, "median": 5e-324}}, "records.0.times.minimum"),
        ({"times": {"mean": 1e-9}}, "the mean is less than the minimum"),
        ({"times": {"samples": 10**30}}, "records.0.times.samples"),
        ({"workload": {"bytes": 10**400}}, "records.0.workload.bytes"),
        ({"hardware": {"cores": 10**30}}, "records.0.hardware.cores"),
        ({"hardware": {"name": "a\x1b]0;pwn\x07"}}, "records.0.hardware.name"),
        ({"setup": {"runtime": "a\n# b"}}, "records.0.setup.runtime"),
        ({"date": "2026-13-40"}, "records.0.date"),
    ],
)
def test_records_that_cannot_be_are_refused(
    tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    path = tmp_path / "a.json"
    changed(path, **changes)
    with pytest.raises(Problems) as caught:
        store.read(path)
    assert told in str(caught.value)


def test_a_joule_with_its_meter_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    changed(path, energy=METERED, energy_note="RAPL, 3 windows of 10 s")
    (one,) = store.read(path)
    assert one.energy is not None
    assert one.energy.kind == "measured"


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    changed(path)
    path.write_text(path.read_text().replace('"load": 0.5', '"load": 9.0, "load": 0.5'))
    with pytest.raises(BaselineError, match="The key 'load' stands twice"):
        store.read(path)


def test_a_file_in_another_machine_s_folder_is_not_that_machine_s(tmp_path: Path) -> None:
    (path,) = store.keep([record()], tmp_path)
    path.parent.rename(tmp_path / "somebody-else")
    with pytest.raises(BaselineError, match="a record of a-machine, whose folder is another one"):
        store.find(own=tmp_path, package=tmp_path / "none")


def test_malformed_files_hide_no_others(tmp_path: Path) -> None:
    store.keep([record(), record(workload={"name": "gpt2-medium"})], tmp_path)
    for number in range(store.MOST + 5):
        (tmp_path / "a-machine" / f"bad{number}.json").write_text("{")
    found, faults = store.look(own=tmp_path, package=tmp_path / "none")
    assert len(found) == 2
    assert len(faults) == store.MOST + 1
    assert "5 more faults" in str(faults[-1])


KEEPING = """
import sys
from pathlib import Path
from unit.baseline_records import record
from gateformer.baselines import store
for number in range(12):
    store.keep([record(workload={"context": 1000 * int(sys.argv[1]) + number})], Path(sys.argv[2]))
"""


def test_two_runs_that_keep_at_once_lose_nothing(tmp_path: Path) -> None:
    surroundings = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", KEEPING, str(number), str(tmp_path)], env=surroundings
        )
        for number in range(3)
    ]
    assert [one.wait(60) for one in runs] == [0, 0, 0]
    assert len(store.read(tmp_path / "a-machine" / "gpt2-small.json")) == 36


def test_a_place_that_takes_no_files_is_known_before(tmp_path: Path) -> None:
    store.ready(tmp_path / "new" / "place")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        store.ready(tmp_path / "file" / "inside")
