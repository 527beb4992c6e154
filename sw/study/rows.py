"""What a study found: a row a point, kept as JSON.

Owns ``Row``, ``read_rows`` and ``rows_text``. Imports the standard library and errors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from gateformer.quant.errors import RunError

FORMAT = 1
"""Grows with the meaning of a row."""

Figure = int | float | str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One point, done or failed.

    Attributes
    ----------
    variant, bits, seed
        Which point.
    key : str
        Hash of all that decided the row.
    failed : str
        Why there are no figures; empty where there are.
    figures : mapping
        By the names of ``FIGURES``.
    """

    variant: str
    bits: int
    seed: int
    key: str
    failed: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Figure:
        return self.figures.get(name)

    def number(self, name: str) -> float | None:
        """Return a figure that is a number."""
        value = self.figures.get(name)
        return float(value) if isinstance(value, int | float) else None


FIGURES: Mapping[str, str] = {
    "float": "share of the test samples that the network in floating point tells",
    "framework": "that of the quantized network in its framework",
    "integer": "that of the integers in the hardware",
    "auc": "their mean area under the ROC curves of all pairs of classes",
    "agreement": "share in which framework and integers name the same class",
    "samples": "test samples",
    "right": "which of them the integers tell: a bit each, the first the highest, in hex",
    "parameters": "numbers that were trained",
    "weight_bits": "mean bits of a weight",
    "activation_bits": "mean bits of an activation",
    "lut": "predicted LUTs",
    "ff": "predicted flip-flops",
    "dsp": "predicted DSP blocks",
    "bram": "predicted block RAMs",
    "latency": "clocks from the first input to the last output",
    "interval": "clocks between frames",
    "synth_lut": "LUTs that yosys counts",
    "synth_ff": "flip-flops that yosys counts",
    "synth_dsp": "DSP blocks that yosys counts",
    "logic_ns": "longest logic between registers that yosys times [ns]",
}
"""Name and meaning of each figure."""


def rows_text(rows: Iterable[Row], versions: Mapping[str, str]) -> str:
    """Return rows as JSON, and with which versions of packages they were made."""
    tree = {
        "format": FORMAT,
        "versions": dict(sorted(versions.items())),
        "rows": [asdict(row) for row in rows],
    }
    return json.dumps(tree, indent=1, allow_nan=False) + "\n"


def read_rows(path: Path) -> tuple[list[Row], dict[str, str]]:
    """Return the rows of a file that `rows_text` made, and the packages' versions; none without it.

    Raises
    ------
    RunError
        E705 where it is damaged.
    """
    try:
        tree = json.loads(path.read_text("utf-8"))
        if tree["format"] != FORMAT:
            return [], {}
        known = {one.name for one in fields(Row)}
        rows = [Row(**{k: v for k, v in row.items() if k in known}) for row in tree["rows"]]
        return rows, {str(k): str(v) for k, v in tree["versions"].items()}
    except FileNotFoundError:
        return [], {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            "E705",
            "damaged study",
            layer=str(path),
            cause=str(error),
            fix="Delete it to run the study anew",
        ) from error
