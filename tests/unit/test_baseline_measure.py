"""The measuring loop: a record for what is right, a reasoned row for each way to fail."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from unit.baseline_candidates import PLACE

from gateformer.baselines.jobs import JOBS, Job
from gateformer.baselines.measure import Failure, compared, measure
from gateformer.baselines.record import Hardware, Record
from gateformer.baselines.registry import candidates, chosen
from gateformer.baselines.work import NetworkWork
from gateformer.quant.errors import BaselineError, Problems
from gateformer.quant.expand import Linear
from gateformer.quant.graph import Builder
from gateformer.quant.serialize import save

MACHINE = Hardware(
    id="a-machine",
    kind="cpu",
    name="A machine",
    cores=2,
    memory_gb=8.0,
    bandwidth_gbs=20.0,
    bandwidth_method="assumed by a test",
    details={},
)


@pytest.fixture
def work(tmp_path: Path) -> NetworkWork:
    builder = Builder("dense")
    x = builder.input("x", (4,))
    dense = Linear(np.arange(12.0).reshape(4, 3) / 8, None, (3,))
    builder.output(builder.add(dense, x, name="y", layer="y"))
    save(builder.build(), tmp_path / "graph.json")
    np.savez(tmp_path / "inputs.npz", x=np.eye(4))
    return NetworkWork("dense", tmp_path / "graph.json", tmp_path / "inputs.npz", batch=2)


def run(work: NetworkWork, *names: str, timeout_s: float = 60, **options: bool) -> list:
    wanted = [one for one in candidates(PLACE) if one.runtime in names]
    return measure(
        work,
        wanted,
        hardware=MACHINE,
        threads=1,
        seconds=0.05,
        command="a test",
        place=PLACE,
        timeout_s=timeout_s,
        **options,
    )


def test_a_runtime_that_is_right_gets_a_record(work: NetworkWork) -> None:
    (record,) = run(work, "reals", huge_pages=True)
    assert isinstance(record, Record)
    assert record.difference == 0
    assert record.workload.bytes == 1000
    assert record.workload.batch == 2
    assert record.workload.parameters == 12
    assert record.times.samples >= 5
    assert record.setup.version == "1.2"
    said = record.setup.options
    assert (said["threads"], said["processors"], said["omp"]) == ("1", "1", "1")
    assert said["malloc"] == said["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    assert record.energy is None
    assert Record.model_validate_json(record.model_dump_json()) == record


def test_each_failure_is_a_row_and_ends_nothing(work: NetworkWork) -> None:
    names = ("wrong", "undefined", "crash", "starve", "refuse", "leave", "lack", "absent", "reals")
    rows = {one.runtime: one for one in run(work, *names) if isinstance(one, Failure)}
    assert set(rows) == set(names) - {"reals"}
    said = {name: str(row.error) for name, row in rows.items()}
    assert said["wrong"].startswith("E852") and "By 0.5" in said["wrong"]
    assert said["undefined"].startswith("E852") and "nan" in said["undefined"]
    assert said["crash"].startswith("E851")
    assert "SIGSEGV. about to fall over" in said["crash"]
    assert "memory runs out" in said["starve"]
    assert "RuntimeError: no kernel for this operation" in said["refuse"]
    assert "SystemExit: 3" in said["leave"]
    assert said["lack"] == "E501 tool not found: 'g++'. apt install g++."
    assert said["absent"].startswith("E505")
    assert "no_such_module" in said["absent"] and ".[baselines]" in said["absent"]


def test_a_runtime_that_says_of_itself_what_cannot_be_ends_nothing(work: NetworkWork) -> None:
    right, odd = run(work, "nameless", "reals")
    assert isinstance(right, Record)
    assert str(odd.error).startswith("E851 runtime failed: 'nameless:fp64'")
    assert "bytes: Input should be greater than or equal to 0" in str(odd.error)


def test_a_process_that_left_its_worker_s_group_ends_too(
    work: NetworkWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (record,) = run(work, "detached")
    assert isinstance(record, Record)
    mark = str(tmp_path).encode()
    until = time.monotonic() + 5
    while (left := holding(mark)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left


def holding(mark: bytes) -> list[str]:
    """Processes whose environment names a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if b"TMPDIR=" + mark in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_a_runtime_that_hangs_is_ended_with_all_its_processes(
    work: NetworkWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: set[str] = set()
    watching = threading.Event()

    def watch() -> None:
        while not watching.wait(0.1):
            seen.update(workers(tmp_path))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        (row,) = run(work, "hang", timeout_s=4)
    finally:
        watching.set()
        watcher.join()
    assert isinstance(row, Failure)
    assert "stopped after 4 s" in str(row.error)
    # The reference's, the candidate's, and the one that the candidate started.
    assert len(seen) == 3
    assert not workers(tmp_path)


def workers(folder: Path) -> set[str]:
    """Processes whose command is that of a worker in a folder."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"gateformer.baselines.worker" in words and str(folder).encode() in words:
            found.add(path.parent.name)
    return found


def test_an_exact_candidate_may_not_differ_at_all() -> None:
    near = replace(candidates(PLACE)[0], tolerance=0.5)
    reference = np.array([[1.0, -2.0]])
    assert compared(near, reference + 0.25, reference) == 0.25
    exact = replace(near, exact=True)
    assert compared(exact, reference, reference) == 0
    with pytest.raises(BaselineError, match="E852"):
        compared(exact, reference + 1e-9, reference)
    with pytest.raises(BaselineError, match="E852"):
        compared(near, reference, np.array([[np.inf, -2.0]]))
    with pytest.raises(BaselineError, match="the shape"):
        compared(near, reference[:, :1], reference)


def test_workers_leave_nothing_behind(
    work: NetworkWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    run(work, "reals", "crash")
    assert not list(place.iterdir())


def test_without_a_reference_nothing_has_a_time(work: NetworkWork) -> None:
    np.savez(work.inputs, y=np.eye(4))
    rows = run(work, "reals", "wrong")
    assert len(rows) == 2
    for row in rows:
        assert isinstance(row, Failure)
        assert str(row.error).startswith("E851 the reference cannot be computed: 'dense'")


def test_a_worker_ends_with_its_parent(work: NetworkWork, tmp_path: Path) -> None:
    """A parent that is killed has no time to end anybody."""
    folder = tmp_path / "desk"
    folder.mkdir()
    text = f"""
import os, subprocess, sys, time
from pathlib import Path
from gateformer.baselines.jobs import JOBS, Job
from gateformer.baselines.work import NetworkWork
work = NetworkWork("dense", Path({str(work.graph)!r}), Path({str(work.inputs)!r}))
job = Job("measure", work, os.getpid(), (0,), 1, {PLACE!r}, "idle:fp64", 1.0)
Path({str(folder)!r}, "job.json").write_bytes(JOBS.dump_json(job))
command = [sys.executable, "-m", "gateformer.baselines.worker", {str(folder)!r}]
print(subprocess.Popen(command).pid, flush=True)
time.sleep(600)
"""
    surroundings = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, env=surroundings
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        time.sleep(1.0)
        assert alive(worker)
        parent.kill()
    until = time.monotonic() + 5
    while alive(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(worker)


def alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_worker_whose_parent_has_ended_does_nothing(work: NetworkWork, tmp_path: Path) -> None:
    job = Job("measure", work, 1, (0,), 1, PLACE, "reals:fp64", 1.0)
    (tmp_path / "job.json").write_bytes(JOBS.dump_json(job))
    command = [sys.executable, "-m", "gateformer.baselines.worker", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "has ended" in ended.stderr
    assert not (tmp_path / "answer.json").exists()


def test_runtimes_are_chosen_by_name_or_with_their_precision() -> None:
    assert [one.key for one in chosen(PLACE, ["reals", "wrong:fp64"])] == [
        "reals:fp64",
        "wrong:fp64",
    ]
    with pytest.raises(Problems) as caught:
        chosen(PLACE, ["real", "wrong:fp8"])
    assert "Did you mean 'reals'?" in str(caught.value)
