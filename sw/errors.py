"""The errors of every floor, under their public name ``gateformer.errors``."""

from gateformer.quant.error_codes import MEANINGS
from gateformer.quant.errors import (
    BoardError,
    BuildError,
    BuildTimeout,
    ConfigError,
    DataError,
    GateformerError,
    Interrupted,
    LicenceError,
    MismatchError,
    ModelError,
    PimError,
    Problems,
    RunError,
    ScheduleError,
    TimingError,
    ToolError,
    TypeRangeError,
)

__all__ = [
    "MEANINGS",
    "BoardError",
    "BuildError",
    "BuildTimeout",
    "ConfigError",
    "DataError",
    "GateformerError",
    "Interrupted",
    "LicenceError",
    "MismatchError",
    "ModelError",
    "PimError",
    "Problems",
    "RunError",
    "ScheduleError",
    "TimingError",
    "ToolError",
    "TypeRangeError",
]
