"""The errors of every floor, under their public name ``gateformer.errors``."""

from gateformer.quant.error_codes import MEANINGS
from gateformer.quant.errors import (
    ConfigError,
    DataError,
    GateformerError,
    Interrupted,
    MismatchError,
    ModelError,
    PimError,
    Problems,
    RunError,
    ScheduleError,
    ToolError,
    TypeRangeError,
)

__all__ = [
    "MEANINGS",
    "ConfigError",
    "DataError",
    "GateformerError",
    "Interrupted",
    "MismatchError",
    "ModelError",
    "PimError",
    "Problems",
    "RunError",
    "ScheduleError",
    "ToolError",
    "TypeRangeError",
]
