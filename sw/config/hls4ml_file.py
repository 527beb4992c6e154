"""An ``hls4ml_config.yml`` becomes a ``design.toml``: what each line is here, or why it is nothing.

Owns ``Imported`` and ``import_config``. Imports the schema, the frontends and the parts that read
the file. Nothing in the file is ever run, and no framework is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from gateformer.config.hls4ml_keys import MAPPED, why
from gateformer.config.hls4ml_layers import Fitted, fit
from gateformer.config.hls4ml_ledger import Ledger, Row, Setting
from gateformer.config.hls4ml_model import Places, find_model
from gateformer.config.hls4ml_scopes import read_scopes
from gateformer.config.hls4ml_yaml import Entry, read_yaml
from gateformer.config.read import default_name
from gateformer.config.schema import SAFE_NAME, Config, Data, Schedule
from gateformer.config.write import tree_to_toml
from gateformer.hw.naming import PART, PART_FORM
from gateformer.quant.errors import DataError, Problems
from gateformer.quant.graph import Graph

BACKENDS = {
    "vitis": "vitis",
    "vivado": "vivado",
    "vivadoaccelerator": "vivado",
    "quartus": "quartus",
    "oneapi": "oneapi",
}
"""hls4ml's backend, in lower case -> ours."""
AMD = re.compile(r"xc[a-z0-9]+")
"""AMD's numbers of parts, which Vivado takes too; Intel's in hls4ml are mostly families."""
DEVICE = str(Schedule.model_fields["device"].default)
IO_TYPES = ("io_parallel", "io_stream")
LOGIC_SHARE = 0.7
"""Of the clock period, for logic alone: the schedule's own default, 3.5 of 5 ns."""
LEAST_LOGIC_NS = 1.0

HEAD = """\
# From {file}, by gateformer import-config.
# hls4ml truncates and wraps where a precision does not say otherwise; a Cast here rounds and
# saturates. Types of weights are those that hls4ml would find: by name, by type, the model's.
"""


@dataclass(frozen=True, slots=True)
class Imported:
    """A design made of hls4ml's configuration.

    Attributes
    ----------
    text : str
        The ``design.toml``.
    rows : tuple of Row
        A row for each setting of the file, in its order.
    """

    text: str
    rows: tuple[Row, ...]


def import_config(file: Path, folder: Path, model: Path | None = None) -> Imported:
    """Read hls4ml's configuration and write what it says as a design.

    Parameters
    ----------
    file : Path
        The ``hls4ml_config.yml``.
    folder : Path
        Where the ``design.toml`` will stand; its paths are relative to it.
    model : Path, optional
        The model's file, in place of the one that the file names.

    Raises
    ------
    Problems or GateformerError
        E003, E007 and E008 for the file itself; then, at once: E002, E003, E020 and E021 for its
        values, and E1xx for the model.
    """
    top = read_yaml(file).value
    assert isinstance(top, Mapping)
    return _Import(file, folder, top, model).done()


class _Import:
    def __init__(
        self, file: Path, folder: Path, top: Mapping[str, Entry], model: Path | None
    ) -> None:
        self.file = file
        self.places = Places(file.parent, folder)
        self.top = {key: Setting(key, entry) for key, entry in top.items()}
        self.model = model
        self.ledger = Ledger(file.name)
        self.tree: dict[str, Any] = {}

    def done(self) -> Imported:
        for key, setting in self.top.items():
            if key not in MAPPED["file"]:
                self._without(setting)
        found = find_model(self.top, self.places, self.model, self.ledger)
        self._name()
        schedule = self._schedule()
        tables = {"schedule": schedule, "hls": self._backend()}
        for name, table in self._part().items():
            tables[name] = {**tables.get(name, {}), **table}
        scopes = read_scopes(self._config(), self.ledger)
        Problems.raise_if_any(self.ledger.faults)
        if found is None:
            raise AssertionError("a model that is not there is a fault")
        data = self._data(found.graph)
        fitted = fit(found.graph, found.classes, scopes, self.ledger)
        tables["schedule"] |= {"reuse_factor": fitted.reuse_factor}
        tables["schedule"] |= {"layers": fitted.layers} if fitted.layers else {}
        tables = {"data": data, "types": _types(fitted), **tables}
        tree = {"model": found.written, **self.tree}
        tree |= {name: table for name, table in tables.items() if table}
        return Imported(self._text(tree), self.ledger.rows())

    def _without(self, setting: Setting) -> None:
        """Say why a key has no counterpart; of a table too, one row a key."""
        value = setting.entry.value
        if isinstance(value, Mapping) and value:
            for inner, entry in value.items():
                one = Setting(f"{setting.key}.{inner}", entry)
                self.ledger.drop(one, why("file", setting.key))
        else:
            self.ledger.drop(setting, why("file", setting.key))

    def _name(self) -> None:
        setting = self.top.get("ProjectName")
        text = None if setting is None else setting.entry.value
        if setting is None or text is None:
            return
        if text == "":
            self.ledger.drop(setting, "says nothing")
        elif isinstance(text, str) and SAFE_NAME.fullmatch(text):
            self.tree["name"] = text
            self.ledger.use(setting, f"name = {text}")
        else:
            name = default_name(Path(f"{setting.entry}.h5"), bare=True)
            self.tree["name"] = name
            self.ledger.use(setting, f"name = {name}", "names are of letters, digits and _")

    def _schedule(self) -> dict[str, Any]:
        table: dict[str, Any] = {}
        if (setting := self.top.get("ClockPeriod")) and setting.entry.value is not None:
            value = _number(setting.entry.value)
            if value is None or not 0.1 <= value <= 10_000:
                self.ledger.fault(setting, f"'{setting.entry}' is no period from 0.1 to 10,000 ns")
            else:
                table["clock_ns"] = value
                table["logic_ns"] = max(LEAST_LOGIC_NS, round(LOGIC_SHARE * value, 3))
                told = f"schedule.clock_ns = {value:g}, schedule.logic_ns = {table['logic_ns']:g}"
                self.ledger.use(setting, told)
        return table

    def _backend(self) -> dict[str, Any]:
        table: dict[str, Any] = {}
        if setting := self.top.get("Backend"):
            backend = BACKENDS.get(str(setting.entry).lower())
            if backend is None:
                self.ledger.drop(setting, f"has no counterpart; {', '.join(BACKENDS)} have")
            else:
                table["backend"] = backend
                wrapped = backend != str(setting.entry).lower()
                lost = "its board wrapper is left out" if wrapped else ""
                self.ledger.use(setting, f"hls.backend = {backend}", lost)
        if setting := self.top.get("IOType"):
            if setting.entry.value in IO_TYPES:
                table["io_type"] = setting.entry.value
                self.ledger.use(setting, f"hls.io_type = {setting.entry.value}")
            else:
                self.ledger.fault(setting, f"'{setting.entry}' is neither of {', '.join(IO_TYPES)}")
        return table

    def _part(self) -> dict[str, dict[str, Any]]:
        """The device that is counted against, and its full number for the vendors' tools."""
        from gateformer.hw.devices import names

        told = [self.top[key] for key in ("Part", "XilinxPart") if key in self.top]
        told = [setting for setting in told if setting.entry.value is not None]
        for older in told[1:]:
            self.ledger.drop(older, "stands beside Part, which wins")
        if not told:
            return {}
        part = str(told[0].entry.value)
        if not PART.fullmatch(part):
            self.ledger.fault(told[0], f"'{told[0].entry}' is no part's number: {PART_FORM}")
            return {}
        found: dict[str, dict[str, Any]] = {"hls": {"part": part}}
        self.ledger.use(told[0], f"hls.part = {part}")
        device = max((n for n in names() if part.lower().startswith(n)), key=len, default=None)
        if device is not None or AMD.match(part.lower()):
            found["build"] = {"part": part}
            self.ledger.use(told[0], f"build.part = {part}")
        if device is None:
            lost = f"its resources are not known, so costs are compared with {DEVICE}; "
            self.ledger.drop(told[0], f"{lost}add hw/devices/<name>.toml")
        else:
            found["schedule"] = {"device": device}
            self.ledger.use(told[0], f"schedule.device = {device}")
        return found

    def _config(self) -> Setting:
        """``HLSConfig``, empty where the file has none."""
        return self.top.get("HLSConfig", Setting("HLSConfig", Entry(0, {})))

    def _data(self, graph: Graph) -> dict[str, Any]:
        """The test bench's inputs, where they are inputs of the model."""
        from gateformer.flow.data import read_samples

        setting = self.top.get("InputData")
        if setting is None or setting.entry.value is None:
            return {}
        text = str(setting.entry.value)
        found = self.places.find(text)
        if found is None:
            self.ledger.drop(setting, "is no file here; --data FILE names one")
            return {}
        try:
            read_samples(Data(file=str(found)), graph, "test")
        except DataError as error:
            self.ledger.drop(setting, f"is left out: {error.cause or error.what}")
            return {}
        but = "types that are not named are calibrated on it"
        written = self.places.written(found, text)
        self.ledger.use(setting, f"data.file = {written}", but)
        return {"file": written}

    def _text(self, tree: dict[str, Any]) -> str:
        """Return the file's text, once it is known to be valid."""
        Config.model_validate(tree)
        return HEAD.format(file=self.file.name) + tree_to_toml(tree)


def _types(fitted: Fitted) -> dict[str, str]:
    order = sorted(fitted.kinds, key=lambda point: (point != "default", point))
    return {point: str(fitted.kinds[point]) for point in order}


def _number(value: object) -> float | None:
    """A number, or a text that is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None
