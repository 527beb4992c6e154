"""Every error code and its meaning: the one table behind messages, docs and exit codes."""

MEANINGS: dict[str, str] = {
    # E0xx configuration
    "E001": "unknown configuration key",
    "E002": "invalid configuration value",
    "E003": "configuration or input file not found",
    "E004": "malformed TOML",
    "E005": "invalid command-line override or argument",
    "E006": "settings that contradict each other",
    # E1xx model
    "E101": "unreadable model file",
    "E102": "unsupported layer",
    "E103": "malformed layer configuration",
    "E104": "missing or misshapen weights",
    "E105": "NaN or infinite weights",
    "E106": "model file carries code, which is refused",
    "E107": "model file too large when unpacked",
    "E108": "unsafe name or path in a model file",
    "E109": "unsupported quantizer",
    "E110": "inconsistent graph",
    "E111": "unsupported version of the graph format",
    "E112": "inconsistent shapes",
    "E113": "layer names that clash",
    "E114": "unsupported connection between layers",
    "E115": "malformed graph file",
    # E2xx numerics
    "E201": "value range exceeds its type",
    "E202": "width out of the supported range",
    "E203": "NaN or infinity where a number is quantized",
    "E204": "activation without a type",
    "E205": "error budget not met",
    "E206": "look-up table too large",
    "E207": "malformed type",
    "E208": "scale is not a power of two",
    # E3xx schedule and generation
    "E301": "token parallelism out of range",
    "E302": "reuse factor out of range",
    "E303": "design does not fit the device",
    "E304": "operation without a lowering",
    "E305": "unknown device",
    "E306": "schedule cannot be met",
    # E4xx verification
    "E401": "simulated values differ from the model",
    "E402": "simulated clocks differ from the schedule",
    "E403": "stream protocol violated",
    "E404": "generated Verilog differs from the schedule",
    "E405": "simulation ended early or hung",
    # E5xx tools
    "E501": "tool not found",
    "E502": "tool failed",
    "E503": "tool ran out of time",
    "E504": "tool version not supported",
    "E505": "Python package not installed",
    # E6xx data
    "E601": "unreadable data file",
    "E602": "data does not match the model's inputs",
    "E603": "NaN or infinite data",
    "E604": "data lacks what the request needs",
    # E7xx run
    "E701": "disk full",
    "E702": "permission denied",
    "E703": "output folder is not a run",
    "E704": "run folder is in use",
    "E705": "damaged run folder",
    "E706": "file system error",
    "E707": "interrupted",
}
"""Code to meaning; docs/errors.md explains each."""
