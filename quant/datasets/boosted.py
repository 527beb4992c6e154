"""Simulated jets of 1 TeV from quarks, gluons, W, Z and top: one process of Pythia 8 a class.

pp collisions at 13 TeV with multiple interactions, two partons of one kind at a transverse
momentum near 1 TeV, bosons and tops decaying to quarks, as in the five-class jet samples of
arXiv:1804.06913 (which used other generators and a detector's response: no figure on one sample
holds for the other).  Particles are as generated, without a detector.  Imports `collisions` for
the event record; needs the packages of the `data` extra when `simulate` runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.datasets import tracks
from gateformer.quant.datasets.collisions import (
    BATCH,
    NEUTRINOS,
    Particles,
    flatten,
    packages,
    rank,
    start,
)
from gateformer.quant.datasets.tracks import Floats

CLASSES = ("gluon", "quark", "W", "Z", "top")
"""What the labels 0 to 4 mean; quarks are light ones and whatever else gg and q qbar split to."""

N_PARTICLES = 64
"""Particles kept a jet, those of largest transverse momentum first."""

FEATURES = ("log_pt", "d_eta", "d_phi")
"""What the columns of a particle are; `features` gives the formulas."""

RADIUS = 0.8
"""Anti-kt 0.8 holds the decay of a W (opening 2 m / pT = 0.16) and of a top (0.35) at 1 TeV."""

JET_PT = (800.0, 1200.0)
JET_ETA = 2.5
SEEN_ETA = 4.5
"""Selections [GeV]: what radiates far more, or is no jet of the hard scatter, is left out."""

HARD_PT = (985.0, 1015.0)
"""Range of the partons' transverse momentum in the hard scatter [GeV]."""

_QUARKS = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5", "23:onMode = off", "23:onIfAny = 1 2 3 4 5")

PROCESSES = (
    ("HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on"),
    ("HardQCD:qq2qq = on", "HardQCD:gg2qqbar = on", "HardQCD:qqbar2qqbarNew = on"),
    ("WeakDoubleBoson:ffbar2WW = on",),
    ("WeakDoubleBoson:ffbar2gmZgmZ = on", "WeakZ0:gmZmode = 2"),
    ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"),
)
"""Settings that make two partons of each class."""


def simulate(seed: int, label: int, n_events: int) -> tuple[NDArray[np.float16], NDArray[Any]]:
    """Simulate events of one class and return their jets.

    Parameters
    ----------
    seed:
        Seed of Pythia, 1 to 900,000,000.
    label:
        Index into `CLASSES`.
    n_events:
        Number of collisions; some 1.7 jets come out of each.

    Returns
    -------
    x, pt:
        Particle features float16 [n, 64, 3], and transverse momentum float32 [n] [GeV].

    Raises
    ------
    ToolError
        E505 without the packages of the `data` extra.
    """
    awkward, fastjet, pythia8mc = packages()
    low, high = HARD_PT
    window = (f"PhaseSpace:pTHatMin = {low}", f"PhaseSpace:pTHatMax = {high}")
    generator = start(pythia8mc, seed, (*PROCESSES[label], *window, *_QUARKS))
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
    parts = []
    for first in range(0, n_events, BATCH):
        record = generator.nextBatch(min(BATCH, n_events - first)).prt
        everything, final = flatten(awkward, record)
        parts.append(_jets(awkward, fastjet, definition, everything[final], len(record)))
    x, pt = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return x, pt


def features(pt: Floats, d_eta: Floats, d_phi: Floats, jet_pt: Floats) -> NDArray[np.float16]:
    """Return the network's inputs for particles of a jet, shape [n, 3].

    ==============  ================================  ====================================
    column          formula                           why
    ==============  ================================  ====================================
    log_pt          (8 + ln(pT / jet pT)) / 2,        a factor 3000 of momenta in (0, 4);
                    at least 1/32                     never rounds to 0 in 8 bits, so that
                                                      an all-zero row is padding
    d_eta, d_phi    5 x (particle - jet axis)         a jet's radius 0.8 becomes 4
    ==============  ================================  ====================================

    Parameters
    ----------
    pt, jet_pt:
        Transverse momentum [GeV] of each particle and of its jet.
    d_eta, d_phi:
        Direction of the particle relative to the jet axis [rad].

    All are clipped to [-`tracks.LIMIT`, `tracks.LIMIT`] and rounded to float16.
    """
    columns = np.stack(
        (np.maximum((8.0 + np.log(pt / jet_pt)) / 2.0, 2.0**-5), 5.0 * d_eta, 5.0 * d_phi),
        axis=-1,
    )
    return np.asarray(np.clip(columns, -tracks.LIMIT, tracks.LIMIT), np.float16)


def _jets(
    awkward: Any, fastjet: Any, definition: Any, stable: Particles, n_events: int
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Return features and momenta of the jets of one batch of events, in event order."""
    seen = stable[(np.abs(stable.eta) < SEEN_ETA) & ~np.isin(np.abs(stable.code), NEUTRINOS)]
    px, py, pz = seen.momentum
    counts = np.bincount(seen.event, minlength=n_events)
    massless = {"px": px, "py": py, "pz": pz, "E": np.sqrt(px * px + py * py + pz * pz)}
    inputs = awkward.unflatten(awkward.zip(massless, with_name="Momentum4D"), counts)
    cluster = fastjet.ClusterSequence(inputs, definition)
    found, members = cluster.inclusive_jets(JET_PT[0]), cluster.constituent_index(JET_PT[0])

    def flat(column: Any) -> NDArray[Any]:
        return np.asarray(awkward.to_numpy(awkward.flatten(column, axis=None)))

    momentum = np.stack([flat(found[axis]) for axis in ("px", "py", "pz")])
    event = np.repeat(np.arange(n_events), awkward.to_numpy(awkward.num(found)))
    jets = Particles(event, np.zeros_like(event), momentum, np.zeros_like(momentum))
    # Indices count within the event; `seen` holds the events one after another.
    sizes = flat(awkward.num(members, axis=2))
    jet = np.repeat(np.arange(event.size), sizes)
    particle = flat(members) + (np.cumsum(counts) - counts)[event[jet]]

    order = np.lexsort((-seen.pt[particle], jet))
    order = order[rank(jet[order]) < N_PARTICLES]
    jet, particle = jet[order], particle[order]
    x = np.zeros((event.size, N_PARTICLES, len(FEATURES)), np.float16)
    x[jet, rank(jet)] = features(
        seen.pt[particle],
        seen.eta[particle] - jets.eta[jet],
        tracks.wrap(seen.phi[particle] - jets.phi[jet]),
        jets.pt[jet],
    )
    kept = (jets.pt < JET_PT[1]) & (np.abs(jets.eta) < JET_ETA)
    return x[kept], jets.pt[kept].astype(np.float32)
