"""Simulates a fleet of search machines, or of machines that share out a job: discrete events, the same for a seed.

    python -m benchmarks.fleet search --shards 16 --replicas 2 --rate 20 --service 0.02 --dies-at 60
    python -m benchmarks.fleet search --shards 16 --replicas 2 --rate 20 --hedge-after 0.1
    python -m benchmarks.fleet jobs --machines 100 --shares 400 --hours 0.5 --deaths 3

search: queries arrive at random (a Poisson process) and go to every shard, to that of its replicas which has the fewest
waiting. A machine takes one after the other; some take --slowdown times as long. A machine that dies is noticed after
--notice seconds, and what it had is asked of another replica; without one the query is lost. --hedge-after asks a
second replica where the first is slow, and withdraws what still waits when an answer has come.
jobs: shares of one job, as of a scheduler's array, each to the first free machine; what a dying machine had is begun
again, less the part of it that is --kept (extract.py keeps finished videos, search.py encode nothing).
"""

import argparse
import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from utils.cli import run_script
from utils.errors import UserError


@dataclass(frozen=True)
class Fleet:
    """Machines that search; times in seconds, `rate` queries a second. The first shard takes `hot` times as long."""

    shards: int = 16
    replicas: int = 2
    rate: float = 20.0
    service: float = 0.02
    queries: int = 20_000
    stragglers: float = 0.01
    slowdown: float = 10.0
    hot: float = 1.0
    hedge_after: float | None = None
    dies_at: float | None = None
    down_for: float = 600.0
    notice: float = 1.0
    exponential: bool = False  # service times, for queues whose theory is known


@dataclass(frozen=True)
class Outcome:
    """Seconds of each answered query; how many were lost; parts of queries asked again after a death, and asked of a
    second replica; the busiest machine's share of the time."""

    delays: np.ndarray
    lost: int
    repeated: int
    hedged: int
    busiest: float


@dataclass(eq=False)
class _Query:
    started: float
    missing: int
    lost: bool = False


@dataclass(eq=False)
class _Part:
    """What a query asks of a shard."""

    query: _Query
    shard: int
    answered: bool = False
    asked: list["_Machine"] = field(default_factory=list)


@dataclass(eq=False)
class _Machine:
    """`waiting`: what it was sent and has not answered, the first of it in work where `busy`. `life` counts its deaths,
    so that what it had begun before one does not end after it."""

    waiting: deque[_Part] = field(default_factory=deque)
    busy: bool = False
    alive: bool = True
    known_dead: bool = False
    life: int = 0
    worked: float = 0.0


class Simulation:
    """One run of a fleet, by `run`."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._fleet, self._draws = fleet, random.Random(seed)
        self._machines = [[_Machine() for _ in range(fleet.replicas)] for _ in range(fleet.shards)]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._now = self._end = 0.0
        self._count = 0
        self._delays: list[float] = []
        self._lost = self._repeated = self._hedged = 0

    def run(self) -> Outcome:
        """Lets all queries arrive and waits for the last answer."""
        arrival = 0.0
        for _ in range(self._fleet.queries):
            arrival += self._draws.expovariate(self._fleet.rate)
            self._at(arrival, self._arrive)
        if self._fleet.dies_at is not None:
            self._at(self._fleet.dies_at, lambda: self._die(self._machines[0][0]))
        while self._events:
            self._now, _, happen = heapq.heappop(self._events)
            happen()
        busiest = max(machine.worked for shard in self._machines for machine in shard) / self._end
        return Outcome(np.array(self._delays), self._lost, self._repeated, self._hedged, busiest)

    def _at(self, time: float, happen: Callable[[], None]) -> None:
        self._count += 1  # of two events at one time the first to be planned is the first to happen
        heapq.heappush(self._events, (time, self._count, happen))

    def _arrive(self) -> None:
        query = _Query(self._now, self._fleet.shards)
        for shard in range(self._fleet.shards):
            if not self._ask(_Part(query, shard)):
                self._lose(query)

    def _ask(self, part: _Part) -> bool:
        """Sends a part to a replica that has not got it yet; whether there is one."""
        left = [machine for machine in self._machines[part.shard] if not machine.known_dead
                and machine not in part.asked]
        if not left:
            return False
        machine = min(left, key=lambda one: (len(one.waiting), self._draws.random()))
        part.asked.append(machine)
        machine.waiting.append(part)
        self._work(machine)
        if self._fleet.hedge_after is not None and len(part.asked) == 1:
            self._at(self._now + self._fleet.hedge_after, lambda: self._hedge(part))
        return True

    def _hedge(self, part: _Part) -> None:
        if not part.answered and not part.query.lost:
            self._hedged += self._ask(part)

    def _work(self, machine: _Machine) -> None:
        while machine.waiting and not machine.busy and machine.waiting[0].answered:
            machine.waiting.popleft()  # withdrawn
        if machine.waiting and machine.alive and not machine.busy:
            machine.busy, life = True, machine.life
            seconds = self._seconds(machine.waiting[0].shard)
            machine.worked += seconds
            self._at(self._now + seconds, lambda: self._answer(machine, life))

    def _seconds(self, shard: int) -> float:
        mean = self._fleet.service * (self._fleet.hot if shard == 0 else 1.0)
        if self._fleet.exponential:
            return self._draws.expovariate(1 / mean)
        return mean * (self._fleet.slowdown if self._draws.random() < self._fleet.stragglers else 1.0)

    def _answer(self, machine: _Machine, life: int) -> None:
        if life != machine.life:
            return
        part, machine.busy, self._end = machine.waiting.popleft(), False, self._now
        if not part.answered:
            part.answered = True
            part.query.missing -= 1
            if not part.query.missing and not part.query.lost:
                self._delays.append(self._now - part.query.started)
        self._work(machine)

    def _die(self, machine: _Machine) -> None:
        machine.alive, machine.busy, machine.life = False, False, machine.life + 1
        self._at(self._now + self._fleet.notice, lambda: self._notice(machine))
        self._at(self._now + self._fleet.notice + self._fleet.down_for, lambda: self._return(machine))

    def _notice(self, machine: _Machine) -> None:
        machine.known_dead = True
        had, machine.waiting = machine.waiting, deque()
        for part in had:
            part.asked.remove(machine)
            if not part.answered and not part.asked:
                if self._ask(part):
                    self._repeated += 1
                else:
                    self._lose(part.query)

    def _return(self, machine: _Machine) -> None:
        machine.alive, machine.known_dead = True, False

    def _lose(self, query: _Query) -> None:
        self._lost += not query.lost
        query.lost = True


def spread_jobs(machines: int, shares: int, hours: float, *, deaths: int = 0, kept: float = 0.0,
                stragglers: float = 0.02, slowdown: float = 3.0, seed: int = 0) -> tuple[float, float]:
    """Hours until the last of `shares` is done, and machine hours of work done twice.

    A share takes `hours`, few of them `slowdown` times as long; `deaths` machines die for good, each at a random moment
    of the time that all would take without incident.

    Raises:
        UserError: no machine would be left.
    """
    if deaths >= machines:
        raise UserError(f"--deaths {deaths}: of {machines} machines at least one has to live.")
    draws = random.Random(seed)
    dies = sorted(draws.uniform(0, hours * shares / machines) for _ in range(deaths))
    deaths_of = dies + [float("inf")] * (machines - deaths)
    todo = deque(hours * (slowdown if draws.random() < stragglers else 1.0) for _ in range(shares))
    free = [(0.0, number) for number in range(machines)]
    heapq.heapify(free)
    again: list[tuple[float, float]] = []  # when a share can begin once more, and how long it takes then
    twice = end = 0.0
    while todo or again:
        now, number = heapq.heappop(free)
        if not todo and again[0][0] > now:  # nothing to do until a death is seen
            heapq.heappush(free, (again[0][0], number))
            continue
        if deaths_of[number] <= now:
            continue
        length = heapq.heappop(again)[1] if again and again[0][0] <= now else todo.popleft()
        if deaths_of[number] < now + length:
            done = deaths_of[number] - now
            twice += done * (1 - kept)
            heapq.heappush(again, (deaths_of[number], length - done * kept))
        else:
            end = max(end, now + length)
            heapq.heappush(free, (now + length, number))
    return end, twice


def main() -> None:
    arguments = _arguments()
    if arguments.what == "jobs":
        end, twice = spread_jobs(arguments.machines, arguments.shares, arguments.hours, deaths=arguments.deaths,
                                 kept=arguments.kept, seed=arguments.seed)
        ideal = arguments.hours * arguments.shares / arguments.machines
        print(f"{arguments.shares} shares on {arguments.machines} machines: {end:.2f} h, {end / ideal:.2f} times the "
              f"{ideal:.2f} h of even work; {twice:.2f} machine hours done twice; no share lost")
        return
    fleet = Fleet(**{name: getattr(arguments, name) for name in Fleet.__dataclass_fields__})
    found = Simulation(fleet, arguments.seed).run()
    p50, p99, p999 = np.quantile(found.delays, (0.5, 0.99, 0.999)) * 1000 if len(found.delays) else (np.nan,) * 3
    print(f"{fleet.queries} queries, {fleet.rate:g} a second, {fleet.shards} shards x {fleet.replicas}: p50 {p50:.0f} "
          f"ms, p99 {p99:.0f} ms, p99.9 {p999:.0f} ms; {found.lost} lost, {found.repeated} parts repeated, "
          f"{found.hedged} hedged; the busiest machine works {found.busiest:.0%} of the time")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    search, jobs = commands.add_parser("search"), commands.add_parser("jobs")
    for name, of in Fleet.__dataclass_fields__.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(of.default, bool):
            search.add_argument(option, action="store_true")
        else:
            search.add_argument(option, type=int if isinstance(of.default, int) else float, default=of.default,
                                help="(default: %(default)s)")
    for option, kind, default in (("machines", int, 100), ("shares", int, 400), ("hours", float, 0.5),
                                  ("deaths", int, 0), ("kept", float, 0.0)):
        jobs.add_argument(f"--{option}", type=kind, default=default, help="(default: %(default)s)")
    for command in (search, jobs):
        command.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    run_script(main)
