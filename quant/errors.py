"""The errors that gateformer raises: what happened, where, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from typing import Self  # boards run Python 3.10, which has no such name

COMMANDS = ("gateformer", "pip", "apt")
"""Words that begin an instruction as they are."""


class GateformerError(Exception):
    """Base of every error meant for the user.

    Parameters
    ----------
    code : str
        A code from `gateformer.quant.error_codes.MEANINGS`, such as ``"E102"``.
    what : str
        What happened, in a few lower-case words.
    layer : str, optional
        The layer (or key, or file) it happened at.
    kind : str, optional
        That layer's class, shown beside its name.
    cause : str, optional
        Why, as a sentence.
    fix : str, optional
        What to do, as a sentence.
    """

    family: ClassVar[str] = "E"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        code: str,
        what: str,
        *,
        layer: str | None = None,
        kind: str | None = None,
        cause: str = "",
        fix: str = "",
    ) -> None:
        self.code = code
        self.what = what
        self.layer = layer
        self.kind = kind
        self.cause = cause
        self.fix = fix
        super().__init__(code, what)

    def __str__(self) -> str:
        """Return the one line the user reads."""
        place = "" if self.layer is None else f": '{self.layer}'"
        kind = "" if self.kind is None else f" ({self.kind})"
        sentences = [f"{self.code} {self.what}{place}{kind}", self.cause, _capital(self.fix)]
        return visible(" ".join(_sentence(text.strip()) for text in sentences if text.strip()))

    def __reduce__(self) -> tuple[type[Self], tuple[str, str], dict[str, object]]:
        """Support pickling, so that errors cross process boundaries whole."""
        return type(self), (self.code, self.what), dict(self.__dict__)

    def at(self, layer: str) -> Self:
        """Name the layer where the error did not know it; returns the error."""
        if self.layer is None:
            self.layer = layer
        return self

    def as_dict(self) -> dict[str, object]:
        """Return the parts as JSON values, for ``--json``."""
        return {
            "code": self.code,
            "what": self.what,
            "layer": self.layer,
            "kind": self.kind,
            "cause": self.cause,
            "fix": self.fix,
        }


class ConfigError(GateformerError):
    """The configuration or the command line is wrong."""

    family = "E0"
    exit_code = 2


class ModelError(GateformerError):
    """The model is unsupported or malformed."""

    family = "E1"
    exit_code = 3


class TypeRangeError(GateformerError):
    """A number does not fit its type, or a type cannot be had."""

    family = "E2"
    exit_code = 4


class ScheduleError(GateformerError):
    """The hardware cannot be scheduled or generated as asked."""

    family = "E3"
    exit_code = 5


class MismatchError(GateformerError):
    """The hardware differs from the model or from its schedule."""

    family = "E4"
    exit_code = 6


class ToolError(GateformerError):
    """An outside tool is missing or failed."""

    family = "E5"
    exit_code = 7


class BuildError(ToolError):
    """A toolchain failed at the design, or left no readable report."""

    exit_code = 11


class BuildTimeout(ToolError):  # noqa: N818 - names the event
    """A toolchain took longer than it may."""

    exit_code = 12


class LicenceError(ToolError):
    """A toolchain found no licence for what it was asked to do."""

    exit_code = 13


class TimingError(ToolError):
    """A toolchain built the design, but not for the clock that it has to meet."""

    exit_code = 14


class DataError(GateformerError):
    """A data file is unusable."""

    family = "E6"
    exit_code = 8


class RunError(GateformerError):
    """The run's folder or the disk refuses."""

    family = "E7"
    exit_code = 9


class PimError(GateformerError):
    """A device, trace, command log or model that the memory simulator cannot take."""

    family = "E8"
    exit_code = 10


class BaselineError(GateformerError):
    """A runtime that the hardware is compared with failed, or a record of one is unusable."""

    family = "E8"
    exit_code = 16


class BoardError(GateformerError):
    """A board, its bitstream or its answers are not as they should be."""

    family = "E9"
    exit_code = 15


class Interrupted(RunError):  # noqa: N818 - names the event, as KeyboardInterrupt does
    """The user stopped the run, or a signal did; it resumes where it stood."""

    exit_code = 130

    def __init__(
        self,
        code: str = "E707",
        what: str = "interrupted",
        *,
        fix: str = "",
        exit_code: int = exit_code,
    ) -> None:
        super().__init__(code, what, fix=fix)
        self.exit_code = exit_code  # type: ignore[misc] # an instance's own


class Problems(GateformerError):  # noqa: N818 - a list of errors, no error of its own
    """Several errors found in one pass, shown all at once.

    Parameters
    ----------
    errors : Iterable[GateformerError]
        At least one error; the first decides the code and the exit code.
    more : int
        How many more there are, of which nothing is told.
    """

    def __init__(self, errors: Iterable[GateformerError], more: int = 0) -> None:
        self.errors = tuple(errors)
        self.more = more
        if not self.errors:
            raise ValueError("Problems needs at least one error")
        super().__init__(self.errors[0].code, f"{len(self.errors) + more} problems")
        self.exit_code = self.errors[0].exit_code  # type: ignore[misc] # an instance's own

    def __str__(self) -> str:
        """Return one line an error, and one that counts those of which nothing is told."""
        more = [f"and {self.more:,} more"] if self.more else []
        return "\n".join([*map(str, self.errors), *more])

    def __reduce__(  # type: ignore[override] # built from its errors and a number
        self,
    ) -> tuple[type[Self], tuple[tuple[GateformerError, ...], int]]:
        """Support pickling."""
        return type(self), (self.errors, self.more)

    def as_dict(self) -> dict[str, object]:
        """Return the errors as JSON values."""
        told: dict[str, object] = {
            "code": self.code,
            "errors": [error.as_dict() for error in self.errors],
        }
        return {**told, "more": self.more} if self.more else told

    @classmethod
    def raise_if_any(cls, errors: Iterable[GateformerError], more: int = 0) -> None:
        """Raise nothing, the only error, or all of them together, and how many more there are."""
        found = tuple(errors)
        if len(found) == 1 and not more:
            raise found[0]
        if found:
            raise cls(found, more)


def visible(text: str) -> str:
    """Return a text whose control characters are spelt out: names in files may hold a terminal's.

    Line ends and tabs stay.
    """
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode("ascii")
        for one in text
    )


def _capital(text: str) -> str:
    """An instruction begins with a capital, unless with a name or a command."""
    first = text.split(" ", 1)[0]
    return text if first in COMMANDS or not first.isalpha() else text[0].upper() + text[1:]


def _sentence(text: str) -> str:
    return text if text[-1] in ".?!" else f"{text}."
