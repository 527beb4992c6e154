"""Traces: every instruction's fields, and every fault with its file and line."""

from __future__ import annotations

import gzip
import pickle
import time
from pathlib import Path

import pytest

from gateformer.hw.pim.device import Device, load, with_
from gateformer.hw.pim.isa import OPS, Instruction
from gateformer.hw.pim.lines import LONGEST
from gateformer.hw.pim.trace_file import FIELDS, read
from gateformer.quant.errors import ConfigError, GateformerError, PimError, Problems

TOP = 1 << 31
"""The last channel: bit 0 of a trace's mask."""


@pytest.fixture(scope="module")
def aim() -> Device:
    return load("gddr6-aim")


def trace(folder: Path, *lines: str) -> Path:
    path = folder / "some.trace"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def faults(path: Path, device: Device) -> list[GateformerError]:
    with pytest.raises(GateformerError) as found:
        read(path, device)
    return list(found.value.errors) if isinstance(found.value, Problems) else [found.value]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("AiM WR_GB 64 0 0x1", Instruction("WR_GB", 64, TOP)),
        ("AiM WR_BIAS 0 0x80000000", Instruction("WR_BIAS", 1, 1)),
        ("AiM RD_MAC 0 3", Instruction("RD_MAC", 1, TOP | TOP >> 1)),
        ("AiM RD_AF 0 0xffffffff", Instruction("RD_AF", 1, 0xFFFFFFFF)),
        ("AiM MAC_ABK 7 0x1 12", Instruction("MAC_ABK", 7, TOP, row=12)),
        ("AiM EWMUL 7 0x1 16383", Instruction("EWMUL", 7, TOP, row=16383)),
        ("AiM AF 0X1", Instruction("AF", 1, TOP)),
        ("AiM WR_ABK 9 0x2 4", Instruction("WR_ABK", 1, TOP >> 1, row=4)),
        ("AiM MAC_SBK 7 0x1 15 4", Instruction("MAC_SBK", 7, TOP, 15, 4)),
        ("AiM COPY_BKGB 7 0x1 15 4", Instruction("COPY_BKGB", 7, TOP, 15, 4)),
        ("AiM COPY_GBBK 7 0x1 15 4", Instruction("COPY_GBBK", 7, TOP, 15, 4)),
        ("AiM WR_SBK 0 0x1 15 4", Instruction("WR_SBK", 1, TOP, 15, 4)),
        ("AiM RD_SBK 0 0x1 15 4", Instruction("RD_SBK", 1, TOP, 15, 4)),
        ("AiM R MEM 3 15 4", Instruction("RD_MEM", 1, 1 << 3, 15, 4)),
        ("W MEM 0 15 4", Instruction("WR_MEM", 1, 1, 15, 4)),
        ("W CFR 2 5", Instruction("W_CFR", value=5, address=2)),
        ("R GPR 5", Instruction("R_GPR")),
        ("AiM W GPR 5", Instruction("W_GPR")),
        ("AiM ISR_EWADD 4 0 1", Instruction("EWADD", 4)),
        ("  ISR_SYNC  # wait", Instruction("SYNC")),
    ],
)
def test_every_instruction(aim: Device, tmp_path: Path, line: str, expected: Instruction) -> None:
    found, end = read(trace(tmp_path, "# a comment", "", "AiM", line, "AiM ISR_EOC   "), aim)
    assert (end.op, end.line, found.line) == ("EOC", 5, 4)
    assert found == Instruction(
        expected.op,
        expected.size,
        expected.channels,
        expected.bank,
        expected.row,
        expected.value,
        expected.address,
        4,
    )


def test_the_format_has_every_instruction_of_the_set() -> None:
    renamed = {"R MEM": "RD_MEM", "W MEM": "WR_MEM"}
    assert {renamed.get(name, name.replace(" ", "_")) for name in FIELDS} == set(OPS)


def test_masks_count_from_the_top_of_any_device(aim: Device, tmp_path: Path) -> None:
    path = trace(tmp_path, "AiM AF 0x1", "AiM AF 0x4", "AiM EOC")
    assert [one.channels for one in read(path, with_(aim, channels=3))[:2]] == [4, 1]


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("AiM MAC_ABX 1 1 1", "E801", "Did you mean 'MAC_ABK'?"),
        ("AiM 17", "E801", "Known are WR_GB"),
        ("AiM \x1b[31m", "E801", "'?[31m'"),
        ("AiM R ROM 1 1 1", "E801", "Did you mean 'R MEM'?"),
        ("AiM MAC_ABK 1 1", "E802", "Write AiM MAC_ABK size mask row"),
        ("AiM MAC_ABK 1 1 1 1", "E802", "It has 4 of 3 fields"),
        ("AiM MAC_ABK 1 1 one", "E802", "'one' is no whole number"),
        ("AiM MAC_ABK 1 0xg 1", "E802", "'0xg' is no whole number"),
        ("AiM MAC_ABK 1_0 1 1", "E802", "'1_0' is no whole number"),
        ("AiM MAC_ABK 1 0x1_0 1", "E802", "'0x1_0' is no whole number"),
        ("AiM MAC_ABK \u0663 1 1", "E802", "no whole number"),
        ("AiM MAC_ABK 1.5 1 1", "E802", "no whole number"),
        ("AiM WR_ABK 0 3 1", "E802", "exactly one bit"),
        ("AiM MAC_ABK 0 1 1", "E803", "size is 0; the device takes 1 to 64"),
        ("AiM MAC_ABK 65 1 1", "E803", "size is 65"),
        ("AiM MAC_ABK -1 1 1", "E803", "size is -1"),
        ("AiM MAC_ABK 1 0 1", "E803", "mask is 0"),
        ("AiM MAC_ABK 1 0x100000000 1", "E803", "1 to 0xffffffff"),
        ("AiM MAC_ABK 1 1 16384", "E803", "0 to 16383"),
        ("AiM MAC_ABK 1 1 -1", "E803", "row is -1"),
        ("AiM MAC_SBK 1 1 16 0", "E803", "bank is 16; the device takes 0 to 15"),
        ("AiM R MEM 32 0 0", "E803", "channel is 32; the device takes 0 to 31"),
        ("W CFR 3 0", "E803", "address is 3; the device takes 0 to 2"),
        ("W CFR 2 99999999999", "E803", "value is 99999999999"),
    ],
)
def test_faults_name_file_line_and_cause(
    aim: Device, tmp_path: Path, line: str, code: str, says: str
) -> None:
    path = trace(tmp_path, "AiM SYNC", line, "AiM EOC")
    (found,) = faults(path, aim)
    assert found.code == code
    assert f"{path}:2" in str(found) and says in str(found)


@pytest.mark.parametrize("line", ["AiM BAD", "AiM RD_MAC", "AiM RD_MAC 0 0"])
def test_the_first_twenty_faults_come_at_once_and_the_others_are_counted(
    line: str, aim: Device, tmp_path: Path
) -> None:
    path = trace(tmp_path, *[line, "AiM SYNC"] * 1030)
    found = faults(path, aim)
    assert [one.layer for one in found] == [f"{path}:{n}" for n in range(1, 41, 2)]
    with pytest.raises(Problems) as caught:
        read(path, aim)
    assert str(caught.value).endswith("\nand 1,010 more")
    assert caught.value.as_dict()["more"] == 1010
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_twenty_faults_leave_none_to_count(aim: Device, tmp_path: Path) -> None:
    with pytest.raises(Problems) as caught:
        read(trace(tmp_path, *["AiM BAD"] * 20), aim)
    assert "more" not in str(caught.value) and "more" not in caught.value.as_dict()


def test_a_hundred_thousand_faults_take_little_time(aim: Device, tmp_path: Path) -> None:
    path = trace(tmp_path, *(f"AiM WR_GBB{n}" for n in range(100_000)))
    begun = time.process_time()
    with pytest.raises(Problems, match="and 99,980 more"):
        read(path, aim)
    assert time.process_time() - begun < 5  # to look for names like each takes longer


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "It holds no instruction"),
        (["# nothing"], "It holds no instruction"),
        (["AiM SYNC"], "It ends without EOC"),
        (["AiM EOC", "AiM SYNC"], "instruction after EOC"),
    ],
)
def test_a_trace_ends_with_its_eoc(
    aim: Device, tmp_path: Path, lines: list[str], says: str
) -> None:
    (found,) = faults(trace(tmp_path, *lines), aim)
    assert found.code == "E802" and says in str(found)


def test_an_endless_line_is_refused_before_it_is_read(aim: Device, tmp_path: Path) -> None:
    path = tmp_path / "endless.trace"
    with path.open("wb") as stream:  # a gigabyte of nothing, that takes no room
        stream.seek(1 << 30)
        stream.write(b"\n")
    with pytest.raises(PimError, match=f"E809.*endless.trace:1.*{LONGEST:,} bytes"):
        read(path, aim)


def test_bytes_that_are_no_text(aim: Device, tmp_path: Path) -> None:
    path = tmp_path / "some.trace"
    path.write_bytes(b"AiM \xff\xfe\x00\nAiM EOC\n")
    assert [one.code for one in faults(path, aim)] == ["E801"]


def test_compressed_traces(aim: Device, tmp_path: Path) -> None:
    path = tmp_path / "some.trace.gz"
    whole = gzip.compress(b"AiM SYNC\n" * 1000 + b"AiM EOC\n")
    path.write_bytes(whole)
    assert len(read(path, aim)) == 1001
    path.write_bytes(whole[:-12])
    with pytest.raises(PimError, match=r"E802 damaged compressed file: '.*some.trace.gz:"):
        read(path, aim)
    path.write_bytes(b"AiM EOC\n")
    with pytest.raises(PimError, match="damaged compressed file"):
        read(path, aim)


def test_no_such_file(aim: Device, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="E003"):
        read(tmp_path / "none.trace", aim)
