"""How a seeded fault comes into a bench, and what counts as having seen it.

Owns ``Place``, ``altered`` and ``FOUND``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from gateformer.quant.errors import MismatchError
from gateformer.sim.pim import asic_rtl

Alter = Callable[[Mapping[str, str]], dict[str, str]]
FOUND = (AssertionError, MismatchError, pytest.fail.Exception)
"""A difference, a result that hangs on what nothing has set, or an error that did not come."""
SOURCES = asic_rtl.sources


@dataclass(frozen=True)
class Place:
    """What a bench works with: the change of its Verilog, and its folder."""

    alter: Alter
    work: Path

    @property
    def cache(self) -> Path:
        """Builds that nobody needs again."""
        return self.work / "builds"

    def sources(self, *tops: str) -> dict[str, str]:
        """Return the altered Verilog of modules."""
        return self.alter(SOURCES(*tops))


@contextmanager
def altered(place: Place, module: ModuleType) -> Iterator[None]:
    """Have a module that reads Verilog read the altered one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "sources", place.sources)
        yield
