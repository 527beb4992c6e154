"""Meters read real counters right, and say why where there is none: fake sysfs, fake NVML."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateformer.energy.meters import estimate
from gateformer.energy.meters.estimate import Constants, EstimateMeter
from gateformer.energy.meters.nvml import NvmlMeter
from gateformer.energy.meters.rapl import RaplMeter
from gateformer.energy.meters.windows import Choice, choose, chosen, metered
from gateformer.errors import BaselineError


class World:
    """A clock, and counters that draw a constant power while it runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.tell: Callable[[], None] = lambda: None

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.tell()


class Powercap(World):
    """A fake /sys/class/powercap: zones with their watts, first microjoules and range."""

    def __init__(self, root: Path, zones: dict[str, tuple[str, float, int, int]]) -> None:
        super().__init__()
        self.root, self.zones = root, zones
        for folder, (name, _, _, reach) in zones.items():
            (root / folder).mkdir(parents=True)
            (root / folder / "name").write_text(name + "\n")
            (root / folder / "max_energy_range_uj").write_text(f"{reach}\n")
        self.tell = self.write
        self.write()

    def write(self) -> None:
        for folder, (_, watts, first, reach) in self.zones.items():
            counted = (first + round(watts * self.now * 1e6)) % reach
            (self.root / folder / "energy_uj").write_text(f"{counted}\n")

    def meter(self, vendor: str = "GenuineIntel") -> RaplMeter:
        info = self.root / "cpuinfo"
        info.write_text(f"vendor_id\t: {vendor}\n")
        return RaplMeter(self.root, info, self.pause, self.clock)


RANGE = 65_532_610_987
"""A server's ``max_energy_range_uj``."""
SERVER = {
    "intel-rapl:0": ("package-0", 90.0, 0, RANGE),
    "intel-rapl:0:0": ("dram", 8.0, 5, RANGE),
    "intel-rapl:1": ("package-1", 30.0, RANGE - 7_000_000, RANGE),
    "intel-rapl:1:0": ("dram", 4.0, RANGE - 1, RANGE),
    "intel-rapl:2": ("psys", 250.0, 0, RANGE),
    "intel-rapl-mmio:0": ("package-0", 90.0, 0, RANGE),
}


def test_rapl_adds_the_sockets_and_their_memories_past_a_wrap(tmp_path: Path) -> None:
    world = Powercap(tmp_path, SERVER)
    meter = world.meter()
    assert meter.available() is None
    meter.start()
    world.pause(10)
    found = meter.stop()
    assert found.joules == pytest.approx(10 * (90 + 8 + 30 + 4), abs=1e-4)
    assert (found.seconds, found.watts) == (10, pytest.approx(132))
    assert (found.kind, found.boundary) == ("measured", "package and memory")
    assert found.method == (
        "RAPL counters through powercap: package-0, package-1, dram of package-0, dram of package-1"
    )
    # psys is seen and not counted; the packages' second view is not seen at all.
    assert found.parts["psys"] == pytest.approx(2500)
    assert len(found.parts) == 5


def test_packages_of_one_name_count_both(tmp_path: Path) -> None:
    zones = {f"intel-rapl:{k}": ("package-0", 10.0 + k, 0, RANGE) for k in (0, 1)}
    world = Powercap(tmp_path, zones)
    meter = world.meter()
    meter.start()
    world.pause(1)
    assert meter.stop().joules == pytest.approx(21)


@pytest.mark.parametrize(
    "memory",
    [{}, {"intel-rapl:0:2": ("dram", 0.0, 0, RANGE)}],
    ids=["no memory counter", "one that never moves"],
)
def test_rapl_without_memory_says_package(
    tmp_path: Path, memory: dict[str, tuple[str, float, int, int]]
) -> None:
    zones = {
        "intel-rapl:0": ("package-0", 20.0, 0, RANGE),
        "intel-rapl:0:0": ("core", 15.0, 0, RANGE),
        **memory,
    }
    world = Powercap(tmp_path, zones)
    meter = world.meter("AuthenticAMD")
    assert meter.available() is None
    meter.start()
    world.pause(2)
    found = meter.stop()
    assert (found.joules, found.boundary) == (pytest.approx(40), "package")
    assert found.method.endswith("package-0; on AMD the chip computes them from its activity")


def test_a_machine_without_rapl_says_so(tmp_path: Path) -> None:
    for root in (tmp_path / "none", tmp_path):
        choice = chosen(RaplMeter(root))
        assert choice == Choice(None, f"not measurable here: no RAPL: {root} has no package")
        assert metered(lambda: None, 1, choice) == (None, choice.reason)


def test_counters_of_the_superuser_name_the_remedy(tmp_path: Path) -> None:
    class Locked(RaplMeter):
        def _found(self) -> Any:
            raise PermissionError(13, "Permission denied", "/sys/class/powercap/a/energy_uj")

    said = Locked(tmp_path).available()
    assert said is not None
    assert "/sys/class/powercap/a/energy_uj is the superuser's (sudo chmod a+r" in said
    with pytest.raises(BaselineError, match=r"E854 .*'RAPL'\. It cannot be read"):
        Locked(tmp_path).start()


def test_counters_that_a_container_hides_are_told(tmp_path: Path) -> None:
    (tmp_path / "intel-rapl:0").symlink_to(tmp_path / "masked")
    said = RaplMeter(tmp_path).available()
    assert said is not None
    assert said.startswith("RAPL is there but hidden, as containers do: ")


def test_counters_that_stand_still_or_hold_no_number_are_not_believed(tmp_path: Path) -> None:
    world = Powercap(tmp_path, {"intel-rapl:0": ("package-0", 0.0, 77, RANGE)})
    meter = world.meter()
    assert meter.available() == "RAPL is there but stands still: package-0"
    meter.start()
    world.pause(10)
    with pytest.raises(BaselineError, match=r"package-0 stood still for 10\.0 s"):
        meter.stop()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("odd\n")
    assert "invalid literal" in (meter.available() or "")
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(BaselineError, match="E854"):
        meter.stop()


def test_a_window_in_which_a_counter_may_wrap_twice_is_refused(tmp_path: Path) -> None:
    world = Powercap(tmp_path, SERVER)
    meter = world.meter()
    meter.start()
    world.pause(66)
    with pytest.raises(BaselineError, match=r"more than once in 66\.0 s.*shorter windows"):
        meter.stop()


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (5_000_000_000, 0, "leapt or began anew"),
        (0, 60_000_000_000, "leapt or began anew"),
        (0, RANGE + 10**7, "beyond its own end"),
        (0, 10**36, "It cannot be read"),
        (0, 10**400, "It cannot be read"),
        (0, -7, "It cannot be read"),
    ],
)
def test_a_counter_that_leaps_is_no_joule(tmp_path: Path, first: int, then: int, said: str) -> None:
    world = Powercap(tmp_path, {"intel-rapl:0": ("package-0", 20.0, first, RANGE)})
    meter = world.meter()
    meter.start()
    world.pause(1)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text(f"{then}\n")
    with pytest.raises(BaselineError, match=said):
        meter.stop()
    (tmp_path / "intel-rapl:0" / "max_energy_range_uj").write_text(f"{10**400}\n")
    assert (meter.available() or "").startswith("RAPL is there but cannot be read")


def test_two_names_of_one_counter_count_once(tmp_path: Path) -> None:
    world = Powercap(tmp_path / "cap", {"intel-rapl:0": ("package-0", 20.0, 0, RANGE)})
    (tmp_path / "cap" / "intel-rapl:1").symlink_to(tmp_path / "cap" / "intel-rapl:0")
    meter = world.meter()
    meter.start()
    world.pause(1)
    assert meter.stop().joules == pytest.approx(20)


def test_windows_of_two_boundaries_have_no_median(tmp_path: Path) -> None:
    zones = {
        "intel-rapl:0": ("package-0", 20.0, 0, RANGE),
        "intel-rapl:0:0": ("dram", 5.0, 0, RANGE),
    }
    world = Powercap(tmp_path, zones)
    meter = world.meter()

    def step() -> None:
        if 2 < world.now < 3:
            world.zones["intel-rapl:0:0"] = ("dram", 0.0, round(5e6 * world.now), RANGE)
        world.pause(1)

    energy, note = metered(step, 1, chosen(meter), rest=0, clock=world.clock, pause=world.pause)
    assert energy is None
    assert "Its windows are not of one boundary: package, package and memory" in note


class FakeNvml(SimpleNamespace):
    """pynvml's few functions, over a board of constant power."""

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):  # noqa: N801, N818 - the library's name
        pass

    def __init__(self, world: World, watts: float, **faults: Exception) -> None:
        super().__init__(world=world, watts=watts, faults=faults, processes=[1], mig=None)

    def _fail(self, name: str) -> None:
        if name in self.faults:
            raise self.faults[name]

    def nvmlInit(self) -> None:  # noqa: N802 - the library's name
        self._fail("init")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        self._fail("handle")
        return f"handle {index}"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        return f"handle {uuid}"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        self._fail("energy")
        # It counts in steps of a tenth of a second, as boards do.
        return 123_456 + round(self.watts * (self.world.now // 0.1) * 100)

    def nvmlDeviceGetName(self, handle: str) -> bytes:  # noqa: N802
        return f"H100 at {handle}".encode()

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[int]:  # noqa: N802
        return list(self.processes)

    def nvmlDeviceGetMigMode(self, handle: str) -> list[int]:  # noqa: N802
        if self.mig is None:
            raise self.NVMLError_NotSupported
        return [self.mig, self.mig]


def gpu(watts: float = 310.0, **faults: Exception) -> tuple[World, FakeNvml, NvmlMeter]:
    world = World()
    library: Any = FakeNvml(world, watts, **faults)
    return world, library, NvmlMeter(0, library, world.pause, world.clock)


def test_nvml_reads_the_boards_counter() -> None:
    world, library, meter = gpu()
    assert meter.available() is None
    meter.start()
    world.pause(12)
    found = meter.stop()
    assert found.joules == pytest.approx(310 * 12, rel=0.01)
    assert (found.boundary, found.kind, found.tolerance) == ("board", "measured", 0.05)
    assert found.method == "NVML total energy counter of H100 at handle 0"
    library.processes, library.mig = [1, 2], 1
    world.pause(1)
    assert meter.stop().method.endswith(
        "; other processes ran on it; the whole board, of which MIG gives the work a part"
    )


def test_nvml_finds_the_board_that_cuda_names() -> None:
    world = World()
    library: Any = FakeNvml(world, 50.0)
    meter = NvmlMeter("GPU-1234", library, world.pause, world.clock)
    meter.start()
    world.pause(1)
    assert meter.stop().method.endswith("H100 at handle GPU-1234")


@pytest.mark.parametrize(
    ("faults", "watts", "said"),
    [
        ({"init": FakeNvml.NVMLError("Driver Not Loaded")}, 1.0, "no NVML: Driver Not Loaded"),
        (
            {"handle": FakeNvml.NVMLError("Invalid Argument")},
            1.0,
            "NVML is there but does not answer for GPU 0: Invalid Argument",
        ),
        (
            {"energy": FakeNvml.NVMLError_NotSupported("Not Supported")},
            1.0,
            "NVML is there, but H100 at handle 0 has no energy counter (before Volta)",
        ),
        ({}, 0.0, "NVML is there but its energy counter stands still: H100 at handle 0"),
    ],
)
def test_nvml_that_cannot_be_read_says_why(
    faults: dict[str, Exception], watts: float, said: str
) -> None:
    _, _, meter = gpu(watts, **faults)
    assert meter.available() == said


def test_a_gpu_that_goes_away_leaves_no_joules_and_keeps_the_run() -> None:
    world, library, meter = gpu()
    choice = chosen(meter)
    calls = []

    def step() -> None:
        world.pause(3)
        calls.append(1)
        if len(calls) == 5:
            library.faults["energy"] = FakeNvml.NVMLError("GPU is lost")

    energy, note = metered(step, 1, choice, clock=world.clock, pause=world.pause)
    assert energy is None
    assert note == "not measured: E854 energy meter failed: 'NVML'. GPU 0 was lost: GPU is lost."


def test_a_driver_loaded_anew_is_no_joule() -> None:
    world, library, meter = gpu()
    meter.start()
    world.pause(1)
    library.watts = -40.0
    with pytest.raises(BaselineError, match="the driver was loaded again"):
        meter.stop()


def test_a_boards_counter_that_leaps_is_no_joule() -> None:
    world, library, meter = gpu()
    meter.start()
    world.pause(1)
    library.watts = 1e7
    with pytest.raises(BaselineError, match="The counter leapt"):
        meter.stop()


def test_joules_an_inference_over_repeated_windows() -> None:
    world, library, meter = gpu(100.0)

    def step() -> None:
        world.pause(0.5)
        library.watts = 100.0

    energy, note = metered(
        step, 8, chosen(meter), seconds=1.0, clock=world.clock, pause=world.pause
    )
    assert energy is not None
    # 100 W, half a second a step, eight inferences: the window is the meter's ten seconds.
    assert energy.value == pytest.approx(100 * 0.5 / 8, rel=0.01)
    assert (energy.kind, energy.boundary) == ("measured", "board")
    assert energy.low == pytest.approx(0.95 * energy.value, rel=0.01)
    assert energy.high == pytest.approx(1.05 * energy.value, rel=0.01)
    assert note.startswith("NVML total energy counter of H100 at handle 0; 3 windows of 10.0 s, 60")
    assert note.endswith("at rest 100.0 W")


def test_an_estimate_never_says_measured(tmp_path: Path) -> None:
    world, used = World(), [0.0]
    found = Constants(60.0, 20.0, 4, "made up")
    guess = EstimateMeter(found, world.clock, lambda: used[0])

    def step() -> None:
        world.pause(1)
        used[0] += 2  # two threads

    choice = chosen(RaplMeter(tmp_path), guess)
    energy, note = metered(step, 2, choice, clock=world.clock, pause=world.pause)
    assert energy is not None
    assert energy.kind == "modelled"
    assert energy.value == pytest.approx((60 * 2 / 4 + 20) / 2)
    assert (energy.low, energy.high) == (None, None)
    assert energy.source.startswith("estimate, nothing was metered: 60 W x busy threads / 4 + 20 W")
    assert note.startswith("not measurable here: no RAPL")


def test_codecarbons_constants_are_named() -> None:
    pytest.importorskip("codecarbon")
    meter = EstimateMeter()
    assert meter.available() is None
    assert meter.found is not None
    assert meter.found.cpu_watts > 0 < meter.found.memory_watts
    assert "codecarbon" in meter.found.source
    assert ("unknown CPU: 4 W a thread" in meter.found.source) == (
        meter.found.cpu_watts == 4 * meter.found.threads
    )


@pytest.mark.parametrize(("flag", "words"), [("", ""), (" hypervisor", "an unknown part")])
def test_the_design_power_of_all_packages_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str, words: str
) -> None:
    tables = pytest.importorskip("codecarbon.core.cpu")
    info = "".join(f"physical id\t: {one}\nflags\t\t: fpu{flag}\n\n" for one in (0, 0, 1, 1))
    (tmp_path / "cpuinfo").write_text(info)
    monkeypatch.setattr(estimate, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(tables, "TDP", lambda: SimpleNamespace(tdp=205.5, model="A Xeon"))
    found = estimate.constants()
    assert found.cpu_watts == 411
    assert "for A Xeon (thermal design power of 2 packages" in found.source
    assert ("unknown part" in found.source) == bool(words)


def test_the_fake_nvml_has_what_the_library_has() -> None:
    library = pytest.importorskip("pynvml")
    for name in vars(FakeNvml):
        if name.startswith(("nvml", "NVML")):
            assert callable(getattr(library, name)), name
    assert issubclass(library.NVMLError_NotSupported, library.NVMLError)


needs_rapl = pytest.mark.skipif(RaplMeter().available() is not None, reason="no RAPL is here")


@needs_rapl
def test_a_real_package_draws_watts() -> None:
    energy, note = metered(lambda: None, 1, choose("cpu"), repeats=1, rest=1.0)
    assert energy is not None
    assert energy.kind == "measured"
    watts = float(note.rpartition("at rest ")[2].removesuffix(" W"))
    assert 0.5 < watts < 4000


@pytest.mark.skipif(Path("/sys/class/powercap/intel-rapl:0").exists(), reason="RAPL is here")
def test_this_machine_has_no_meter_and_measures_no_joule() -> None:
    energy, note = metered(lambda: None, 1, choose("cpu"))
    assert energy is None
    assert note.startswith("not measurable here: no RAPL: /sys/class/powercap")
