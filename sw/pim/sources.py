"""``generate pim``: a memory with processing in it, and its ASIC, in Verilog.

Owns ``sources``. Imports the memory's Verilog, the ASIC's files and the refresh.
"""

from __future__ import annotations

import re
from pathlib import Path

from gateformer.hw.pim import device as memory
from gateformer.hw.pim.device import Device, Policy
from gateformer.hw.pim.verilog import emit
from gateformer.quant.errors import PimError
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim import asic_rtl

ASIC = "gf_pim_asic"
"""Top module of the ASIC."""
ROWS = 64
"""Rows of a bank that the Verilog holds; those of a full-size memory are kept by a simulator."""
MOST_CELLS = 1 << 29
"""Bytes of all banks' rows at most. Icarus takes 53 s and 1.1 GB until the first clock of so many
(one channel, 16 banks of 16,384 rows of 2 KB); with eight times as many it has taken 300 s and
5.5 GB, and is not there yet."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""Device names that may stand in the files' names, their comments and ``files.f``."""


def sources(
    device: str,
    *,
    rows: int | None = None,
    channels: int | None = None,
    policy: Policy | None = None,
    hot: bool = False,
    strict: bool = False,
    weights: str = "bf16",
) -> tuple[Device, dict[str, str]]:
    """Return a device and its Verilog.

    Parameters
    ----------
    device : str
        A device's name, or a TOML file.
    rows : int or None
        Rows of each bank; by default 64, or the device's own where it has fewer. All rows of all
        banks take ``MOST_CELLS`` bytes at most.
    channels : int or None
        Channels, in place of the device's.
    policy : {"none", "all-bank", "per-bank"} or None
        Which command refreshes; the device's own where None.
    hot, strict : bool
        Refresh twice as often; the strict edges hold too.
    weights : {"bf16", "int8", "int4"}
        What the banks multiply.

    Returns
    -------
    device : Device
        With those rows and channels.
    files : dict of str to str
        Text by path: the memory under ``memory/``, the ASIC under ``asic/``, and for both a list
        of files, ``files.f``.

    Raises
    ------
    PimError or Problems
        E804 and E805 for the device, or for sizes that it cannot have; E804 for a file whose name
        cannot stand in Verilog.
    """
    found = memory.load(device)
    if not NAME.fullmatch(found.name):
        raise PimError(
            "E804",
            "device name not for Verilog",
            layer=ascii(found.name)[1:-1],
            cause="The device's name stands in names of files and in comments",
            fix="Call the file by letters, digits, '_', '-' and '.', with a letter or digit first",
        )
    sizes = {"rows": min(ROWS, found.organization.rows) if rows is None else rows}
    sizes |= {} if channels is None else {"channels": channels}
    found = memory.with_(found, **sizes)
    _check_rows(found)
    refresh = Refresh(found.refresh.policy if policy is None else policy, double=hot)
    parts = {
        "memory": emit(
            found,
            policy=refresh.policy,
            interval=refresh.interval(found),
            postponed=refresh.postponed,
            strict=strict,
            weights=weights,
        )
    }
    if found.asic is not None:
        parts["asic"] = asic_rtl.sources(ASIC)
    files = {
        str(Path(part, name)): text for part, own in parts.items() for name, text in own.items()
    }
    for part, own in parts.items():
        files[f"{part}/files.f"] = "".join(f"{name}\n" for name in sorted(own))
    return found, files


def _check_rows(device: Device) -> None:
    """Raise E805 for more rows than a simulator takes."""
    sizes = device.organization
    row = sizes.channels * sizes.banks * sizes.row_bytes
    if sizes.rows * row <= MOST_CELLS:
        return
    most = MOST_CELLS // row
    raise PimError(
        "E805",
        "more rows than simulators take",
        layer=device.name,
        cause=(
            f"{sizes.channels} x {sizes.banks} banks of {sizes.rows:,} rows hold "
            f"{sizes.rows * row:,} bytes; the Verilog keeps {MOST_CELLS:,} at most, for which "
            "Icarus takes about a minute and 1.1 GB before the first clock"
        ),
        fix=(f"Take --rows {most} at most, or" if most else "Take") + " fewer channels",
    )
