"""What an HLS project is: its settings, its ports, its files as text.

Owns ``HlsSettings``, ``Port`` and ``Project``. Imports the naming, the types and the errors only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from gateformer.hw.naming import PART, PART_FORM
from gateformer.quant.errors import ConfigError, GateformerError, Problems
from gateformer.quant.types import Fixed

Backend = Literal["vitis", "vivado", "quartus", "oneapi"]
IoType = Literal["io_parallel", "io_stream"]


@dataclass(frozen=True, slots=True)
class HlsSettings:
    """What a user may choose about an HLS project.

    Attributes
    ----------
    backend : {"vitis", "vivado", "quartus", "oneapi"}
        The hls4ml backend, hence the compiler that the project is for.
    io_type : {"io_parallel", "io_stream"}
        Whole tensors as arrays, or one beat a token through streams.
    part : str
        The vendor's name of the device; empty for the backend's default.
    clock_ns : float
        Target clock period in ns.
    reuse_factor : int
        Clocks over which a layer's products share multipliers (R), at least 1.
    layers : mapping of str to int
        Reuse factor of single layers.
    """

    backend: Backend = "vitis"
    io_type: IoType = "io_parallel"
    part: str = ""
    clock_ns: float = 5.0
    reuse_factor: int = 1
    layers: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        counts = {"reuse_factor": self.reuse_factor}
        counts |= {f"layers.{name}": value for name, value in self.layers.items()}
        faults: list[GateformerError] = [
            ConfigError(
                "E022",
                f"{key} = {value}",
                cause="it counts clocks: 1 to 65536",
                fix="choose a value in that range",
            )
            for key, value in counts.items()
            if not 1 <= value <= 65536
        ]
        if not 0.1 <= self.clock_ns <= 1000.0:
            faults.append(
                ConfigError(
                    "E022",
                    f"clock_ns = {self.clock_ns}",
                    cause="it is a clock period in ns: 0.1 to 1000",
                    fix="choose a value in that range",
                )
            )
        for key, word, words in (
            ("backend", self.backend, get_args(Backend)),
            ("io_type", self.io_type, get_args(IoType)),
        ):
            if word not in words:
                faults.append(
                    ConfigError(
                        "E022",
                        f"{key} = {word!r}",
                        cause=f"it is one of {', '.join(words)}",
                        fix="choose one of them",
                    )
                )
        if self.part and not PART.fullmatch(self.part):
            faults.append(
                ConfigError(
                    "E022",
                    f"part = {self.part[:60]!r}",
                    cause=PART_FORM,
                    fix="give the vendor's number of the device",
                )
            )
        Problems.raise_if_any(faults)

    def reuse(self, layer: str) -> int:
        """Reuse factor of a layer."""
        return self.layers.get(layer, self.reuse_factor)


@dataclass(frozen=True, slots=True)
class Port:
    """One argument of the top function.

    Attributes
    ----------
    name : str
        The graph's value.
    variable : str
        The C++ variable.
    tokens : int
        Tokens of the tensor; 1 for a vector.
    features : int
        Elements a token, row-major.
    type : Fixed
        Type of each element.
    """

    name: str
    variable: str
    tokens: int
    features: int
    type: Fixed

    @property
    def size(self) -> int:
        """Elements in all."""
        return self.tokens * self.features


@dataclass(frozen=True, slots=True)
class Project:
    """An HLS project as text; nothing is on the disk yet.

    Attributes
    ----------
    name : str
        The project's name.
    settings : HlsSettings
        What it was made with.
    top : str
        The C++ top function.
    files : mapping of str to str
        Path inside the project -> text: ``firmware/...``, the build script and all headers that
        a plain C++ compiler needs.
    inputs, outputs : tuple of Port
        Arguments of the top function, in its order: inputs, then outputs.
    between : tuple of Port
        Values that one layer hands to another: variables of the top function, in its order.
    """

    name: str
    settings: HlsSettings
    top: str
    files: Mapping[str, str] = field(repr=False)
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    between: tuple[Port, ...] = ()
