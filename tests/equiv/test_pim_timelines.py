"""Every instruction's timeline, calculated by hand from the AiM timings, is the simulators' own.

A line reads: clock, command, bank group, bank, row, column (``.``: not addressed), then why. A run
of commands is ``first:last:step`` in the clock and ``first:last`` in the column. Clocks start at 1,
each instruction is decoded a clock after the one before it, and all banks begin closed, in array
mode. The timings that the comments add up:

=========  ==  =========  ==  =========  ==  =========  ==  ========  ==
nBL         2  nCL        50  nRCDRD     36  nRCDRDMAC  56  nRCDWR    28
nRCDRDCP   66  nRCDWRCP   48  nRCDRDAF   86  nRCDEWMUL  25  nRP       32
nRAS       54  nRC        89  nWR        33  nRTP       12  nCWL       6
nCCDS       2  nCCDL       2  nRRDS       5  nRRDL       6  nWTRS      9
nWTRL      11  nCLREG      0  nCWLREG     1  nCWLGB      1  nWPRE      1
nMODCH     32
=========  ==  =========  ==  =========  ==  =========  ==  ========  ==
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest
from equiv.pim_engine import engine
from equiv.pim_ticks import Command, tick

from gateformer.hw.pim.device import Device, load, with_
from gateformer.hw.pim.isa import OPS
from gateformer.hw.pim.isa import Instruction as I  # noqa: N817 - programs of one letter fit a line


@dataclass(frozen=True, slots=True)
class Timeline:
    """A program, and what it must become."""

    program: tuple[I, ...]
    clocks: int
    commands: str
    timing: dict[str, int] = field(default_factory=dict)
    policy: Literal["none", "all-bank", "per-bank"] = "none"
    strict: bool = False


AF = 1 << 29

INSTRUCTIONS = {
    "WR_GB": Timeline(
        (I("WR_GB", 3), I("WR_GB", 2)),
        clocks=45,  # the last completes at 41 + nCWLGB + nBL = 44, and EOC a clock later
        commands="""
            1  TMOD . . . 0    registers wanted, arrays selected; TMOD waits for nothing
            33 WRGB . . . 0    nMODCH 32 after TMOD
            35 WRGB . . . 1    nBL and nCCDS 2
            37 WRGB . . . 2
            39 WRGB . . . 0    the second instruction
            41 WRGB . . . 1
        """,
    ),
    "WR_BIAS": Timeline(
        (I("WR_BIAS"), I("WR_BIAS"), I("WR_GB"), I("WR_BIAS")),
        clocks=43,  # 39 + nCWLREG + nBL = 42, and one
        commands="""
            1  TMOD    . . . 0
            33 WRMAC16 . . . 0    nMODCH 32
            35 WRMAC16 . . . 0    nBL, nCCDS and nCCDL 2
            37 WRGB    . . . 0    nBL 2
            39 WRMAC16 . . . 0    nBL 2
        """,
    ),
    "RD_MAC": Timeline(
        (I("WR_BIAS"), I("RD_MAC"), I("WR_GB"), I("RD_MAC")),
        clocks=68,  # 64 + nCLREG + nBL = 66 completes, EOC is decoded at 67 and finishes at 68
        commands="""
            1  TMOD    . . . 0
            33 WRMAC16 . . . 0    nMODCH 32
            47 RDMAC16 . . . 0    nCWLREG 1 + nBL 2 + nWTRL 11; completes 49, so decode at 50
            52 WRGB    . . . 0    nCLREG 0 + nBL 2 + 3 - nCWLGB 1 + nWPRE 1 = 5
            64 RDMAC16 . . . 0    nCWLGB 1 + nBL 2 + nWTRS 9 = 12
        """,
    ),
    "RD_AF": Timeline(
        (I("RD_AF"), I("RD_AF"), I("WR_BIAS"), I("RD_AF")),
        clocks=59,  # 55 + 0 + 2 = 57, decode 58, finish 59
        commands="""
            1  TMOD    . . . 0
            33 RDAF16  . . . 0    nMODCH 32; completes 33 + nCLREG 0 + nBL 2 = 35, decode at 36
            36 RDAF16  . . . 0    nBL would allow 35; decode at 39
            41 WRMAC16 . . . 0    nCLREG 0 + nBL 2 + 3 - nCWLREG 1 + nWPRE 1 = 5
            55 RDAF16  . . . 0    nCWLREG 1 + nBL 2 + nWTRL 11 = 14
        """,
    ),
    "MAC_ABK": Timeline(
        (I("MAC_ABK", 3, row=7), I("MAC_ABK", 2, row=7), I("MAC_ABK", row=8)),
        clocks=167,  # MAC16 completes at 166, as EOC reaches the head
        commands="""
            1   ACT16 . . 7 0     array mode from the start: no TMOD
            57  MAC16 . . 7 0     nRCDRDMAC 56
            59  MAC16 . . 7 1     nCCDS and nCCDL 2
            61  MAC16 . . 7 2
            63  MAC16 . . 7 0     the same row: no ACT16
            65  MAC16 . . 7 1
            77  PREA  . . 8 0     another row: nRTP 12 after the MAC16; nRAS ended at 55
            109 ACT16 . . 8 0     nRP 32; nRC ended at 90
            165 MAC16 . . 8 0     nRCDRDMAC 56
        """,
    ),
    "EWMUL": Timeline(
        (I("EWMUL", 2, row=5), I("EWMUL", row=6), I("MAC_ABK", row=6)),
        clocks=157,
        commands="""
            1   ACT16   . . 5 0
            26  EWMUL16 . . 5 0     nRCDEWMUL 25
            28  EWMUL16 . . 5 1     nCCDL 2
            67  PREA    . . 6 0     nCWL 6 + nWR 33; nRTP ended at 40, nRAS at 55
            99  ACT16   . . 6 0     nRP 32
            124 EWMUL16 . . 6 0     nRCDEWMUL 25
            155 MAC16   . . 6 0     nRCDRDMAC 56 after the ACT16; nCCDL ended at 126
        """,
    ),
    "AF": Timeline(
        (
            I("W_CFR", address=2, value=3),
            I("MAC_ABK", row=4),
            I("AF"),
            I("W_CFR", address=2, value=5),
            I("AF"),
            I("AF"),
        ),
        clocks=321,
        commands=f"""
            2   ACT16 . . 4        0     W_CFR took clock 1
            58  MAC16 . . 4        0     nRCDRDMAC 56
            70  PREA  . . {AF + 3} 0     nRTP 12; AFM was 3 when AF was decoded
            102 ACT16 . . {AF + 3} 0     nRP 32; nRC ended at 91
            188 AF16  . . {AF + 3} 0     nRCDRDAF 86
            200 PREA  . . {AF + 5} 0     nRTP 12; nRAS ended at 156
            232 ACT16 . . {AF + 5} 0     nRP 32
            318 AF16  . . {AF + 5} 0     nRCDRDAF 86
            319 AF16  . . {AF + 5} 0     no constraint between two: one command a clock
        """,
    ),
    "WR_ABK": Timeline(
        (I("WR_ABK", row=3), I("WR_ABK", row=3), I("MAC_ABK", row=3)),
        clocks=261,
        commands="""
            1   ACT16 . . 3 0
            29  WRA16 . . 3 0     nRCDWR 28; closes all banks
            102 ACT16 . . 3 0     nCWL 6 + nBL 2 + nWR 33 + nRP 32 = 73; nRC ended at 90
            130 WRA16 . . 3 0     nRCDWR 28
            203 ACT16 . . 3 0     73 again
            259 MAC16 . . 3 0     nRCDRDMAC 56
        """,
    ),
    "MAC_SBK": Timeline(
        (
            I("MAC_SBK", 2, bank=0, row=1),
            I("MAC_SBK", bank=5, row=1),
            I("MAC_SBK", bank=0, row=2),
            I("MAC_SBK", bank=5, row=1),
        ),
        clocks=209,
        commands="""
            1   ACT 0 0 1 0     one bank
            57  MAC 0 0 1 0     nRCDRDMAC 56
            59  MAC 0 0 1 1     nCCDS and nCCDL 2
            60  ACT 1 1 1 0     in order: not before the MACs, though nRRDS ended at 6
            116 MAC 1 1 1 0     nRCDRDMAC 56
            117 PRE 0 0 2 0     nRTP after its own bank's MAC ended at 71, nRAS at 55
            149 ACT 0 0 2 0     nRP 32; nRC ended at 90
            205 MAC 0 0 2 0     nRCDRDMAC 56
            207 MAC 1 1 1 0     bank 5 stayed open: nCCDS 2
        """,
    ),
    "COPY_BKGB": Timeline(
        (
            I("COPY_BKGB", 2, bank=2, row=9),
            I("COPY_BKGB", bank=3, row=9),
            I("COPY_BKGB", bank=2, row=8),
        ),
        clocks=237,
        commands="""
            1   ACT  0 2 9 0
            67  RDCP 0 2 9 0     nRCDRDCP 66
            69  RDCP 0 2 9 1     nCCDS and nCCDL 2
            70  ACT  0 3 9 0     nRRDL of the bank group ended at 7
            136 RDCP 0 3 9 0     nRCDRDCP 66
            137 PRE  0 2 8 0     nRTP of its bank ended at 81
            169 ACT  0 2 8 0     nRP 32
            235 RDCP 0 2 8 0     nRCDRDCP 66; completes a clock later
        """,
    ),
    "COPY_GBBK": Timeline(
        (I("WR_GB"), I("COPY_GBBK", 2, bank=15, row=0), I("COPY_GBBK", bank=15, row=1)),
        clocks=239,
        commands="""
            1   TMOD . . . 0
            33  WRGB . . . 0     nMODCH 32
            34  TMOD 3 3 0 0     back to the arrays, in place of an ACT that may issue
            66  ACT  3 3 0 0     nMODCH 32
            114 WRCP 3 3 0 0     nRCDWRCP 48
            116 WRCP 3 3 0 1     nCCDS and nCCDL 2
            157 PRE  3 3 1 0     nCWL 6 + nBL 2 + nWR 33 = 41; nRAS ended at 120
            189 ACT  3 3 1 0     nRP 32; nRC ended at 155
            237 WRCP 3 3 1 0     nRCDWRCP 48
        """,
    ),
    "WR_SBK": Timeline(
        (
            I("WR_SBK", bank=1, row=2),
            I("WR_SBK", bank=1, row=2),
            I("WR_SBK", bank=2, row=2),
            I("WR_SBK", bank=1, row=4),
        ),
        clocks=141,  # 132 + nCWL 6 + nBL 2 = 140, and one
        commands="""
            1   ACT 0 1 2 0
            29  WR  0 1 2 0     nRCDWR 28
            31  WR  0 1 2 0     nBL, nCCDS and nCCDL 2
            32  ACT 0 2 2 0     nRRDL ended at 7
            60  WR  0 2 2 0     nRCDWR 28
            72  PRE 0 1 4 0     nCWL 6 + nBL 2 + nWR 33 = 41 after its bank's WR at 31
            104 ACT 0 1 4 0     nRP 32; nRC ended at 90
            132 WR  0 1 4 0     nRCDWR 28
        """,
    ),
    "RD_SBK": Timeline(
        (
            I("RD_SBK", bank=4, row=6),
            I("RD_SBK", bank=5, row=6),
            I("WR_SBK", bank=4, row=6),
            I("RD_SBK", bank=5, row=6),
            I("RD_SBK", bank=5, row=6),
        ),
        clocks=198,  # 145 + nCL 50 + nBL 2 = 197, and one
        commands="""
            1   ACT 1 0 6 0
            37  RD  1 0 6 0     nRCDRD 36
            38  ACT 1 1 6 0     RD_SBK does not block; nRRDL ended at 7
            74  RD  1 1 6 0     nRCDRD 36
            124 WR  1 0 6 0     nCL 50 + nBL 2 + 3 - nCWL 6 + nWPRE 1 = 50
            143 RD  1 1 6 0     nCWL 6 + nBL 2 + nWTRL 11 = 19 in one bank group
            145 RD  1 1 6 0     nBL, nCCDS and nCCDL 2
        """,
    ),
    "RD_MEM": Timeline(
        (I("RD_MEM", bank=0, row=0), I("RD_MEM", bank=12, row=0), I("RD_MEM", bank=0, row=1)),
        clocks=196,  # 143 + nCL 50 + nBL 2 = 195, and one
        commands="""
            1   ACT 0 0 0 .     no column is printed
            37  RD  0 0 0 .     nRCDRD 36
            38  ACT 3 0 0 .     nRRDS ended at 6
            74  RD  3 0 0 .     nRCDRD 36
            75  PRE 0 0 1 .     nRTP ended at 49, nRAS at 55
            107 ACT 0 0 1 .     nRP 32; nRC ended at 90
            143 RD  0 0 1 .     nRCDRD 36
        """,
    ),
    "WR_MEM": Timeline(
        (
            I("RD_MEM", bank=4, row=0),
            I("WR_MEM", bank=0, row=0),
            I("RD_MEM", bank=4, row=0),
            I("MAC_ABK", row=0),
        ),
        clocks=185,  # RD completed at 104 + 52 = 156, MAC16 at 184
        commands="""
            1   ACT   1 0 0 .
            37  RD    1 0 0 .     nRCDRD 36
            38  ACT   0 0 0 .     nRRDS ended at 6
            87  WR    0 0 0 .     nCL 50 + nBL 2 + 3 - nCWL 6 + nWPRE 1 = 50 after RD; nRCDWR: 66
            104 RD    1 0 0 .     nCWL 6 + nBL 2 + nWTRS 9 = 17 across bank groups
            127 ACT16 . . 0 0     two banks open, at this row: no PREA; nRC 89 after ACT at 38
            183 MAC16 . . 0 0     nRCDRDMAC 56
        """,
    ),
    "W_CFR": Timeline(
        (
            I("W_CFR", address=0, value=1),
            I("W_CFR", address=1, value=1),
            I("W_CFR", address=2, value=1),
            I("WR_GB"),
        ),
        clocks=40,  # 36 + nCWLGB 1 + nBL 2 = 39, and one
        commands="""
            4  TMOD . . . 0     three instructions, one decode clock each
            36 WRGB . . . 0     nMODCH 32
        """,
    ),
    "R_GPR": Timeline(
        (I("RD_MAC"), I("R_GPR"), I("R_GPR"), I("R_GPR"), I("R_GPR"), I("WR_GB")),
        clocks=44,  # 40 + nCWLGB 1 + nBL 2 = 43, and one
        commands="""
            1  TMOD    . . . 0
            33 RDMAC16 . . . 0     nMODCH 32; completes at 35: R_GPR at 36, 37, 38, 39
            40 WRGB    . . . 0     decoded at 40; nCLREG 0 + nBL 2 + 3 - nCWLGB 1 + nWPRE 1 = 5: 38
        """,
    ),
    "W_GPR": Timeline(
        (I("W_GPR"), I("W_GPR"), I("WR_BIAS"), I("W_GPR"), I("WR_BIAS")),
        clocks=41,  # 37 + nCWLREG 1 + nBL 2 = 40, and one
        commands="""
            3  TMOD    . . . 0     after two decode clocks
            35 WRMAC16 . . . 0     nMODCH 32
            37 WRMAC16 . . . 0     nBL, nCCDS and nCCDL 2: the W_GPR between them costs nothing
        """,
    ),
    "EWADD": Timeline(
        (I("RD_MAC"), I("EWADD", 4), I("EWADD", 40), I("RD_MAC"), I("EWADD", 4)),
        clocks=43,  # 38 + 0 + 2 = 40, EWADD at 41, EOC at 42, finish 43
        commands="""
            1  TMOD    . . . 0
            33 RDMAC16 . . . 0     nMODCH 32; completes at 35: EWADD at 36 and 37, whatever its size
            38 RDMAC16 . . . 0     nBL and nCCDL ended at 35
        """,
    ),
    "SYNC": Timeline(
        (
            I("RD_SBK", bank=0, row=0),
            I("SYNC"),
            I("RD_SBK", bank=0, row=0),
            I("SYNC"),
            I("SYNC"),
            I("RD_SBK", bank=0, row=0),
        ),
        clocks=200,  # 147 + 52 = 199, and one
        commands="""
            1   ACT 0 0 0 0
            37  RD  0 0 0 0     nRCDRD 36; completes 37 + nCL 50 + nBL 2 = 89
            91  RD  0 0 0 0     SYNC finishes at 90, decode at 91; nCCDS would allow 39
            147 RD  0 0 0 0     91 + 52 = 143: SYNC finishes at 144, one decoded at 145 at 146
        """,
    ),
    "EOC": Timeline(
        (I("RD_SBK", bank=0, row=0), I("EOC"), I("RD_SBK", bank=0, row=0)),
        clocks=90,  # RD completes at 89; what follows EOC is never decoded
        commands="""
            1  ACT 0 0 0 0
            37 RD  0 0 0 0     nRCDRD 36
        """,
    ),
}
"""One program an instruction."""

RULES = {
    "all-bank refresh": Timeline(
        (I("MAC_ABK", 50, row=0),),
        clocks=295,
        commands="""
            1        ACT16 . . 0 0
            57:149:2 MAC16 . . 0 0:46     every nCCDS 2, up to the clock before 150
            161      PREA  . . . .        due at 150: nRTP 12 after 149
            193      REFab . . . .        nRP 32
            233      ACT16 . . 0 47       nRFC 40
            289      MAC16 . . 0 47       nRCDRDMAC 56
            291      MAC16 . . 0 48
            293      MAC16 . . 0 49       before 300, when the next one is due
        """,
        timing={"nREFI": 150, "nRFC": 40},
        policy="all-bank",
    ),
    "refresh from register mode": Timeline(
        (I("WR_GB", 46),),
        clocks=191,  # 187 + 3 = 190, and one
        commands="""
            1        TMOD  . . . 0
            33:119:2 WRGB  . . . 0:43
            120      TMOD  . . . .        due at 120, and REFab might issue: the arrays first
            152      REFab . . . .        nMODCH 32
            153      TMOD  . . . 44       back for the next WRGB
            185      WRGB  . . . 44       nMODCH 32
            187      WRGB  . . . 45
        """,
        timing={"nREFI": 120, "nRFC": 40},
        policy="all-bank",
    ),
    "per-bank refresh": Timeline(
        (I("MAC_ABK", 54, row=0),),
        clocks=293,
        commands="""
            1        ACT16 . . 0 0
            57:159:2 MAC16 . . 0 0:51
            171      PRE   0 0 . .        due at 160 = nREFI 2560 / 16: nRTP 12 after 159
            203      REFpb 0 0 . .        nRP 32; nRC after ACT16 ended at 90
            233      ACT16 . . 0 52       nRFCpb 30; nRREFD ended at 224
            289      MAC16 . . 0 52       nRCDRDMAC 56
            291      MAC16 . . 0 53
        """,
        timing={"nREFI": 2560, "nRFCpb": 30},
        policy="per-bank",
    ),
    "four activates": Timeline(
        tuple(I("RD_SBK", bank=bank, row=0) for bank in (0, 4, 8, 12, 1)),
        clocks=390,  # 337 + 52 = 389, and one
        commands="""
            1   ACT 0 0 0 0
            37  RD  0 0 0 0     nRCDRD 36
            38  ACT 1 0 0 0
            74  RD  1 0 0 0
            75  ACT 2 0 0 0
            111 RD  2 0 0 0
            112 ACT 3 0 0 0
            148 RD  3 0 0 0
            301 ACT 0 1 0 0     nFAW 300 after the first of the last four
            337 RD  0 1 0 0
        """,
        timing={"nFAW": 300},
        strict=True,
    ),
    "a full queue": Timeline(
        (I("WR_GB", 40), I("WR_GB", 2)),
        clocks=119,  # 115 + 3 = 118, and one
        commands="""
            1         TMOD . . . 0
            33:111:2  WRGB . . . 0:39     33 fit at 1, the last is accepted at 46: the next at 47
            113       WRGB . . . 0
            115       WRGB . . . 1
        """,
    ),
}
"""What no instruction alone shows."""

CASES = INSTRUCTIONS | RULES


def device(case: Timeline) -> Device:
    return with_(load("gddr6-aim"), channels=1, **case.timing)


def written(text: str) -> list[Command]:
    """Read a timeline."""
    found = []
    for line in text.strip().splitlines():
        clock, command, *address = line.split()[:6]
        first, _, steps = clock.partition(":")
        group, bank, row = (-1 if part == "." else int(part) for part in address[:3])
        column = -1 if address[3] == "." else int(address[3].partition(":")[0])
        last, _, step = steps.partition(":")
        clocks = range(int(first), int(last or first) + 1, int(step or 1))
        for offset, at in enumerate(clocks):
            found.append(Command(at, 0, command, group, bank, row, column + offset))
        if ":" in address[3]:
            assert found[-1].column == int(address[3].partition(":")[2])
    return found


def test_no_instruction_is_left_out() -> None:
    assert set(INSTRUCTIONS) == set(OPS)


@pytest.mark.parametrize("name", CASES)
def test_the_reference_follows_the_hand(name: str) -> None:
    case = CASES[name]
    found = tick(case.program, device(case), policy=case.policy, strict=case.strict)
    assert found.commands == written(case.commands)
    assert found.clocks == case.clocks


@pytest.mark.parametrize("name", CASES)
def test_the_engine_follows_the_hand(name: str) -> None:
    case = CASES[name]
    found = engine(case.program, device(case), policy=case.policy, strict=case.strict)
    assert found.commands == written(case.commands)
    assert found.clocks == case.clocks


def test_channels_run_apart_and_end_together() -> None:
    # Channel 0 reads at 37 and completes at 89. Channel 1 begins a clock later, reads at 38 and
    # completes at 90. EOC is decoded at 3 for both: 91 is the later of 90 and 91.
    program = (I("RD_SBK", bank=0, row=0, channels=1), I("RD_SBK", bank=0, row=0, channels=2))
    two = with_(load("gddr6-aim"), channels=2)
    expected = [
        Command(1, 0, "ACT", 0, 0, 0, 0),
        Command(2, 1, "ACT", 0, 0, 0, 0),
        Command(37, 0, "RD", 0, 0, 0, 0),
        Command(38, 1, "RD", 0, 0, 0, 0),
    ]
    for found in (tick(program, two), engine(program, two)):
        assert found.commands == expected
        assert found.clocks == 91
