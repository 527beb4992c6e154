"""The memory, one clock at a time: the reference that the command engine is held to.

Nothing is skipped, cached or merged: every clock the host acts once, then each channel looks at the
head of its queue and asks every constraint anew. Imports the instruction set and the device alone.

What the public simulator leaves open is decided so:

- Of one instruction each channel accepts requests on its own; a full channel holds back the next
  instruction, not its neighbours' share of this one.
- SYNC and EOC take a place in the queue. At its head they wait for the channel's last completion,
  use one clock and leave; they finish a clock later, and the host goes on the clock after that.
  After its EOC a channel does nothing more.
- A refresh may issue in the clock in which it is due. It takes no place in the queue, and SYNC and
  EOC wait for it too. SYNC does not wait until the refresh has completed.
- REFpb goes round the banks, one every ``nREFI // banks`` clocks, and closes its own bank alone.
- Up to ``postponed`` refreshes that are due wait until the queue is empty; beyond that many they
  have priority. What has begun goes through.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import OPS, Instruction

ANY = -1
PATIENCE = 1_000_000
"""Clocks without a command after which the reference gives up: refresh leaves no room for work."""
AF_ROW = 1 << 29
"""Row that AF asks for, plus the register AFM."""
SINGLE = {"ACT", "PRE", "RD", "RDA", "WR", "WRA", "MAC", "RDCP", "WRCP", "REFpb"}
"""Commands of one bank; all others belong to the channel."""


class Request(NamedTuple):
    """One command wanted, and where."""

    instruction: str
    command: str
    mode: str
    rows: str
    bank: int = ANY
    row: int = ANY
    column: int = ANY
    blocks: bool = False


class Command(NamedTuple):
    """One command issued; the peer's fields in the peer's order."""

    clock: int
    channel: int
    command: str
    group: int
    bank: int
    row: int
    column: int


def latency(command: str, timing: Mapping[str, int]) -> int:
    """Clocks from a command to its completion."""
    t = timing
    return {
        "RDMAC16": t["nCLREG"] + t["nBL"],
        "RDAF16": t["nCLREG"] + t["nBL"],
        "WRGB": t["nCWLGB"] + t["nBL"],
        "WRMAC16": t["nCWLREG"] + t["nBL"],
        "RD": t["nCL"] + t["nBL"],
        "WR": t["nCWL"] + t["nBL"],
        "WRA16": t["nCWL"] + t["nBL"] + t["nRP"],
    }.get(command, 1)


Stall = tuple[tuple[str, ...], str]
"""The constraints that end together, any of which may be named, and the instruction that waits."""


class Rules:
    """The constraints by level and by the command that must wait."""

    def __init__(self, device: Device, strict: bool) -> None:
        self.waits: dict[tuple[str, str], list[tuple[str, int, int, str]]] = {}
        for one in (*device.constraints, *(device.strict if strict else ())):
            for before in one.before:
                for after in one.after:
                    self.waits.setdefault((one.level, before), []).append(
                        (after, one.window, one.wait, one.text)
                    )


class Channel:
    """One channel: its queue, its banks, and when each command was last issued."""

    def __init__(
        self, number: int, device: Device, rules: Rules, queue: int, postponed: int
    ) -> None:
        self.number = number
        self.timing = device.timing
        self.banks_per_group = device.organization.banks_per_group
        self.modes = device.organization.modes
        self.rules = rules
        self.size = queue
        self.postponed = postponed
        self.queue: deque[Request] = deque()
        self.refreshes: deque[Request] = deque()
        self.begun = False
        self.rows: list[int | None] = [None] * device.organization.banks
        self.mode = "array"
        self.issued: defaultdict[tuple[str, int], dict[str, list[int]]] = defaultdict(dict)
        self.completed = 0
        self.finished: int | None = None
        self.log: list[Command] = []
        self.stalls: Counter[Stall] = Counter()
        self.idle = 0
        self.resume = 0

    def has_room(self) -> bool:
        return len(self.queue) < self.size

    def tick(self, now: int, explain: bool) -> None:
        """Issue at most one command."""
        if self.finished is not None:
            return
        if self.queue and self.idle:
            self.stalls[("host",), self.queue[0].instruction] += self.idle
            self.idle = 0
        urgent = len(self.refreshes) > self.postponed or self.begun
        refresh = bool(self.refreshes) and (urgent or not self.queue)
        if not refresh and not self.queue:
            self.idle += 1
            return
        request = self.refreshes[0] if refresh else self.queue[0]
        if request.command in ("SYNC", "EOC"):
            if now >= self.completed:
                self.queue.popleft()
                self.resume = now + 2
                if request.command == "EOC":
                    self.finished = now + 1
            else:
                self.stalls[("completion",), request.instruction] += 1
            return
        command = self.wanted(request)
        switch = self.modes and request.mode != self.mode
        if not self.legal(command, request.bank, now) or (
            switch and not self.legal("TMOD", ANY, now)
        ):
            if explain:
                commands = (command, "TMOD") if switch else (command,)
                self.stalls[self.binding(commands, request.bank), request.instruction] += 1
            return
        if switch:
            self.issue("TMOD", request, now)
            self.begun = refresh
            return
        self.issue(command, request, now)
        done = command == request.command
        if refresh:
            self.begun = not done
            if done:
                self.refreshes.popleft()
        elif done:
            self.queue.popleft()
            self.completed = max(self.completed, now + latency(command, self.timing))
            if request.blocks:
                self.resume = now + latency(command, self.timing) + 1

    def wanted(self, request: Request) -> str:
        """Return the request's own command, or what must come before it."""
        if request.rows == "all":
            closed, ready = self.rows.count(None), self.rows.count(request.row)
            if closed + ready < len(self.rows):
                return "PREA"
            return "ACT16" if closed else request.command
        if request.rows == "one":
            row = self.rows[request.bank]
            if row is None:
                return "ACT"
            return request.command if row == request.row else "PRE"
        if request.command == "REFab":
            return "REFab" if self.rows.count(None) == len(self.rows) else "PREA"
        if request.command == "REFpb":
            return "REFpb" if self.rows[request.bank] is None else "PRE"
        return request.command

    def legal(self, command: str, bank: int, now: int) -> bool:
        """Ask every constraint on the command at every level down to its scope."""
        for place in self.places(command, bank):
            issued = self.issued[place]
            for after, window, wait, _ in self.rules.waits.get((place[0], command), ()):
                clocks = issued.get(after, ())
                if len(clocks) >= window and now < clocks[-window] + wait:
                    return False
        return True

    def binding(self, commands: tuple[str, ...], bank: int) -> tuple[str, ...]:
        """Return the constraints that will be the last to hold the commands back."""
        until = {
            (issued[after][-window] + wait, text)
            for command in commands
            for place in self.places(command, bank)
            for issued in (self.issued[place],)
            for after, window, wait, text in self.rules.waits.get((place[0], command), ())
            if len(issued.get(after, ())) >= window
        }
        return tuple(sorted(text for end, text in until if end == max(until)[0]))

    def places(self, command: str, bank: int) -> tuple[tuple[str, int], ...]:
        if command not in SINGLE:
            return (("channel", 0),)
        return (("channel", 0), ("bankgroup", bank // self.banks_per_group), ("bank", bank))

    def issue(self, command: str, request: Request, now: int) -> None:
        """Note the command and what it does to modes and rows."""
        for place in self.places(command, request.bank):
            self.issued[place].setdefault(command, []).append(now)
        if command == "TMOD":
            self.mode = request.mode
        elif command == "ACT":
            self.rows[request.bank] = request.row
        elif command == "ACT16":
            self.rows = [request.row] * len(self.rows)
        elif command == "PRE":
            self.rows[request.bank] = None
        elif command in ("PREA", "WRA16"):
            self.rows = [None] * len(self.rows)
        group = ANY if request.bank < 0 else request.bank // self.banks_per_group
        bank = ANY if request.bank < 0 else request.bank % self.banks_per_group
        self.log.append(
            Command(now, self.number, command, group, bank, request.row, request.column)
        )


class Host:
    """Decodes instructions in order and feeds the channels."""

    def __init__(
        self, instructions: Iterable[Instruction], channels: list[Channel], a_clock: int
    ) -> None:
        self.instructions = iter(instructions)
        self.channels = channels
        self.a_clock = a_clock
        self.left: list[deque[Request]] = [deque() for _ in channels]
        self.waits_for: list[int] = []
        self.register = 0
        self.ended = False

    def tick(self, now: int) -> None:
        """Push what is left of the last instruction; decode only where nothing was."""
        if any(self.left):
            self.push()
            return
        for _ in range(self.a_clock):
            if self.ended or self.held(now) or any(self.left):
                return
            self.decode(next(self.instructions, Instruction("EOC")))
            self.push()

    def held(self, now: int) -> bool:
        """Whether a blocking instruction has not completed everywhere."""
        if not self.waits_for:
            return False
        resumes = [self.channels[number].resume for number in self.waits_for]
        if 0 in resumes or now < max(resumes):
            return True
        self.waits_for = []
        return False

    def push(self) -> None:
        for channel, left in zip(self.channels, self.left, strict=True):
            while left and channel.has_room():
                channel.queue.append(left.popleft())

    def decode(self, one: Instruction) -> None:
        op = OPS[one.op]
        if one.op == "W_CFR" and one.address == 2:
            self.register = one.value
        if op.command is None:
            return
        everywhere = one.op in ("SYNC", "EOC")
        self.ended = one.op == "EOC"
        row = AF_ROW + self.register if one.op == "AF" else one.row
        for channel, left in zip(self.channels, self.left, strict=True):
            if not (everywhere or one.channels >> channel.number & 1):
                continue
            if op.blocks:
                self.waits_for.append(channel.number)
                channel.resume = 0
            for column in range(one.column, one.column + one.size):
                where = ANY if one.op in ("RD_MEM", "WR_MEM") else column
                left.append(
                    Request(one.op, op.command, op.mode, op.rows, one.bank, row, where, op.blocks)
                )


class Outcome(NamedTuple):
    """The clock in which the last EOC finished; all commands in order of clock, then channel."""

    clocks: int
    commands: list[Command]
    stalls: Counter[Stall]


def tick(
    instructions: Iterable[Instruction],
    device: Device,
    *,
    policy: str = "none",
    double: bool = False,
    postponed: int = 0,
    strict: bool = False,
    queue: int = 33,
    host_per_clock: int = 1,
    explain: bool = False,
) -> Outcome:
    """Run a program clock by clock.

    Parameters
    ----------
    instructions : iterable of Instruction
        The program; one without an EOC is given one.
    device : Device
        Timing, constraints and organization.
    policy : {"none", "all-bank", "per-bank"}
        Refresh.
    double : bool
        Whether refreshes are due twice as often.
    postponed : int
        Refreshes that may be pending while there is work.
    strict : bool
        Whether the device's strict constraints and nFAW hold too.
    queue : int
        Requests that a channel holds.
    host_per_clock : int
        Instructions decoded in a clock at most.
    explain : bool
        Whether to ask in each clock what a channel waits for; takes longer.
    """
    rules = Rules(device, strict)
    channels = [
        Channel(number, device, rules, queue, postponed)
        for number in range(device.organization.channels)
    ]
    host = Host(instructions, channels, host_per_clock)
    banks = device.organization.banks
    interval = device.timing["nREFI"] // (2 if double else 1)
    if policy == "per-bank":
        interval //= banks
    now, seen, since = 0, 0, 0
    while any(channel.finished is None for channel in channels):
        now += 1
        host.tick(now)
        for channel in channels:
            if policy != "none" and now % interval == 0:
                channel.refreshes.append(
                    Request("REFab", "REFab", "array", "none")
                    if policy == "all-bank"
                    else Request(
                        "REFpb", "REFpb", "array", "none", bank=(now // interval - 1) % banks
                    )
                )
            channel.tick(now, explain)
        count = sum(len(channel.log) for channel in channels) if now % PATIENCE == 0 else ANY
        if count >= 0:
            if count == seen:
                raise RuntimeError(f"nothing issued between clocks {since} and {now}")
            seen, since = count, now
    commands = sorted(command for channel in channels for command in channel.log)
    stalls = sum((channel.stalls for channel in channels), Counter[Stall]())
    return Outcome(max(channel.finished or 0 for channel in channels), commands, stalls)
