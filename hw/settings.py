"""What a user may choose about the hardware. Owns ``Settings``; imports the errors only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from gateformer.quant.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Settings:
    """Schedule and generation settings.

    Attributes
    ----------
    token_parallelism : int
        Tokens a beat (P), at least 1; more than a tensor has tokens counts as all of them.
    reuse_factor : int
        Clocks over which a layer's products are folded (R), at least 1.
    layers : mapping of str to int
        Reuse factor of single layers.
    clock_ns : float
        Target clock period in ns.
    logic_ns : float
        Longest logic between two registers, in ns of the model in ``hw.netlist.delays``.
    adders : {"auto", "da4ml", "csd"}
        Solver of constant matrices; ``auto`` takes da4ml where it is installed.
    ternary : bool
        Add three operands in one step where a sum is used once: for LUTs of 6 inputs.
    joint : bool
        Solve the constant matrices that read one value as one adder graph.
    device : str
        Name of a file in hw/devices.
    cache : Path or None
        Folder in which solved adder graphs are kept.
    """

    token_parallelism: int = 1
    reuse_factor: int = 1
    layers: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    clock_ns: float = 5.0
    logic_ns: float = 3.5
    adders: Literal["auto", "da4ml", "csd"] = "auto"
    ternary: bool = False
    joint: bool = False
    device: str = "xcvu13p"
    cache: Path | None = None

    def __post_init__(self) -> None:
        for key, value in (
            ("token_parallelism", self.token_parallelism),
            ("reuse_factor", self.reuse_factor),
            *((f"layers.{name}", value) for name, value in self.layers.items()),
        ):
            if not 1 <= value <= 65536:
                raise ConfigError(
                    "E022",
                    f"schedule.{key} = {value}",
                    cause="it counts tokens or clocks: 1 to 65536",
                    fix="choose a value in that range",
                )
        if self.logic_ns < 1.0:
            raise ConfigError(
                "E022",
                f"schedule.logic_ns = {self.logic_ns}",
                cause="no adder fits between registers that close",
                fix="choose at least 1.0",
            )

    def reuse(self, layer: str) -> int:
        """Reuse factor of a layer."""
        return self.layers.get(layer, self.reuse_factor)
