"""Simulated proton collisions: Pythia 8 top-quark pairs, clustered into labelled jets.

pp -> t tbar at 13 TeV with multiple interactions.  One W boson decays to c s and the other to
u d, so that every event holds two b jets, a c jet and light jets.  Needs the packages of the
`data` extra (pythia8mc, fastjet, awkward), imported when `simulate` runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.datasets import tracks
from gateformer.quant.datasets.tracks import Floats
from gateformer.quant.errors import ToolError

Integers = NDArray[np.int64]

N_TRACKS = 15
"""Tracks kept a jet, as in the Ultra Fast Transformers network (arXiv:2402.01047)."""

BATCH = 250
"""Events handed over by Pythia at once: bounds memory at about 100 MB."""

RADIUS = 0.4
"""Jet radius and track-to-jet cone: anti-kt 0.4, the usual one at the LHC."""

LABEL_RADIUS = 0.3
"""A jet takes the flavour of a hadron this close to its axis, as ATLAS labels jets."""

JET_PT = 20.0
JET_ETA = 2.5
HADRON_PT = 5.0
TRACK_PT = 0.5
TRACK_RADIUS = 30.0
TRACK_EFFICIENCY = 0.95
"""Selections: GeV for the momenta, mm for the production radius (the first pixel layer)."""

CHARGED = (11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334)
NEGATIVE = (11, 13, 3112, 3312, 3334)
NEUTRINOS = (12, 14, 16)
TAU = 15
"""PDG codes of what leaves a track, of those whose particle (not antiparticle) is negative, and
of what leaves no energy."""


@dataclass(frozen=True, slots=True)
class Particles:
    """Particles of several events, flat, in event order; momenta in GeV, positions in mm."""

    event: Integers
    code: Integers
    momentum: Floats
    position: Floats

    @property
    def pt(self) -> Floats:
        """Transverse momentum [GeV]."""
        return np.asarray(np.hypot(self.momentum[0], self.momentum[1]))

    @property
    def eta(self) -> Floats:
        """Pseudorapidity; infinite along the beam."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.arcsinh(self.momentum[2] / self.pt))

    @property
    def phi(self) -> Floats:
        """Azimuth [rad]."""
        return np.asarray(np.arctan2(self.momentum[1], self.momentum[0]))

    def __getitem__(self, which: NDArray[Any]) -> Particles:
        return Particles(
            self.event[which],
            self.code[which],
            self.momentum[:, which],
            self.position[:, which],
        )


def simulate(seed: int, parity: int, n_events: int) -> tuple[NDArray[np.float32], ...]:
    """Simulate events and return their jets.

    Parameters
    ----------
    seed:
        Seed of Pythia (1 to 900,000,000) and of the detector's noise.
    parity:
        0 or 1: which of W+ and W- decays to charm.
    n_events:
        Number of collisions; about four to six jets come out of each.

    Returns
    -------
    x, y, pt:
        Track features [n, 15, 6], class (0 light, 1 charm, 2 bottom) and transverse momentum
        [GeV] of each jet, all float32.
    """
    awkward, fastjet, pythia8mc = packages()
    rng = np.random.default_rng(seed)
    positive, negative = (("4 3", "1 2"), ("2 1", "3 4"))[parity]
    top = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off")
    decays = (f"24:onPosIfMatch = {positive}", f"24:onNegIfMatch = {negative}")
    generator = start(pythia8mc, seed, (*top, *decays))
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
    parts = []
    for first in range(0, n_events, BATCH):
        record = generator.nextBatch(min(BATCH, n_events - first)).prt
        everything, final = flatten(awkward, record)
        jets = _cluster(awkward, fastjet, definition, everything[final], len(record))
        parts.append(_measure(everything, final, jets, rng))
    x, y, pt = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return x, y, pt


def packages() -> tuple[Any, Any, Any]:
    """Return awkward, fastjet and pythia8mc, or raise ToolError E505."""
    try:
        import awkward
        import fastjet
        import pythia8mc
    except ImportError as error:
        raise ToolError(
            "E505",
            "cannot simulate collisions: Python package not installed",
            layer=error.name,
            fix="Install the data extra: pip install -e '.[data]'",
        ) from error
    return awkward, fastjet, pythia8mc


def start(pythia8mc: Any, seed: int, settings: tuple[str, ...]) -> Any:
    """Return an initialised Pythia at 13 TeV; its default tune (Monash) and parton densities."""
    pythia = pythia8mc.Pythia("", False)
    quiet = ("Print:quiet = on", "Random:setSeed = on", f"Random:seed = {seed}")
    for setting in (*quiet, "Beams:eCM = 13000", *settings):
        if not pythia.readString(setting):
            raise ValueError(f"Pythia refuses the setting {setting!r}")
    if not pythia.init():
        raise RuntimeError("Pythia did not initialise")
    return pythia


def flatten(awkward: Any, record: Any) -> tuple[Particles, NDArray[np.bool_]]:
    """Return Pythia's event record as flat arrays, and which entries are stable particles."""

    def flat(column: Any) -> NDArray[Any]:
        return np.asarray(awkward.to_numpy(awkward.flatten(column)))

    event = np.repeat(np.arange(len(record)), awkward.to_numpy(awkward.num(record.id)))
    # Pythia leaves the vertex of a particle made at the origin unset.
    vertex = awkward.fill_none(record.vProd, {"px": 0.0, "py": 0.0, "pz": 0.0, "e": 0.0})
    particles = Particles(
        event=event,
        code=flat(record.id).astype(np.int64),
        momentum=np.stack([flat(record.p[axis]) for axis in ("px", "py", "pz")]),
        position=np.stack([flat(vertex[axis]) for axis in ("px", "py", "pz")]),
    )
    return particles, flat(record.status) > 0


def _cluster(
    awkward: Any, fastjet: Any, definition: Any, stable: Particles, n_events: int
) -> Particles:
    """Return the anti-kt jets of visible particles, in event order; their code is 0."""
    seen = stable[(np.abs(stable.eta) < 4.5) & ~np.isin(np.abs(stable.code), NEUTRINOS)]
    px, py, pz = seen.momentum
    # Massless inputs: clustering then depends on momenta alone, as with calorimeter towers.
    energy = np.sqrt(px * px + py * py + pz * pz)
    counts = np.bincount(seen.event, minlength=n_events)
    inputs = awkward.unflatten(
        awkward.zip({"px": px, "py": py, "pz": pz, "E": energy}, with_name="Momentum4D"), counts
    )
    found = fastjet.ClusterSequence(inputs, definition).inclusive_jets(JET_PT)
    momentum = np.stack(
        [np.asarray(awkward.to_numpy(awkward.flatten(found[axis]))) for axis in ("px", "py", "pz")]
    )
    event = np.repeat(np.arange(n_events), awkward.to_numpy(awkward.num(found)))
    nowhere = np.zeros_like(momentum)
    jets = Particles(event, np.zeros(event.size, np.int64), momentum, nowhere)
    return jets[np.abs(jets.eta) < JET_ETA]


def _measure(
    everything: Particles, final: NDArray[np.bool_], jets: Particles, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return features, labels and momenta of the jets with at least two tracks."""
    bottom, charm = heavy_hadrons(everything.code)
    hard = everything.pt > HADRON_PT
    tau = np.abs(everything.code) == TAU
    near_b, near_c, near_tau = (
        _close(jets, everything[kind & hard]) for kind in (bottom, charm, tau)
    )
    label = np.select([near_b, near_c, near_tau], [2, 1, -1], 0)
    x, n_tracks = _track_features(jets, _reconstructible(everything[final], rng), rng)
    keep = (label >= 0) & (n_tracks >= 2)
    return x[keep], label[keep].astype(np.float32), jets.pt[keep].astype(np.float32)


def heavy_hadrons(code: Integers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which PDG codes are bottom hadrons, and which are charm hadrons."""
    absolute = np.abs(code)
    hadron = (absolute > 100) & (absolute < 10000)
    heaviest = np.maximum(absolute // 100 % 10, absolute // 1000 % 10)
    return hadron & (heaviest == 5), hadron & (heaviest == 4)


def pairs(left: Integers, right: Integers) -> tuple[Integers, Integers]:
    """Return indices of all pairs with equal event number; both inputs ascend.

    >>> pairs(np.array([0, 1]), np.array([1, 1, 2]))
    (array([1, 1]), array([0, 1]))
    """
    first = np.searchsorted(right, left, side="left")
    count = np.searchsorted(right, left, side="right") - first
    i = np.repeat(np.arange(left.size), count)
    before = np.cumsum(count) - count
    return i, np.arange(i.size) - before[i] + first[i]


def _relative(jets: Particles, others: Particles) -> tuple[Integers, Integers, Floats, Floats]:
    """Return the jet-particle pairs of each event: indices, and particle minus jet direction."""
    i, k = pairs(jets.event, others.event)
    d_eta = others.eta[k] - jets.eta[i]
    return i, k, d_eta, tracks.wrap(others.phi[k] - jets.phi[i])


def _close(jets: Particles, hadrons: Particles) -> NDArray[np.bool_]:
    """Return which jets have one of `hadrons` within the labelling radius."""
    i, _, d_eta, d_phi = _relative(jets, hadrons)
    near = np.hypot(d_eta, d_phi) < LABEL_RADIUS
    return np.bincount(i[near], minlength=jets.event.size) > 0


def _reconstructible(stable: Particles, rng: np.random.Generator) -> Particles:
    """Return the charged particles that a silicon tracker would find."""
    charged = np.isin(np.abs(stable.code), CHARGED)
    inside = (stable.pt > TRACK_PT) & (np.abs(stable.eta) < JET_ETA)
    early = np.hypot(stable.position[0], stable.position[1]) < TRACK_RADIUS
    found = rng.random(stable.event.size) < TRACK_EFFICIENCY
    return stable[charged & inside & early & found]


def _track_features(
    jets: Particles, found: Particles, rng: np.random.Generator
) -> tuple[NDArray[np.float32], Integers]:
    """Return features [jets, 15, 6], tracks by falling d0 significance, and tracks a jet."""
    negative = np.isin(np.abs(found.code), NEGATIVE)
    charge = np.where(negative, -1.0, 1.0) * np.sign(found.code)
    d0, z0 = tracks.perigee(found.position, found.momentum, charge)
    width = tracks.resolution(found.pt, found.eta)
    tail = rng.random(found.event.size) < tracks.TAIL_FRACTION
    d0 = tracks.smear(d0, width.d0, tail, rng)
    z0 = tracks.smear(z0 / np.cosh(found.eta), width.z0, tail, rng)
    pt = found.pt * np.maximum(1.0 + rng.standard_normal(d0.size) * width.pt, 0.1)

    i, k, d_eta, d_phi = _relative(jets, found)
    near = np.hypot(d_eta, d_phi) < RADIUS
    i, k, d_eta, d_phi = i[near], k[near], d_eta[near], d_phi[near]
    # Lifetime signs: positive where the perigee lies on the jet's side of the origin.
    s_d0 = np.sign(np.sin(d_phi) * d0[k]) * np.abs(d0[k]) / width.d0[k]
    s_z0 = np.sign(-d_eta * z0[k]) * np.abs(z0[k]) / width.z0[k]
    x = tracks.features(pt[k], d_eta, d_phi, s_d0, s_z0, jets.pt[i])

    # Two stable sorts within the jets: the hardest 15, then those by falling significance.
    order = np.lexsort((-pt[k], i))
    order = order[rank(i[order]) < N_TRACKS]
    order = order[np.lexsort((-s_d0[order], i[order]))]
    out = np.zeros((jets.event.size, N_TRACKS, len(tracks.FEATURES)), np.float32)
    out[i[order], rank(i[order])] = x[order]
    return out, np.bincount(i, minlength=jets.event.size)


def rank(group: Integers) -> Integers:
    """Return each entry's position within its run of equal values."""
    return np.arange(group.size) - np.searchsorted(group, group, side="left")
