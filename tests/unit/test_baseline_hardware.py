"""What a baseline ran on: a fake /proc and /sys, real bandwidth of small arrays, real pinning."""

import os
from pathlib import Path

import pytest
from unit.decoder_shapes import GPT

from gateformer.baselines import bandwidth, pinning, running
from gateformer.baselines.bandwidth import Bandwidth
from gateformer.baselines.hardware import cpu, identity, last_cache_bytes, memory_bytes
from gateformer.baselines.running import Wanted
from gateformer.config.schema import Config

DESIGN = Config(model="net.h5")
CPUINFO = """processor\t: 0
model name\t: Intel(R) Xeon(R) Gold 6154 CPU @ 3.00GHz
cpu family\t: 6
model\t\t: 85
stepping\t: 4
microcode\t: 0x2006e05
flags\t\t: fpu avx2 avx512f hypervisor

processor\t: 1
model name\t: another
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("proc/cpuinfo", CPUINFO)
    write("proc/meminfo", "MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n")
    processors = "sys/devices/system/cpu"
    write(f"{processors}/cpu0/cpufreq/scaling_governor", "performance\n")
    for index, (level, kind, size) in enumerate(
        [("1", "Data", "32K"), ("1", "Instruction", "64K"), ("3", "Unified", "24M")]
    ):
        for name, value in (("level", level), ("type", kind), ("size", size)):
            write(f"{processors}/cpu0/cache/index{index}/{name}", value + "\n")
    for number in os.sched_getaffinity(0):
        write(f"{processors}/cpu{number}/topology/thread_siblings_list", f"{number}\n")
    return tmp_path


def test_a_machine_is_told_as_a_peer_would_ask(machine: Path) -> None:
    found = cpu(Bandwidth(12.5, "assumed", {"triad": "10 GB/s"}), machine)
    assert found.name == "Intel(R) Xeon(R) Gold 6154 CPU @ 3.00GHz"
    assert found.id.startswith(f"intel-xeon-gold-6154-{found.cores}c-")
    assert (found.memory_gb, found.bandwidth_gbs) == (16.0, 12.5)
    details = found.details
    assert details["family, model, stepping"] == "6, 85, 4"
    assert details["microcode"] == "0x2006e05"
    assert details["caches"] == "L1 32K, L3 24M"
    assert details["instructions"] == "avx2, avx512f"
    assert details["governor"] == "performance"
    assert details["virtual machine"] == "yes"
    assert details["triad"] == "10 GB/s"
    assert last_cache_bytes(machine) == 24 << 20
    assert memory_bytes(machine) == 8 << 30


def test_the_same_machine_gets_the_same_id(machine: Path) -> None:
    first = cpu(root=machine)
    assert cpu(Bandwidth(1.0, ""), machine).id == first.id
    (machine / "proc/cpuinfo").write_text(CPUINFO.replace(": 85", ": 86"))
    assert cpu(root=machine).id != first.id


def test_a_machine_that_tells_nothing_has_a_name_still(tmp_path: Path) -> None:
    found = cpu(root=tmp_path)
    assert found.id
    assert found.bandwidth_gbs is None
    assert identity("日本", 1, ()).startswith("machine-1c-")


def test_hardware_threads_of_one_core_come_last(tmp_path: Path) -> None:
    here = sorted(os.sched_getaffinity(0))
    if len(here) < 2:
        pytest.skip("one processor")
    for number in here:
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text("0-1\n" if number in here[:2] else f"{number}")
    assert pinning.available(tmp_path) == [here[0], *here[2:], here[1]]
    assert pinning.cores(tmp_path) == len(here) - 1
    assert pinning.choose(1, tmp_path) == (here[0],)


def test_threads_are_told_to_every_pool() -> None:
    plain = pinning.environment(3)
    assert plain["OMP_NUM_THREADS"] == plain["MKL_NUM_THREADS"] == "3"
    assert "GLIBC_TUNABLES" not in plain
    assert pinning.environment(3, huge_pages=True)["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"


def test_huge_pages_are_asked_for_only_where_there_are_some(tmp_path: Path) -> None:
    setting = tmp_path / "enabled"
    assert "no transparent huge pages" in str(pinning.no_huge_pages(("glibc", "2.36"), setting))
    setting.write_text("always [madvise] never\n")
    assert pinning.no_huge_pages(("glibc", "2.36"), setting) is None
    assert "this is glibc 2.34" in str(pinning.no_huge_pages(("glibc", "2.34"), setting))
    assert "another library" in str(pinning.no_huge_pages(("", ""), setting))
    assert (pinning.pages(False, setting), pinning.pages(True, setting)) == ("plain", "huge")
    setting.write_text("[always] madvise never\n")
    assert pinning.pages(False, setting) == "huge"
    assert pinning.pages(False, tmp_path / "none") == "plain"
    setting.write_text("always madvise [never]\n")
    assert "set to never" in str(pinning.no_huge_pages(("glibc", "2.36"), setting))


def test_decoders_on_a_cpu_ask_for_huge_pages_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asks = running.huge_pages_of
    monkeypatch.setattr(running, "no_huge_pages", lambda libc: None)
    assert asks(GPT, Wanted()) and not asks(DESIGN, Wanted())
    assert not asks(GPT, Wanted(), "cuda")
    assert not asks(GPT, Wanted(huge_pages=False))
    assert asks(DESIGN, Wanted(huge_pages=True))
    monkeypatch.setattr(running, "no_huge_pages", lambda libc: "there are none")
    assert not asks(GPT, Wanted())


def test_the_bandwidth_of_a_record_is_that_of_its_own_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = Bandwidth(9.0, "a test", {}, {"plain": 4.0, "huge": 9.0})
    monkeypatch.setattr(bandwidth, "measure", lambda threads: both)
    there = running.machine("cpu", 1)
    assert (there("plain").bandwidth_gbs, there("huge").bandwidth_gbs) == (4.0, 9.0)
    assert there("plain").bandwidth_method == "read, plain pages: a test"
    assert there("plain").id == there("huge").id


def test_memory_in_huge_pages_is_what_the_kernel_tells(tmp_path: Path) -> None:
    told = tmp_path / "smaps_rollup"
    told.write_text(
        "0-1 ---p 00000000 00:00 0 [rollup]\nAnonymous: 400 kB\nAnonHugePages: 300 kB\n"
    )
    assert pinning.share_in_huge_pages(told) == 0.75
    told.write_text("0-1 ---p 00000000 00:00 0 [rollup]\n")
    assert pinning.share_in_huge_pages(told) is None
    assert pinning.share_in_huge_pages(tmp_path / "none") is None


def test_bandwidth_is_measured_and_says_how() -> None:
    before = os.sched_getaffinity(0)
    found = bandwidth.measure(1, repeats=2, size=8 << 20)
    assert os.sched_getaffinity(0) == before
    assert 0 < found.gbs < 10_000
    if "g++" in found.method:
        assert len(found.details) == 5
        assert float(found.details["bandwidth, processes beside it"]) >= 0
        reads = [told.split()[0] for name, told in found.details.items() if "read" in name]
        assert found.gbs == pytest.approx(max(map(float, reads)), rel=1e-3)
    assert found.gbs == max(found.reads["plain"], found.reads["huge"])
    for pages in ("plain", "huge"):
        assert found.on(pages).gbs == found.reads[pages]
        assert found.on(pages).method == f"read, {pages} pages: {found.method}"


def test_without_a_compiler_the_figure_says_that_it_is_a_lower_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bandwidth, "find_tool", lambda name: None)
    found = bandwidth.measure(2, repeats=2, size=8 << 20)
    assert 0 < found.gbs < 10_000
    assert "a lower bound" in found.method


def test_a_compiler_that_fails_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "find_tool", lambda name: Path("/bin/false"))
    assert "a lower bound" in bandwidth.measure(1, repeats=1, size=1 << 20).method
