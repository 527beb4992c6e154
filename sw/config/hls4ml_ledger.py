"""What became of every line of an hls4ml configuration.

Owns ``Setting``, ``Row`` and ``Ledger``. Imports the errors and entries of the file.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.config.hls4ml_yaml import Entry
from gateformer.quant.errors import ConfigError, GateformerError

FEW = 3
"""Keys that one setting may become before they are counted in place of named."""
FIX = "Correct the line, or delete it"
"""What to do about most wrong settings."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of the file with its value.

    Attributes
    ----------
    key : str
        Dotted, from the top of the file.
    entry : Entry
        Its value and line.
    """

    key: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one setting.

    Attributes
    ----------
    line : int
        Its line.
    key, value : str
        As the file has them.
    to : str
        What it is here; empty where it has no counterpart.
    why : str
        Why it has none, or what is lost.
    """

    line: int
    key: str
    value: str
    to: str = ""
    why: str = ""


class Ledger:
    """Rows and faults, gathered while the file is read.

    Parameters
    ----------
    file : str
        The file's name, for the faults' places.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[GateformerError] = []
        self._order: dict[tuple[int, str], Setting] = {}
        self._to: dict[tuple[int, str], list[str]] = {}
        self._why: dict[tuple[int, str], list[str]] = {}

    def use(self, setting: Setting, to: str, but: str = "") -> None:
        """A setting becomes a key here; ``but`` says what of it is lost."""
        self._add(self._to, setting, to)
        if but:
            self._add(self._why, setting, but)

    def drop(self, setting: Setting, why: str) -> None:
        """A setting has no counterpart."""
        self._add(self._why, setting, why)

    def fault(
        self, setting: Setting, cause: str, fix: str = FIX, code: str = "E002"
    ) -> ConfigError:
        """A setting is wrong; returns the error, which is kept too."""
        error = ConfigError(
            code,
            "file not found" if code == "E003" else "invalid configuration value",
            layer=f"{self.file}:{setting.entry.line}",
            kind=setting.key,
            cause=cause,
            fix=fix,
        )
        self.faults.append(error)
        return error

    def rows(self) -> tuple[Row, ...]:
        """Return a row a setting, in the order of the file."""
        return tuple(
            Row(
                setting.entry.line,
                setting.key,
                str(setting.entry),
                _listed(self._to.get(at, [])),
                "; ".join(self._why.get(at, [])),
            )
            for at, setting in sorted(self._order.items(), key=lambda item: item[0])
        )

    def _add(self, table: dict[tuple[int, str], list[str]], setting: Setting, text: str) -> None:
        at = (setting.entry.line, setting.key)
        self._order[at] = setting
        texts = table.setdefault(at, [])
        if text not in texts:
            texts.append(text)


def _listed(texts: list[str]) -> str:
    if len(texts) <= FEW:
        return ", ".join(texts)
    return f"{', '.join(texts[: FEW - 1])} and {len(texts) - FEW + 1} more"
