"""Simulated jets, kept in a folder and found there again.

Owns ``kept``. Imports the jets.
"""

from __future__ import annotations

from pathlib import Path

from rich.progress import Progress

from gateformer.quant.datasets import jets
from gateformer.quant.datasets.jets import Jets


def kept(folder: Path, n_jets: int, seed: int, workers: int) -> Jets:
    """Return jets for b-tagging, from `folder` where they were simulated before."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"jets-v{jets.VERSION}-{n_jets}-{seed}.npz"
    if not path.exists():
        with Progress(transient=True) as bar:
            task = bar.add_task("simulating jets", total=n_jets)
            made = jets.generate(
                n_jets, seed, workers, lambda done, _: bar.update(task, completed=done)
            )
        jets.save(path, all=made)
    return jets.load(path, "all")
