"""Mapping policies: how a model is laid out and which instructions work on it, one policy a file.

Owns ``Policy``, ``POLICIES`` (filled at import), ``names`` and ``policy``. Imports the policies,
the layout and the errors.
"""

from __future__ import annotations

from difflib import get_close_matches

from gateformer.hw.pim.mapping import interleaved, pim_gpt, stream_k
from gateformer.hw.pim.mapping.base import Policy
from gateformer.quant.errors import PimError

POLICIES: dict[str, Policy] = {
    one.name: one for one in (pim_gpt.POLICY, stream_k.POLICY, interleaved.POLICY)
}
"""By name."""


def names() -> tuple[str, ...]:
    """Return all policies."""
    return tuple(POLICIES)


def policy(name: str) -> Policy:
    """Return a policy.

    Raises
    ------
    PimError
        E807 for an unknown name.
    """
    if name not in POLICIES:
        near = get_close_matches(name, POLICIES, 1)
        raise PimError(
            "E807",
            "unknown mapping",
            layer=name,
            cause=f"Known are {', '.join(POLICIES)}",
            fix=f"Did you mean '{near[0]}'?" if near else "Choose one of these",
        )
    return POLICIES[name]
