"""Stage by stage: what is best so far, beside what may be better, and the better one goes on.

Within a stage all settings serve at the same time, and are asked in turn, twice; then the better half again
for twice as long, until few are left (successive halving). The best so far takes part in every round.
Whoever is best at the end is asked once more beside the setting that it would replace: the best of many was
lucky, too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from scripts.benchmarking.figures import Round, Row
from scripts.errors import CommandError
from scripts.tuning.goal import Goal
from scripts.tuning.score import Measured, beats, merit
from scripts.tuning.setting import Setting
from scripts.tuning.stages import Stage
from scripts.tuning.trials import Asked, Trials, Watch

ROUNDS = 2
LEFT = 3
"""Challengers among whom one rung decides."""

CLIENT = 1.5
"""s that a load takes beside its seconds: the client's start and its warm-up."""

FIRST_START = 40.0
"""s that starting a few settings is reckoned with, as long as none was started."""

SHORTEST, LONGEST = 0.5, 4.0
"""s of a load."""

SHARE = 150
"""Into so many loads the time is divided, about."""


class Found(Struct, frozen=True):
    """What was measured, the best, and what there is to say."""

    start: Setting
    best: Setting
    measured: list[Measured]
    notes: list[str]
    duel: tuple[Measured, Measured] | None = None
    """`start` and `best` in the last rounds, side by side; None without another best."""


class Search:
    """One search; `minutes` are from its making."""

    def __init__(self, connections: Sequence[int], minutes: float, goal: Goal, watch: Watch) -> None:
        self._goal = goal
        self._connections = connections
        self._watch = watch
        self._deadline = time.monotonic() + minutes * 60
        self._seconds = min(LONGEST, max(SHORTEST, minutes * 60 / SHARE))
        self._start = FIRST_START
        self._rounds: dict[Setting, dict[int, list[Round]]] = {}
        self._notes: list[str] = []

    def run(self, trials: Trials, start: Setting, stages: Sequence[Stage]) -> Found:
        """The best setting by the time; raises CommandError when not even `start` serves."""
        best = start
        for stage in stages:
            offered = [one for one in stage.offer(best) if one not in self._rounds]
            fitting = offered[: self._fitting(len(offered), trials)]
            if len(fitting) < len(offered):
                left = f"{len(offered) - len(fitting)} of {len(offered)}"
                self._notes.append(f"{stage.title}: {left} weren't tried, for lack of time or memory")
            if fitting:
                best = self._stage(stage.title, trials, best, fitting)
        duel = None if best == start else self._duel(trials, start, best)
        if duel is not None and not beats(duel[1], duel[0], self._goal):
            self._notes.append(f"{best}: looked faster, and wasn't beside the present setting again")
            best, duel = start, None
        if not self._rounds:
            self._stage("present setting", trials, start, [])
        measured = [_measured(one, rounds) for one, rounds in self._rounds.items()]
        return Found(start, best, measured, self._notes, duel)

    def _duel(self, trials: Trials, start: Setting, best: Setting) -> tuple[Measured, Measured] | None:
        """Both of them once more; None where there is no time for it."""
        title = "beside the present setting"
        if self._left() < self._start + self._rung_seconds(2, self._seconds):
            self._notes.append(f"{best}: wasn't asked {title} again, for lack of time")
            return None
        self._watch.tell(f"{title}: starting 2")
        with trials.serving([start, best]) as asked:
            if asked.problems:
                raise CommandError(
                    f"an endpoint doesn't come up again: {next(iter(asked.problems.values()))}"
                )
            rounds: dict[Setting, dict[int, list[Round]]] = {start: {}, best: {}}
            self._rung(title, asked, [start, best], self._seconds, rounds)
        self._keep(rounds)
        return _measured(start, rounds[start]), _measured(best, rounds[best])

    def _fitting(self, count: int, trials: Trials) -> int:
        """How many challengers there are time and memory for, with time left for the duel."""
        each = self._rung_seconds(1, self._seconds)
        served = int((self._left() - 2 * self._start) / each) - 2
        return max(0, min(count, trials.at_once - 1, served - 1))

    def _left(self) -> float:
        """s until the time is over."""
        return self._deadline - time.monotonic()

    def _rung_seconds(self, settings: int, seconds: float) -> float:
        return ROUNDS * len(self._connections) * settings * (seconds + CLIENT)

    def _stage(self, title: str, trials: Trials, best: Setting, challengers: Sequence[Setting]) -> Setting:
        self._watch.tell(f"{title}: starting {len(challengers) + 1}")
        with trials.serving([best, *challengers]) as asked:
            self._start = asked.seconds
            for setting, problem in asked.problems.items():
                if setting == best:
                    raise CommandError(f"{best} doesn't come up: {problem}")
                self._notes.append(f"{setting}: not tried: {problem}")
            return self._contest(title, asked, best, [one for one in challengers if one in asked.settings])

    def _contest(self, title: str, asked: Asked, best: Setting, challengers: list[Setting]) -> Setting:
        rounds: dict[Setting, dict[int, list[Round]]] = {one: {} for one in (best, *challengers)}
        seconds = self._seconds
        while True:
            self._rung(title, asked, [best, *challengers], seconds, rounds)
            challengers.sort(key=lambda one: merit(_measured(one, rounds[one]), self._goal), reverse=True)
            half, seconds = -(-len(challengers) // 2), seconds * 2
            longest = self._left() - self._start - self._rung_seconds(2, self._seconds)
            if len(challengers) <= LEFT or self._rung_seconds(half + 1, seconds) > longest:
                break
            challengers = challengers[:half]
        self._keep(rounds)
        foremost = _measured(best, rounds[best])
        for one in challengers[:1]:
            if beats(_measured(one, rounds[one]), foremost, self._goal):
                return one
        return best

    def _keep(self, rounds: Mapping[Setting, Mapping[int, list[Round]]]) -> None:
        for one, found in rounds.items():
            for count, each in found.items():
                self._rounds.setdefault(one, {}).setdefault(count, []).extend(each)

    def _rung(
        self,
        title: str,
        asked: Asked,
        settings: Sequence[Setting],
        seconds: float,
        rounds: dict[Setting, dict[int, list[Round]]],
    ) -> None:
        """Everyone at every number of connections, and all of it again."""
        self._watch.plan(ROUNDS * len(self._connections) * len(settings))
        for _ in range(ROUNDS):
            for count in self._connections:
                for setting in settings:
                    self._watch.tell(f"{title}: {setting} at {count}")
                    rounds[setting].setdefault(count, []).append(asked.load(setting, count, seconds))
                    self._watch.step()


def _measured(setting: Setting, rounds: dict[int, list[Round]]) -> Measured:
    return Measured(setting, tuple(Row(str(setting), count, tuple(each)) for count, each in rounds.items()))
