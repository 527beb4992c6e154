"""A memory with processing in it: sizes, timing, constraints, and what it draws; all of it data.

Owns ``Device`` and its parts, ``load``, ``names`` and ``with_``. A device is a TOML file in
``devices/``, or the user's own; its rules may lie apart in ``constraints/``. Imports the reader of
such files and the errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from gateformer.hw.pim import device_file
from gateformer.hw.pim.device_limits import contradictions
from gateformer.quant.errors import ConfigError, PimError, Problems

Level = Literal["channel", "bankgroup", "bank"]
Policy = Literal["none", "all-bank", "per-bank"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """After a command of ``after``, one of ``before`` waits, at the same instance of a level.

    Attributes
    ----------
    level : {"channel", "bankgroup", "bank"}
        Where both commands must meet. A command counts at its own scope and above: an all-bank
        command never reaches an entry of a bank group or a bank.
    after, before : tuple of str
        Commands of ``isa.COMMANDS``.
    wait : int
        Clocks from the one to the other; zero or less never binds.
    text : str
        The sum of parameters that ``wait`` comes from, as reports name it.
    window : int
        The wait counts from the ``window``-th last command of ``after``; 1 but for four activates.
    """

    level: Level
    after: tuple[str, ...]
    before: tuple[str, ...]
    wait: int
    text: str
    window: int = 1


@dataclass(frozen=True, slots=True)
class Organization:
    """Sizes of the memory.

    Attributes
    ----------
    channels, bank_groups, banks_per_group, rows : int
        Channels of the device, bank groups of a channel, banks of a group, rows of a bank.
    row_bytes, access_bits : int
        Bytes of a bank's row, bits of one column access of one bank.
    modes : bool
        Whether a channel is switched between its registers and its arrays (TMOD).
    """

    channels: int
    bank_groups: int
    banks_per_group: int
    rows: int
    row_bytes: int
    access_bits: int
    modes: bool = True

    @property
    def banks(self) -> int:
        """Banks of a channel."""
        return self.bank_groups * self.banks_per_group

    @property
    def columns(self) -> int:
        """Accesses of a row."""
        return self.row_bytes * 8 // self.access_bits


@dataclass(frozen=True, slots=True)
class Mac:
    """The multipliers beside each bank.

    Attributes
    ----------
    lanes : int
        BF16 products of one access of one bank.
    accumulators : int
        Results that a bank holds at once.
    buffer_bytes : int
        The channel's buffer of the broadcast vector.
    weights : mapping of str to int
        Format of the weights to how many one access brings.
    source : str
        Where this is from.
    """

    lanes: int
    accumulators: int
    buffer_bytes: int
    weights: Mapping[str, int]
    source: str


@dataclass(frozen=True, slots=True)
class Link:
    """The way between the memory and the ASIC or host.

    Attributes
    ----------
    channel_gb_per_s : float
        Bandwidth of one channel, 10^9 bytes a second.
    latency_ns : float
        From the first byte sent to the first received.
    source : str
        Where this is from.
    """

    channel_gb_per_s: float
    latency_ns: float
    source: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A pipelined unit of the ASIC.

    An operation on vectors of ``words`` = ceil(elements of a vector / ``per_clock``) takes
    ``latency`` + ``lead`` x words + vectors x (``passes`` x words + ``vector_latency``) + results x
    ``result_latency`` clocks.

    Attributes
    ----------
    latency : int
        ASIC clocks of an operation besides, from its start to its last result.
    per_clock : int
        Elements that it takes a clock.
    source : str
        Where this is from.
    passes : int
        How often it takes a vector's elements, other operands of theirs included.
    vector_latency : int
        Clocks of each vector besides: where the next one waits for a result of this one.
    lead : int
        Passes over one vector's elements that an operation has besides its vectors'.
    result_latency : int
        Clocks besides of each result that vectors make together.
    most : int
        Shares that ``merge`` puts together at most, or words of a vector of ``select``; 0 for any
        number.
    """

    latency: int
    per_clock: int
    source: str = ""
    passes: int = 1
    vector_latency: int = 0
    lead: int = 0
    result_latency: int = 0
    most: int = 0


@dataclass(frozen=True, slots=True)
class Asic:
    """What computes beside the memory.

    Attributes
    ----------
    clock_ns : float
        Its clock.
    units : mapping of str to Unit
        Units of which the device states latency and pace, by name (``softmax``, ``norm``, ...);
        those of the others follow from the adders and multipliers.
    source : str
        Where this is from.
    adders, multipliers : int
        Of BF16 and FP32 numbers, each of one a clock, shared by all units.
    sram_bytes : int
        Memory for vectors, scores and buffered values.
    lanes : int
        Numbers that a sum takes at once, a power of two: the order of its additions
        (``functions.total``) hangs on it.
    """

    clock_ns: float
    units: Mapping[str, Unit]
    source: str
    adders: int = 256
    multipliers: int = 128
    sram_bytes: int = 131072
    lanes: int = 16

    def most(self, unit: str) -> int:
        """Return the most that a unit takes at once, 0 where nothing bounds it."""
        return self.units[unit].most if unit in self.units else 0


@dataclass(frozen=True, slots=True)
class Power:
    """What one channel draws, and the ASIC.

    Attributes
    ----------
    name : str
        Of this set of figures; a device may have several, the first being its default.
    voltage : float
        Supply, V.
    idd0, idd2n, idd3n, idd4r, idd4w, idd5b : float
        Currents of a channel in mA: activate and precharge of one bank over and over, standby
        closed, standby open, reading, writing, refreshing.
    mac_reads : float
        What an all-bank MAC draws, in reads of one bank without its outputs.
    mac_mw : float
        MAC logic of a channel while it computes.
    io_pj_per_bit : float
        A bit over the link.
    asic_mw : float
        The ASIC while it works.
    asic_idle_mw : float
        The ASIC while it waits.
    source : str
        Where each is from.
    """

    name: str
    voltage: float
    idd0: float
    idd2n: float
    idd3n: float
    idd4r: float
    idd4w: float
    idd5b: float
    mac_reads: float
    mac_mw: float
    io_pj_per_bit: float
    asic_mw: float
    asic_idle_mw: float
    source: str


@dataclass(frozen=True, slots=True)
class RefreshRule:
    """How the device is refreshed unless a run says otherwise.

    Attributes
    ----------
    policy : {"none", "all-bank", "per-bank"}
        Which command refreshes.
    most_postponed : int
        Refreshes that may be owed at once.
    source : str
        Where this is from.
    """

    policy: Policy = "all-bank"
    most_postponed: int = 8
    source: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """A memory, and what it computes with.

    Attributes
    ----------
    name : str
        Its file's name.
    clock_ns : float
        The command clock, to which ``timing`` counts.
    organization : Organization
        Sizes.
    timing : mapping of str to int
        Parameters in clocks, by JEDEC's names with n for t.
    constraints : tuple of Constraint
        Always enforced.
    strict : tuple of Constraint
        Edges that the public simulator's table lacks, enforced where asked.
    refresh : RefreshRule
        Refresh by default.
    mac : Mac or None
        Multipliers; None for a bare timing file, as the next ones.
    link : Link or None
        Link to the ASIC.
    asic : Asic or None
        The ASIC.
    powers : tuple of Power
        Sets of currents, the default first; may be empty.
    preset : mapping of str to int
        Timing that a vendor means where the values in force differ; never in force by itself.
    source : str
        Where sizes and timing are from.
    """

    name: str
    clock_ns: float
    organization: Organization
    timing: Mapping[str, int]
    constraints: tuple[Constraint, ...]
    strict: tuple[Constraint, ...] = ()
    refresh: RefreshRule = RefreshRule()
    mac: Mac | None = None
    link: Link | None = None
    asic: Asic | None = None
    powers: tuple[Power, ...] = ()
    preset: Mapping[str, int] = field(default_factory=dict)
    source: str = ""

    @property
    def power(self) -> Power | None:
        """The default set of currents."""
        return self.powers[0] if self.powers else None


def names() -> tuple[str, ...]:
    """Return all devices that come with the package."""
    found = (entry.name for entry in (resources.files(__package__) / "devices").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def text_of(name_or_path: str | Path) -> str:
    """Return a device's file, as it is written.

    Parameters
    ----------
    name_or_path : str or Path
        One of ``names()``, or the path of a TOML file of the same form.

    Raises
    ------
    PimError
        E807 for an unknown name, E804 for a file that is no text or too long.
    ConfigError
        E003 for a path without a file.
    """
    text = str(name_or_path)
    if text in names():
        inside = resources.files(__package__) / "devices" / f"{text}.toml"
        return inside.read_text(encoding="utf-8")
    path = Path(name_or_path)
    if path.suffix != ".toml" and not path.is_file():
        near = get_close_matches(text, names(), 1)
        raise PimError(
            "E807",
            "unknown device",
            layer=text,
            cause=f"Known are {', '.join(names())}",
            fix=f"Did you mean '{near[0]}'?" if near else "Or give the path of a TOML file",
        )
    if not path.is_file():
        raise ConfigError("E003", "file not found", layer=text, fix="Check the path")
    return device_file.text_of(path)


def load(name_or_path: str | Path) -> Device:
    """Return a device.

    Parameters
    ----------
    name_or_path : str or Path
        One of ``names()``, or the path of a TOML file of the same form.

    Raises
    ------
    PimError or Problems
        E807 for an unknown name, else E804 (malformed) and E805 (contradictory), all at once.
    ConfigError
        E003 for a path without a file.
    """
    name = str(name_or_path)
    known = name in names()
    place = f"{name}.toml" if known else name
    return _build(name if known else Path(name).stem, text_of(name_or_path), place)


def with_(device: Device, **changes: int | float) -> Device:
    """Return a device with other timing or sizes; its waits are worked out anew.

    Parameters
    ----------
    device : Device
        The device.
    **changes : int or float
        Parameters of ``timing``, fields of ``Organization``, or ``clock_ns``.

    Raises
    ------
    PimError or Problems
        E804 for an unknown name, E805 for values that contradict each other.
    """
    sizes = {one.name for one in fields(Organization)}
    known = sizes | set(device.timing) | {"clock_ns"}
    Problems.raise_if_any(
        device_file.unknown(device.name, name, known)
        if name not in known
        else PimError("E804", "invalid value", layer=name, cause=f"{value!r} is no whole number")
        for name, value in changes.items()
        if name not in known or (name != "clock_ns" and not isinstance(value, int))
    )
    size_changes: dict[str, Any] = {key: changes[key] for key in changes if key in sizes}
    organization = replace(device.organization, **size_changes)
    timing = {key: changes.get(key, value) for key, value in device.timing.items()}
    clock_ns = changes.get("clock_ns", device.clock_ns)
    tree = {
        "clock_ns": clock_ns,
        "organization": {name: getattr(organization, name) for name in sizes},
        "timing": timing,
        "link": None if device.link is None else asdict(device.link),
        "asic": None if device.asic is None else {"clock_ns": device.asic.clock_ns},
    }
    Problems.raise_if_any(contradictions(tree, lambda *keys: ".".join(keys)))
    whole = {key: int(value) for key, value in timing.items()}
    return replace(
        device,
        clock_ns=float(clock_ns),
        organization=organization,
        timing=whole,
        constraints=tuple(_again(one, whole) for one in device.constraints),
        strict=tuple(_again(one, whole) for one in device.strict),
    )


def _again(one: Constraint, timing: Mapping[str, int]) -> Constraint:
    return replace(one, wait=device_file.evaluate(one.text, timing))


def _build(name: str, text: str, file: str) -> Device:
    spec = device_file.read(text, file)
    timing = spec.timing.values()
    units = spec.asic.units if spec.asic else {}

    def rules(found: list[device_file.ConstraintSpec]) -> tuple[Constraint, ...]:
        return tuple(
            Constraint(
                one.level,
                tuple(one.after),
                tuple(one.before),
                device_file.evaluate(one.wait, timing),
                one.wait,
                one.window,
            )
            for one in found
        )

    return Device(
        name=name,
        clock_ns=spec.clock_ns,
        organization=Organization(**spec.organization.model_dump(exclude={"source"})),
        timing=timing,
        constraints=rules(spec.constraint),
        strict=rules(spec.strict),
        refresh=RefreshRule(**spec.refresh.model_dump()),
        mac=Mac(**spec.mac.model_dump()) if spec.mac else None,
        link=Link(**spec.link.model_dump()) if spec.link else None,
        asic=Asic(
            spec.asic.clock_ns,
            {key: Unit(**unit.model_dump()) for key, unit in units.items()},
            spec.asic.source,
            spec.asic.adders,
            spec.asic.multipliers,
            spec.asic.sram_bytes,
            spec.asic.lanes,
        )
        if spec.asic
        else None,
        powers=tuple(Power(**power.model_dump()) for power in spec.power),
        preset=spec.preset.values(),
        source=spec.source,
    )
