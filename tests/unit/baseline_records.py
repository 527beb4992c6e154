"""A record for tests, and copies of it that differ."""

from __future__ import annotations

from typing import Any

from gateformer.baselines.record import Record

PLAIN: dict[str, Any] = {
    "workload": {
        "name": "gpt2-small", "kind": "decode", "fingerprint": "f00d", "batch": 1, "context": 128,
        "layers": 12, "parameters": 124_000_000, "operations": 248_000_000, "bytes": 250_000_000,
    },
    "hardware": {
        "id": "a-machine", "kind": "cpu", "name": "A machine", "cores": 2, "memory_gb": 8.0,
        "bandwidth_gbs": 50.0, "bandwidth_method": "assumed", "details": {},
    },
    "setup": {
        "runtime": "llama.cpp", "version": "1", "precision": "f16", "tier": "tuned", "threads": 2,
        "options": {},
    },
    "times": {
        "samples": 100, "warmup": 10, "minimum": 0.009, "median": 0.01, "p90": 0.011, "p99": 0.02,
        "mean": 0.0104,
    },
    "energy": None,
    "energy_note": "not measurable here: no RAPL",
    "transfer": True,
    "difference": 0.01,
    "load": 0.5,
    "date": "2026-11-22",
    "command": "gateformer baseline cpu gpt2-small",
}  # fmt: skip


def record(**changes: dict[str, Any]) -> Record:
    """Return the record with some keys of some parts changed."""
    parts = {
        name: part | changes.get(name, {}) if isinstance(part, dict) else part
        for name, part in PLAIN.items()
    }
    return Record.model_validate(parts)
