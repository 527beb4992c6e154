"""Devices as data: what a file may say, what contradicts itself, all faults at once."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from gateformer.hw.pim import device_file
from gateformer.hw.pim.device import Device, load, names, with_
from gateformer.hw.pim.isa import COMMANDS, OPS, SCOPES
from gateformer.quant.errors import ConfigError, GateformerError, PimError, Problems

SMALL = """
clock_ns = 0.5
[organization]
channels = 2
bank_groups = 2
banks_per_group = 2
rows = 8
row_bytes = 64
access_bits = 256
[timing]
nRP = 3
nRC = 9
nRAS = 5
nRFC = 20
nREFI = 100
[[constraint]]
level = "bank"
after = ["ACT"]
before = ["PRE"]
wait = "nRAS"
"""


def device(tmp_path: Path, old: str = "", new: str = "", more: str = "") -> Device:
    path = tmp_path / "small.toml"
    text = SMALL.replace(old, new, 1) if old else SMALL
    path.write_text(text + more)
    return load(path)


def faults(tmp_path: Path, old: str = "", new: str = "", more: str = "") -> list[GateformerError]:
    with pytest.raises(GateformerError) as found:
        device(tmp_path, old, new, more)
    return list(found.value.errors) if isinstance(found.value, Problems) else [found.value]


@pytest.mark.parametrize("name", names())
def test_every_device_of_the_package_loads_and_names_its_sources(name: str) -> None:
    found = load(name)
    assert found.name == name
    assert found.source
    assert found.constraints
    assert found.organization.columns * found.organization.access_bits == (
        found.organization.row_bytes * 8
    )
    for part in (found.refresh, found.mac, found.link, found.asic, *found.powers):
        assert part is None or part.source


def test_aim_restates_the_public_simulators_table() -> None:
    aim = load("gddr6-aim")
    assert (aim.organization.channels, aim.organization.banks, aim.organization.columns) == (
        32,
        16,
        64,
    )
    assert len(aim.constraints) == 103
    assert {one.text for one in aim.strict} == {"nRFC", "nRREFD", "nRFCpb", "nRP", "nFAW"}
    assert [one.window for one in aim.strict if one.text == "nFAW"] == [4, 1]
    read_to_write = next(one for one in aim.constraints if one.text.startswith("nCL + nBL + 3"))
    assert read_to_write.wait == 50 + 2 + 3 - 6 + 1


def test_every_command_has_a_scope_and_every_instruction_a_known_command() -> None:
    assert set(SCOPES) == set(COMMANDS) - {"SYNC", "EOC"}
    assert {op.command for op in OPS.values()} - {None} <= set(COMMANDS)


def test_a_bare_timing_file_has_no_further_parts(tmp_path: Path) -> None:
    found = device(tmp_path)
    assert (found.mac, found.link, found.asic, found.power) == (None, None, None, None)
    assert (found.organization.banks, found.organization.columns) == (4, 2)
    assert found.constraints[0].wait == 5


def test_with_works_out_the_waits_anew() -> None:
    aim = load("gddr6-aim")
    found = with_(aim, nRP=40, channels=8, clock_ns=0.6)
    assert (found.timing["nRP"], found.organization.channels, found.clock_ns) == (40, 8, 0.6)
    assert {one.wait for one in found.constraints if one.text == "nRP"} == {40}
    assert {one.wait for one in aim.constraints if one.text == "nRP"} == {32}


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"nRPP": 3}, "E804", "Did you mean 'nRP'?"),
        ({"nRP": -1}, "E805", "a time is from 0 to 1073741824 clocks"),
        ({"nBL": 0}, "E805", "from 1 to 1073741824 clocks: data on the pins take time"),
        ({"rows": 1 << 40}, "E805", "It is 1099511627776; it must be from 1 to 1073741824: addr"),
        ({"nREFI": 240}, "E805", "nREFI = 240 is shorter than nRFC = 240"),
        ({"nRAS": 90}, "E805", "nRC = 89 is shorter than nRAS = 90"),
        ({"channels": 65}, "E805", "from 1 to 64"),
        ({"access_bits": 100}, "E805", "no whole number"),
        ({"channels": 2.5}, "E804", "2.5 is no whole number"),
        ({"clock_ns": float("nan")}, "E805", "A clock lasts nan ns"),
    ],
)
def test_with_refuses_what_contradicts_itself(
    changes: dict[str, float], code: str, says: str
) -> None:
    with pytest.raises(PimError, match=code) as found:
        with_(load("gddr6-aim"), **changes)
    assert says in str(found.value)


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "says"),
    [
        ("clock_ns = 0.5", "clock_ns = -0.5", "E805", 2, "from 1e-06"),
        ("clock_ns = 0.5", "clock_ns = 1e-320", "E805", 2, "from 1e-06"),
        ("clock_ns = 0.5", "clock_ns = nan", "E804", 2, "finite"),
        ("clock_ns = 0.5", 'clock_ns = "fast"', "E804", 2, "valid number"),
        ("clock_ns = 0.5", "clock_n = 0.5", "E804", 2, "Did you mean 'clock_ns'?"),
        ("channels = 2", "channels = 0", "E805", 4, "from 1 to 64"),
        ("channels = 2", "channels = 2.0", "E804", 4, "valid integer"),
        ("channels = 2", "channels = true", "E804", 4, "valid integer"),
        ("bank_groups = 2", "bank_groups = 0", "E805", 5, "from 1 to 64"),
        ("bank_groups = 2", "bank_groups = 1000000", "E805", 5, "from 1 to 64"),
        ("rows = 8\n", "", "E804", 3, "missing key"),
        ("access_bits = 256", "access_bits = 300", "E805", 9, "no whole number"),
        ("nRP = 3", "nRP = -3", "E805", 11, "It is -3; a time is from 0 to 1073741824 clocks"),
        ("nRP = 3", "nRP = nan", "E804", 11, "valid integer"),
        ("nRP = 3", "nRP = 99999999999", "E805", 11, "clocks: addresses and clocks"),
        ("nRP = 3", "nBL = 0", "E805", 11, "It is 0; a time is from 1 to 1073741824 clocks: data"),
        ("rows = 8", "rows = 0", "E805", 7, "It is 0; it must be from 1 to 1073741824"),
        ("rows = 8", "rows = 1_099_511_627_776", "E805", 7, "are counted in 64 bits"),
        ("row_bytes = 64", "row_bytes = 2097152", "E805", 8, "from 1 to 1048576: each one is sim"),
        ("access_bits = 256", "access_bits = 2147483648", "E805", 9, "from 1 to 1073741824: addr"),
        ("channels = 2", "channels = 4096", "E805", 4, "from 1 to 64: each one is simulated"),
        ("rows = 8", f"rows = 0x{'f' * 9000}", "E805", 7, "It is 2^35999 or more; it must be"),
        ("clock_ns = 0.5", f"clock_ns = 0x{'f' * 9000}", "E805", 2, "from 1e-06"),
        ("nREFI = 100", "nREFI = 10", "E805", 15, "shorter than nRFC"),
        ("nRC = 9", "nRC = 4", "E805", 12, "shorter than nRAS"),
        ('"bank"', '"rank"', "E804", 17, "'channel', 'bankgroup' or 'bank'"),
        ('["ACT"]', "[]", "E804", 18, "at least 1 item"),
        ('["ACT"]', '["ACTT"]', "E804", 18, "Did you mean 'ACT'?"),
        ('"nRAS"', '"nRAX"', "E804", 20, "did you mean 'nRAS'?"),
        ('"nRAS"', '"nRAS * 2"', "E804", 20, "'*' where + or - belongs"),
        ('"nRAS"', '"nRAS +"', "E804", 20, "no sum of parameters"),
        ('"nRAS"', '"nRAS + 1073741820"', "E804", 20, "comes to 1073741825 clocks; a wait is 107"),
        ('"nRAS"', f'"0 - {"9" * 99}"', "E804", 20, "comes to -2^328 or more clocks; a wait is"),
        ('"nRAS"', f'"{"9" * 9000}"', "E804", 20, "at most 200 characters"),
        ('"nRAS"', "\"__import__('os')\"", "E804", 20, "no sum"),
        ('wait = "nRAS"', 'wiat = "nRAS"', "E804", 20, "Did you mean 'wait'?"),
        ("clock_ns = 0.5", 'constraints = "ami"\nclock_ns = 0.5', "E804", 2, "Did you mean 'aim'?"),
    ],
)
def test_faults_name_file_line_and_cause(
    tmp_path: Path, old: str, new: str, code: str, line: int, says: str
) -> None:
    found = [one for one in faults(tmp_path, old, new) if says in str(one)]
    assert found, faults(tmp_path, old, new)
    assert found[0].code == code
    assert f"small.toml:{line} " in str(found[0])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "nRP = 12\n",
            "nRPP = 12\n",
            "unknown key 'nRPP': '{0}/own.toml:{1}'. Did you mean 'nRP'?",
        ),
        ("nRP = 12\n", "nRP = 12\nnFOO = 3\n", "unknown key 'nFOO': '{0}/own.toml:{1}'."),
        ("nRAS = 27\n", "", "missing key: '{0}/own.toml:{1}'. The constraints 'aim' name it"),
        (
            "nRP = 12\n",
            "nRP = 12.5\n",
            "invalid value: '{0}/own.toml:{1}'. 12.5 should be a valid integer",
        ),
        (
            "nRP = 12\n",
            'nRP = "12"\n',
            "invalid value: '{0}/own.toml:{1}'. '12' should be a valid integer",
        ),
    ],
)
def test_a_wrong_name_among_timings_is_one_fault_of_its_own(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    """However many shared constraints need what is missing."""
    text = (resources.files("gateformer.hw.pim") / "devices" / "pim-gpt.toml").read_text("utf-8")
    assert old in text
    (tmp_path / "own.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(PimError) as found:
        load(tmp_path / "own.toml")
    name = (new.strip().splitlines() or [old])[-1].split()[0]
    lines = text.replace(old, new, 1).splitlines()
    starts = name if new else "[timing]"
    line = next(at for at, one in enumerate(lines, 1) if one.startswith(starts))
    assert says.format(tmp_path, f"{line} timing.{name}") in str(found.value)


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    text = SMALL.replace("channels = 2", "channels = 0").replace("nRP = 3", "nRP = -3")
    text = text.replace("rows = 8", "rwos = 8").replace('"nRAS"', '"nRAX"')
    path = tmp_path / "small.toml"
    path.write_text(text)
    with pytest.raises(Problems) as found:
        load(path)
    assert [one.code for one in found.value.errors] == ["E804", "E804", "E805", "E805", "E804"]


def test_a_link_and_an_asic_that_are_too_slow_for_the_memory_s_clock(tmp_path: Path) -> None:
    """Refreshes go on while one waits for them, so that this would take for ever."""
    slow = """
[link]
channel_gb_per_s = 0.001
latency_ns = 1e12
source = "x"
[asic]
clock_ns = 1000000
source = "x"
"""
    found = [str(one) for one in faults(tmp_path, "clock_ns = 0.5", "clock_ns = 1e-3", slow)]
    for name, clocks in (
        ("link.latency_ns", "1e+15"), ("link.channel_gb_per_s", "3.2e+07"),
        ("asic.clock_ns", "1e+09"),
    ):  # fmt: skip
        assert [one for one in found if name in one and f"It makes {clocks} clocks" in one], found
    assert len(found) == 3
    huge = slow.replace("1e12", "9" * 400).replace("0.001", "1e-320")
    told = "\n".join(
        map(str, faults(tmp_path, "access_bits = 256", f"access_bits = {1 << 99}", huge))
    )
    assert "link.latency_ns" in told and "channel_gb_per_s" in told
    with pytest.raises(PimError, match=r"link.latency_ns'. It makes 2e\+06 clocks of one; at most"):
        with_(load("pim-gpt"), clock_ns=1e-6)


def test_sizes_and_times_that_are_too_large_or_mean_nothing_come_at_once(tmp_path: Path) -> None:
    text = SMALL.replace("rows = 8", f"rows = {1 << 40}").replace("nRP = 3", "nRP = 3\nnBL = 0")
    text = text.replace("nRAS = 5", f"nRAS = {1 << 40}").replace("channels = 2", "channels = 99")
    path = tmp_path / "small.toml"
    path.write_text(text)
    with pytest.raises(Problems) as found:
        load(path)
    said = "\n".join(map(str, found.value.errors))
    assert len(found.value.errors) == 5, said  # nRC is shorter than that nRAS besides
    for name in ("organization.channels", "organization.rows", "timing.nBL", "timing.nRAS"):
        assert name in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"clock_ns = [", "small.toml"),
        (b"clock_ns = 1\nclock_ns = 2\n", "small.toml:2"),
        (b"\xff\xfe", "utf-8"),
        (b"a" * ((1 << 20) + 1), "over 1 MiB"),
        (b"a = " + b"[" * 10_000, "small.toml"),
        (b"a = " + b"9" * 9000, "A number has more digits than are read"),
    ],
)
def test_what_is_no_toml(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "small.toml"
    path.write_bytes(content)
    with pytest.raises(PimError, match="E804") as found:
        load(path)
    assert says in str(found.value)


def test_unknown_devices_and_files(tmp_path: Path) -> None:
    with pytest.raises(PimError, match="Did you mean 'gddr6-aim'"):
        load("gddr6aim")
    with pytest.raises(ConfigError, match="E003"):
        load(tmp_path / "none.toml")


def test_sums_of_parameters() -> None:
    timing = {"nCL": 50, "nBL": 2, "nCWL": 6}
    assert device_file.evaluate("nCL + nBL + 3 - nCWL", timing) == 49
    assert device_file.evaluate("nBL - nCL", timing) == -48
    with pytest.raises(ValueError, match="belongs"):
        device_file.evaluate("nCL.real", timing)


def test_a_device_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        load("gddr6-aim").name = "other"  # type: ignore[misc]


def test_sets_of_currents_need_names_of_their_own(tmp_path: Path) -> None:
    folder = resources.files("gateformer.hw.pim") / "devices"
    text = (folder / "pim-gpt.toml").read_text(encoding="utf-8")
    path = tmp_path / "twins.toml"
    path.write_text(text.replace('name = "cent"', 'name = "pim-gpt"'), encoding="utf-8")
    with pytest.raises(PimError, match="called 'pim-gpt' too"):
        load(path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("idd4r = 530.0", "idd4r = 5.0", "idd4r'. It is 5.0 mA, below idd3n = 142.0"),
        ("idd3n = 142.0", "idd3n = 91", "idd3n'. It is 91 mA, below idd2n = 92.0"),
        ("idd0 = 122.0", "idd0 = 122e9", "idd0'. It is 122000000000.0 mA; a current is 100000 mA"),
    ],
)
def test_currents_give_no_energy_back(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = (resources.files("gateformer.hw.pim") / "devices" / "pim-gpt.toml").read_text("utf-8")
    path = tmp_path / "own.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(PimError, match="E805 contradictory currents") as found:
        load(path)
    assert says in str(found.value)
