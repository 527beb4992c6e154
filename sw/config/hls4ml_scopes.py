"""``HLSConfig`` sorted into what it tells the model, the layers of a type, and single layers.

Owns ``Settings``, ``Scopes`` and ``read_scopes``. Imports the keys, the ledger and precisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateformer.config.hls4ml_keys import MAPPED, Scope, why
from gateformer.config.hls4ml_ledger import Ledger, Setting
from gateformer.config.hls4ml_types import Precision, read_precision
from gateformer.config.hls4ml_yaml import Entry
from gateformer.quant.errors import GateformerError


@dataclass(frozen=True, slots=True)
class Settings:
    """What one name, one type or the whole model is told.

    Attributes
    ----------
    precision : mapping of str to Setting
        By variable; ``default`` where one text stands for all.
    reuse : Setting or None
        Its reuse factor.
    """

    precision: Mapping[str, Setting] = field(default_factory=lambda: MappingProxyType({}))
    reuse: Setting | None = None


@dataclass(frozen=True, slots=True)
class Scopes:
    """All that ``HLSConfig`` says: for the model, by type, by name; the latter in lower case."""

    model: Settings = field(default_factory=Settings)
    types: Mapping[str, Settings] = field(default_factory=lambda: MappingProxyType({}))
    names: Mapping[str, Settings] = field(default_factory=lambda: MappingProxyType({}))


def read_scopes(hls_config: Setting, ledger: Ledger) -> Scopes:
    """Sort ``HLSConfig`` into scopes; what has no counterpart goes to the ledger."""
    table = _table(hls_config, ledger)
    model = Settings()
    types: dict[str, Settings] = {}
    names: dict[str, Settings] = {}
    for key, entry in table.items():
        setting = Setting(f"{hls_config.key}.{key}", entry)
        if key == "Model":
            model = _settings(setting, "Model", ledger)
        elif key in ("LayerType", "LayerName"):
            into = types if key == "LayerType" else names
            for name, inner in _table(setting, ledger).items():
                into[name.lower()] = _settings(
                    Setting(f"{setting.key}.{name}", inner), "layer", ledger
                )
        else:
            ledger.drop(setting, why("HLSConfig", key))
    return Scopes(model, types, names)


def _settings(at: Setting, scope: Scope, ledger: Ledger) -> Settings:
    precision: dict[str, Setting] = {}
    reuse = None
    for key, entry in _table(at, ledger).items():
        setting = Setting(f"{at.key}.{key}", entry)
        if key == "ReuseFactor":
            reuse = setting if _counts(setting, ledger) else None
        elif key != "Precision":
            ledger.drop(setting, why(scope, key))
        elif not isinstance(entry.value, Mapping):
            precision["default"] = setting
        else:
            for variable, inner in entry.value.items():
                one = Setting(f"{setting.key}.{variable}", inner)
                if variable in MAPPED["precision"]:
                    precision[variable] = one
                else:
                    ledger.drop(one, why("precision", variable))
    readable = {name: one for name, one in precision.items() if _precision(one, ledger)}
    return Settings(readable, reuse)


def _table(setting: Setting, ledger: Ledger) -> Mapping[str, Entry]:
    value = setting.entry.value
    if isinstance(value, Mapping):
        return value
    if value is not None:
        ledger.fault(setting, f"'{setting.entry}' is no table of keys")
    return {}


def _counts(setting: Setting, ledger: Ledger) -> bool:
    value = setting.entry.value
    good = type(value) is int and 1 <= value <= 65_536
    if not good:
        ledger.fault(setting, f"'{setting.entry}' is no whole number from 1 to 65,536")
    return good


def _precision(setting: Setting, ledger: Ledger) -> Precision | None:
    value = setting.entry.value
    if value is None:
        ledger.drop(setting, "says nothing")
        return None
    try:
        return read_precision(value if isinstance(value, str) else str(setting.entry))
    except GateformerError as error:
        ledger.fault(setting, error.what, error.fix, error.code)
        return None
