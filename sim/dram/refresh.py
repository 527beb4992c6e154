"""When a channel is refreshed, and by which command.

Owns ``Refresh``. Imports the device and the errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from gateformer.hw.pim.device import Device, Policy
from gateformer.quant.errors import PimError

_LASTS = {"all-bank": "nRFC", "per-bank": "nRFCpb"}
"""How long each policy's command lasts."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """How the memory is refreshed.

    The k-th refresh of a channel is due at clock k x ``interval``. It has priority over requests
    from the clock in which more than ``postponed`` are due; up to that many wait until the
    channel's queue is empty. What has begun goes through.

    Attributes
    ----------
    policy : {"none", "all-bank", "per-bank"}
        REFab every nREFI, or REFpb bank after bank, nREFI / banks apart; or none at all.
    double : bool
        Twice as often, as a hot device (above 85 degrees C) asks for.
    postponed : int
        Refreshes that may be owed while there is work.
    """

    policy: Policy = "all-bank"
    double: bool = False
    postponed: int = 0

    @classmethod
    def of(cls, device: Device, *, double: bool = False, postponed: int = 0) -> Self:
        """Return a device's own policy; none where its timing says that a refresh takes no time.

        The public AiM simulator's timing does: nRFC = 0, as its refresh never fires.
        """
        policy = device.refresh.policy
        lasts = device.timing.get(_LASTS.get(policy, ""), 0)
        if lasts == 0 or device.timing.get("nREFI", 0) == 0:
            return cls("none")
        return cls(policy, double, postponed)

    def interval(self, device: Device) -> int:
        """Clocks from one refresh of a channel to the next; 0 without refresh.

        Raises
        ------
        PimError
            E805 where that would be no whole clock, or where more are postponed than is allowed.
        """
        if self.policy == "none":
            return 0
        if not 0 <= self.postponed <= device.refresh.most_postponed * self._each(device):
            raise PimError(
                "E805",
                "contradictory timing",
                layer=device.name,
                cause=f"{self.postponed} refreshes cannot be postponed",
                fix=f"Postpone from 0 to {device.refresh.most_postponed * self._each(device)}",
            )
        interval = device.timing.get("nREFI", 0)
        clocks = interval // (2 if self.double else 1) // self._each(device)
        if clocks < 1:
            raise PimError(
                "E805",
                "contradictory timing",
                layer=device.name,
                cause=f"nREFI = {interval} leaves no clock between two refreshes",
            )
        return clocks

    def no_room(self, device: Device) -> PimError:
        """Return what is said where between two refreshes no command can issue."""
        others = {name: clocks for name, clocks in device.timing.items() if name != "nREFI"}
        longest = max(others, key=others.__getitem__)
        cause = "Refresh leaves no room for any command between one and the next: "
        cause += f"one is due each {self.interval(device)} clocks, and the longest other time is "
        cause += f"{longest} = {others[longest]}"
        fix = f"Raise nREFI or lower {longest}"
        if self.policy == "per-bank":
            fix += ", or take the all-bank policy"
        return PimError("E805", "contradictory timing", layer=device.name, cause=cause, fix=fix)

    def _each(self, device: Device) -> int:
        return device.organization.banks if self.policy == "per-bank" else 1
