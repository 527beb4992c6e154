"""Where a fit stands, as one .npz file of arrays: no pickle, whole or not there.

Owns ``State``, ``save``, ``restore`` and an optimizer's state as arrays. Imports torch on demand.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.datasets.archive import save_arrays
from gateformer.quant.errors import DataError
from gateformer.quant.train.brevitas.packages import torch

Weights = dict[str, Any]
"""Name to tensor, as torch's `state_dict` has it."""


@dataclass(frozen=True, slots=True)
class State:
    """A fit between two epochs.

    Attributes
    ----------
    epoch
        Epochs done.
    reached
        How good the best epoch was.
    best, now
        The network after the best epoch and after the last.
    moments
        Adam's state.
    """

    epoch: int
    reached: float
    best: Weights
    now: Weights
    moments: Weights


def save(path: Path, identity: str, state: State) -> None:
    """Write a checkpoint of the run with an identity."""
    head = {"identity": identity, "epoch": state.epoch, "reached": state.reached}
    arrays: dict[str, NDArray[Any]] = {"head": np.array(json.dumps(head))}
    for kind in ("best", "now", "moments"):
        for name, tensor in getattr(state, kind).items():
            arrays[f"{kind}/{name}"] = tensor.detach().numpy()
    save_arrays(path, arrays)


def restore(path: Path, identity: str) -> State | None:
    """Read a checkpoint; None where there is none, or one of another run.

    Raises
    ------
    DataError
        E601 where the file is no checkpoint.
    """
    parts: dict[str, Weights] = {"best": {}, "now": {}, "moments": {}}
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            head = json.loads(str(file["head"]))
            if head["identity"] != identity:
                return None
            for name in file.files:
                kind, _, rest = name.partition("/")
                if rest:
                    parts[kind][rest] = torch().from_numpy(np.array(file[name]))
        return State(int(head["epoch"]), float(head["reached"]), **parts)
    except FileNotFoundError:
        return None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(
            "E601",
            "not a checkpoint",
            layer=str(path),
            cause=str(error),
            fix="Delete it to begin anew",
        ) from error


def moments(optimizer: Any) -> Weights:
    """Return an optimizer's state under flat names."""
    found = optimizer.state_dict()["state"]
    return {f"{i}/{key}": value for i, entry in found.items() for key, value in entry.items()}


def set_moments(optimizer: Any, found: Weights) -> None:
    """Give an optimizer the state that `moments` returned."""
    state: dict[int, Weights] = {}
    for name, value in found.items():
        i, _, key = name.partition("/")
        state.setdefault(int(i), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
