"""Reading a device's TOML: its form and sums of parameters; all faults at once.

Owns the form of such files (``DeviceSpec``), ``read`` and ``evaluate``. Imports the limits, the
commands' names and the errors. No text of a file is ever evaluated as code.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError
from pydantic_core import ErrorDetails

from gateformer.hw.pim.device_limits import MOST, SHORTEST, Place, contradictions, shown
from gateformer.hw.pim.isa import COMMANDS
from gateformer.quant.errors import PimError, Problems
from gateformer.quant.toml_faults import cause_of

LARGEST = 1 << 20
"""Bytes of the largest device file that is read."""
Text = Annotated[str, Field(max_length=4000)]
Whole = Annotated[int, Field(ge=0, le=MOST)]
Positive = Annotated[int, Field(ge=1, le=MOST)]
Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class Form(BaseModel):
    """What every table shares: no unknown keys, no guessed types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class OrganizationSpec(Form):
    """Sizes; their contradictions are looked for apart."""

    channels: int
    bank_groups: int
    banks_per_group: int
    rows: int
    row_bytes: int
    access_bits: int
    modes: bool = True
    source: Text = ""


class Parameters(BaseModel):
    """Any names with whole values, and a source."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, StrictInt] = Field(init=False)
    source: Text = ""

    def values(self) -> dict[str, int]:
        """Return the parameters."""
        return dict(self.__pydantic_extra__)


class ConstraintSpec(Form):
    """One row of the table of constraints."""

    level: Literal["channel", "bankgroup", "bank"]
    after: Annotated[list[str], Field(min_length=1)]
    before: Annotated[list[str], Field(min_length=1)]
    wait: Annotated[str, Field(max_length=200)]
    window: Annotated[int, Field(ge=1, le=64)] = 1


class RefreshSpec(Form):
    """Refresh by default."""

    policy: Literal["none", "all-bank", "per-bank"] = "all-bank"
    most_postponed: Whole = 8
    source: Text = ""


class MacSpec(Form):
    """Multipliers."""

    lanes: Positive
    accumulators: Positive
    buffer_bytes: Positive
    weights: dict[str, Positive]
    source: Text


class LinkSpec(Form):
    """Link to the ASIC."""

    channel_gb_per_s: Annotated[float, Field(ge=1e-3, le=1e6)]
    latency_ns: Amount
    source: Text


class UnitSpec(Form):
    """A unit of the ASIC."""

    latency: Whole
    per_clock: Positive
    source: Text = ""
    passes: Annotated[int, Field(ge=1, le=64)] = 1
    vector_latency: Whole = 0
    lead: Annotated[int, Field(ge=0, le=64)] = 0
    result_latency: Whole = 0
    most: Whole = 0


class AsicSpec(Form):
    """The ASIC."""

    clock_ns: Annotated[float, Field(ge=SHORTEST, le=1e6)]
    units: dict[str, UnitSpec] = {}
    adders: Positive = 256
    multipliers: Positive = 128
    sram_bytes: Positive = 131072
    lanes: Literal[1, 2, 4, 8, 16, 32, 64, 128] = 16
    source: Text


class PowerSpec(Form):
    """One set of currents."""

    name: Text
    voltage: Annotated[float, Field(gt=0, le=100)]
    idd0: Amount
    idd2n: Amount
    idd3n: Amount
    idd4r: Amount
    idd4w: Amount
    idd5b: Amount
    mac_reads: Amount
    mac_mw: Amount
    io_pj_per_bit: Amount
    asic_mw: Amount
    asic_idle_mw: Amount
    source: Text


class DeviceSpec(Form):
    """A device's file."""

    clock_ns: float
    source: Text = ""
    constraints: Text = ""
    organization: OrganizationSpec
    timing: Parameters
    preset: Parameters = Parameters()
    refresh: RefreshSpec = RefreshSpec()
    mac: MacSpec | None = None
    link: LinkSpec | None = None
    asic: AsicSpec | None = None
    power: list[PowerSpec] = []
    constraint: list[ConstraintSpec] = []
    strict: list[ConstraintSpec] = []


def text_of(path: Path) -> str:
    """Return a file's text, bounded."""
    with path.open("rb") as stream:
        raw = stream.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise PimError("E804", "malformed device file", layer=str(path), cause="It is over 1 MiB")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PimError("E804", "malformed device file", layer=str(path), cause=str(error)) from None


def read(text: str, file: str) -> DeviceSpec:
    """Check a device's text.

    Parameters
    ----------
    text : str
        TOML.
    file : str
        Its name in messages.

    Raises
    ------
    PimError or Problems
        E804 for what is malformed and E805 for what contradicts itself, all at once.
    """
    tree = _parse(text, file)

    def place(*keys: object) -> str:
        return f"{file}:{_line(text, keys)} {'.'.join(map(str, keys))}"

    problems: list[PimError] = []
    if isinstance(tree.get("constraints"), str):
        try:
            shared = _shared(tree["constraints"], place("constraints"))
        except PimError as error:
            problems.append(error)
            shared = {}
        tree = {**tree, **{key: shared.get(key, []) + _rows(tree, key) for key in RULES}}
        own = {key: len(shared.get(key, [])) for key in RULES}
    else:
        own = dict.fromkeys(RULES, 0)
    spec: DeviceSpec | None = None
    try:
        spec = DeviceSpec.model_validate(tree)
    except ValidationError as error:
        problems += [_problem(found, place, own) for found in error.errors()]
    problems += contradictions(tree, place)
    problems += _namesakes(tree, place)
    problems += _parameters(tree, place, own)
    # A wait that is too long is one fault, however many shared constraints have it.
    problems += {str(one): one for one in _rules(tree, place, own)}.values()
    Problems.raise_if_any(problems)
    if spec is None:
        raise AssertionError("a validation error without errors")
    return spec


RULES = ("constraint", "strict")
"""The two tables of constraints of a file."""
READ = frozenset(
    {"nBL", "nCCDL", "nCL", "nCLGB", "nCLREG", "nCWL", "nCWLGB", "nCWLREG", "nFAW", "nRAS", "nRC"}
    | {"nREFI", "nRFC", "nRFCpb", "nRP"}
)
"""Parameters that a file may state though no wait names them: of rates, refresh, energy and data,
and those that the public AiM simulator's own file has.
"""
NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
"""A parameter in a wait."""


def _namesakes(tree: Mapping[str, Any], place: Place) -> Iterator[PimError]:
    """Yield sets of currents that share a name: results are told apart by it."""
    names = [str(row.get("name")) for row in _rows(tree, "power") if isinstance(row, Mapping)]
    for at, name in enumerate(names):
        if name in names[:at]:
            yield PimError(
                "E804",
                "malformed device file",
                layer=place("power", at, "name"),
                cause=f"Another set of currents is called '{name}' too",
                fix="Give each its own name",
            )


def evaluate(text: str, timing: Mapping[str, int]) -> int:
    """Return the value of a sum such as ``nCL + nBL + 3 - nCWL``.

    Raises
    ------
    ValueError
        Where it is no sum or difference of known names and whole numbers; says what is wrong.
    """
    parts = re.findall(r"\w+|\S", text, re.ASCII)
    if len(parts) % 2 == 0:
        raise ValueError(f"'{text}' is no sum of parameters")
    total = 0
    for position in range(0, len(parts), 2):
        sign, name = parts[position - 1] if position else "+", parts[position]
        if sign not in ("+", "-"):
            raise ValueError(f"'{text}' has '{sign}' where + or - belongs")
        if not name.isdigit() and name not in timing:
            near = get_close_matches(name, timing, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"'{name}' is no parameter of [timing]{hint}")
        value = int(name) if name.isdigit() else timing[name]
        total += value if sign == "+" else -value
    return total


def unknown(place: str, name: str, known: Iterable[str]) -> PimError:
    """Return the error for a name that is not known, with the nearest one that is."""
    listed = sorted(known)
    near = get_close_matches(name, listed, 1)
    fix = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(listed)}"
    return PimError("E804", f"unknown key '{name}'", layer=place, fix=fix)


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        layer = f"{file}:{found[1]}" if found else file
        raise PimError(
            "E804", "malformed device file", layer=layer, cause=cause_of(error)
        ) from None


def _shared(name: str, place: str) -> dict[str, list[dict[str, Any]]]:
    folder = resources.files(__package__) / "constraints"
    known = sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml"))
    if name not in known:
        error = unknown(place, name, known)
        error.what = f"unknown table of constraints '{name}'"
        raise error
    tree = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
    return {key: tree.get(key, []) for key in RULES}


def _rows(tree: Mapping[str, Any], key: str) -> list[Any]:
    found = tree.get(key, [])
    return found if isinstance(found, list) else [found]


def _parameters(
    tree: Mapping[str, Any], place: Place, own: Mapping[str, int]
) -> Iterator[PimError]:
    """Yield parameters that nothing reads, and those that shared constraints name in vain."""
    timing = tree.get("timing")
    if not isinstance(timing, Mapping):
        return
    named: dict[bool, set[str]] = {False: set(READ), True: set()}
    for key in RULES:
        for index, row in enumerate(_rows(tree, key)):
            wait = row.get("wait") if isinstance(row, Mapping) else None
            if isinstance(wait, str):
                named[index < own[key]].update(NAME.findall(wait))
    missing = named[True] - timing.keys()
    misspelt: set[str] = set()
    for name in timing:
        if name != "source" and name not in named[False] | named[True]:
            meant = get_close_matches(name, sorted(missing), 1)
            yield unknown(place("timing", name), name, meant or named[False] | named[True])
            misspelt.update(meant)
    for name in sorted(missing - misspelt):
        yield PimError(
            "E804",
            "missing key",
            layer=place("timing", name),
            cause=f"The constraints '{tree['constraints']}' name it",
        )


def _rules(tree: Mapping[str, Any], place: Place, own: Mapping[str, int]) -> Iterator[PimError]:
    """Yield waits that are no sums of parameters, and commands that do not exist."""
    timing = tree.get("timing")
    known = timing if isinstance(timing, Mapping) else {}
    numbers = {key: value for key, value in known.items() if type(value) is int}
    for key in RULES:
        for index, row in enumerate(_rows(tree, key)):
            if not isinstance(row, Mapping):
                continue
            at = index - own[key]

            def where(part: str, key: str = key, at: int = at) -> str:
                return place("constraints") if at < 0 else place(key, at, part)

            wait = row.get("wait")
            lost = set(NAME.findall(wait)) - numbers.keys() if isinstance(wait, str) else set()
            told = lost if at < 0 else lost & known.keys()  # as missing, or as no whole number
            if isinstance(wait, str) and not told and (fault := _fault(wait, numbers)):
                yield PimError("E804", "malformed wait", layer=where("wait"), cause=fault)
            for side in ("after", "before"):
                listed = row.get(side)
                for name in listed if isinstance(listed, list) else ():
                    if isinstance(name, str) and name not in COMMANDS:
                        error = unknown(where(side), name, COMMANDS)
                        error.what = f"unknown command '{name}'"
                        yield error


def _fault(wait: str, numbers: Mapping[str, int]) -> str:
    """Return what is wrong with a wait; nothing where its parameters themselves are too large."""
    try:
        clocks = evaluate(wait, numbers)
    except ValueError as error:
        return str(error)
    if abs(clocks) <= MOST or max(map(abs, numbers.values()), default=0) > MOST:
        return ""
    return f"'{wait}' comes to {shown(clocks)} clocks; a wait is {MOST} at most"


def _problem(found: ErrorDetails, place: Place, own: Mapping[str, int]) -> PimError:
    keys = [*found["loc"]]
    if len(keys) > 1 and keys[0] in RULES:
        keys[1] = cast("int", keys[1]) - own[str(keys[0])]
    if found["type"] == "extra_forbidden":
        return unknown(place(*keys), str(keys[-1]), _known(keys[:-1]))
    if found["type"] == "missing":
        return PimError("E804", "missing key", layer=place(*keys))
    cause = f"{shown(found['input'])} {found['msg'].removeprefix('Input ')}"
    return PimError("E804", "invalid value", layer=place(*keys), cause=cause)


def _known(keys: Iterable[object]) -> Iterable[str]:
    """Return the keys that the table at ``keys`` may have."""
    model: Any = DeviceSpec
    for key in keys:
        if isinstance(key, int) or key not in getattr(model, "model_fields", {}):
            continue
        model = model.model_fields[key].annotation
        forms = [one for one in (model, *getattr(model, "__args__", ())) if isinstance(one, type)]
        model = next((one for one in forms if issubclass(one, BaseModel)), model)
    return list(getattr(model, "model_fields", {}))


def _line(text: str, keys: tuple[object, ...]) -> int:
    """Return the line of a key, or of the table that lacks it; 1 if there is neither."""
    names = [str(key) for key in keys if not isinstance(key, int)]
    index = next((key for key in keys if isinstance(key, int)), 0)
    best, table, seen = 1, "", 0
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([\w.\"-]+)\s*\]+", line)
        if header:
            table = header[1].replace('"', "")
            if table == ".".join(names[: table.count(".") + 1]):
                seen += 1
                if seen == index + 1 or not line.lstrip().startswith("[["):
                    best, depth = number, table.count(".") + 1
            continue
        name = line.split("=", 1)[0].strip().strip('"')
        inside = depth if table else 0
        current = ".".join(names[:inside]) == table
        repeated = index and seen != index + 1 and table
        if current and inside < len(names) and name == names[inside] and not repeated:
            return number
    return best
