"""Charged-particle tracks: helix impact parameters, detector resolution, network features.

Pure numpy on flat arrays, one entry a track.  Lengths are in millimetres, momenta in GeV, angles
in radians.  The interaction point is the origin and the magnetic field points along +z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEATURES = (
    "d0_significance",
    "z0_significance",
    "log_pt",
    "pt_fraction",
    "d_eta",
    "d_phi",
)
"""What the columns of a track are; `features` gives the formulas."""

FIELD = 2.0
"""Solenoid field in tesla (that of ATLAS)."""

CURVATURE = 0.299792458e-3
"""A unit charge of transverse momentum p [GeV] bends with radius p / (CURVATURE * B [T]) mm."""

LIMIT = 4.0 - 2.0**-5
"""Bound of every feature: the largest 8-bit fixed-point number that is below 4."""

TAIL_FRACTION = 0.05
TAIL_WIDTH = 3.0
"""One track in twenty is measured three times worse: shared hits and hard scatters."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """Gaussian widths of a measured track.

    The sizes are those of arXiv:1405.6569 (CMS tracker): 10 um and a few per cent of pT at
    100 GeV, about 100 um and 1 to 2 % at 1 GeV.

    Attributes
    ----------
    d0, z0:
        Widths [mm] of the transverse impact parameter, and of z0 * sin(theta).
    pt:
        Relative width of the transverse momentum.
    """

    d0: Floats
    z0: Floats
    pt: Floats


def resolution(pt: Floats, eta: Floats) -> Resolution:
    """Return the widths for tracks of transverse momentum `pt` [GeV] and pseudorapidity `eta`.

    A constant term (10 um transverse, 50 um longitudinal) is added in quadrature to multiple
    scattering of 100 um GeV / (pT sqrt(sin theta)).
    """
    scattering = 0.100 / (pt * np.sqrt(1.0 / np.cosh(eta)))
    return Resolution(
        d0=np.hypot(0.010, scattering),
        z0=np.hypot(0.050, scattering),
        pt=np.hypot(0.01, 0.0003 * pt),
    )


def perigee(position: Floats, momentum: Floats, charge: Floats) -> tuple[Floats, Floats]:
    """Return the impact parameters of helices with respect to the origin.

    Parameters
    ----------
    position:
        Production points [mm], shape [3, n].
    momentum:
        Momenta there [GeV], shape [3, n].
    charge:
        Charges in units of the elementary one, +1 or -1, shape [n].

    Returns
    -------
    d0, z0:
        Distance of closest approach in the transverse plane [mm], and z at that point [mm].
        d0 carries the sign of x sin(phi) - y cos(phi), to which it tends for a straight track.
    """
    x, y, z = position
    px, py, pz = momentum
    pt = np.hypot(px, py)
    radius = pt / (CURVATURE * FIELD)
    centre_x = x + charge * radius * py / pt
    centre_y = y - charge * radius * px / pt
    distance = np.hypot(centre_x, centre_y)
    d0 = charge * (distance - radius)
    # Turning angle between the perigee and the production point, both seen from the centre.
    turn = wrap(np.arctan2(y - centre_y, x - centre_x) - np.arctan2(-centre_y, -centre_x))
    z0 = z + pz / pt * charge * radius * turn
    return d0, z0


def wrap(angle: Floats) -> Floats:
    """Return `angle` [rad] brought to [-pi, pi)."""
    return (angle + np.pi) % (2.0 * np.pi) - np.pi


def smear(true: Floats, width: Floats, tail: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """Return `true` plus Gaussian noise of `width`, `TAIL_WIDTH` times wider where `tail`."""
    noise = rng.standard_normal(true.shape)
    return true + noise * width * np.where(tail, TAIL_WIDTH, 1.0)


def features(
    pt: Floats,
    d_eta: Floats,
    d_phi: Floats,
    s_d0: Floats,
    s_z0: Floats,
    jet_pt: Floats,
) -> NDArray[np.float32]:
    """Return the network's inputs for measured tracks, shape [n, 6].

    ==================  ============================  ================================
    column              formula                       why
    ==================  ============================  ================================
    d0_significance     asinh(s_d0) / 2               linear in the noise, log in tails
    z0_significance     asinh(s_z0) / 2               the same, along the beam
    log_pt              ln(pT / 4 GeV)                about zero mean and unit width
    pt_fraction         3 sqrt(pT / jet pT)           never rounds to 0 in 8 bits, so
                                                      that an all-zero row is padding
    d_eta, d_phi        5 x (track - jet axis)        a jet's radius 0.4 becomes 2
    ==================  ============================  ================================

    Parameters
    ----------
    pt, jet_pt:
        Transverse momentum [GeV] of each track and of its jet.
    d_eta, d_phi:
        Direction of the track relative to the jet axis [rad].
    s_d0, s_z0:
        Impact parameters over their widths, positive where the track crosses the jet axis
        downstream of the interaction point, as decays in flight do.

    All are clipped to [-`LIMIT`, `LIMIT`].
    """
    columns = np.stack(
        (
            np.arcsinh(s_d0) / 2.0,
            np.arcsinh(s_z0) / 2.0,
            np.log(pt / 4.0),
            3.0 * np.sqrt(pt / jet_pt),
            5.0 * d_eta,
            5.0 * d_phi,
        ),
        axis=-1,
    )
    return np.asarray(np.clip(columns, -LIMIT, LIMIT), np.float32)
