"""Turn by turn: each contestant at each number of connections, then all of it again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from scripts.benchmarking import memory
from scripts.benchmarking.contestant import Contestant
from scripts.benchmarking.figures import Round, Row

LOOK = 1.0  # s in which nobody is asked, to see who works nevertheless


def measure(
    contestants: Sequence[Contestant],
    connections: Sequence[int],
    rounds: int,
    seconds: float,
    seen: Callable[[str], None] = lambda text: None,
) -> list[Row]:
    """A row for each contestant and number of connections; `seen` is told what is under way.

    What disturbs the machine for a while disturbs a round of all of them, not all rounds of one.
    """
    found: dict[tuple[str, int], list[Round]] = {
        (contestant.name, count): [] for count in connections for contestant in contestants
    }
    for number in range(rounds):
        for count in connections:
            for contestant in contestants:
                seen(f"round {number + 1}/{rounds}, {count} connections: {contestant.name}")
                found[contestant.name, count].append(contestant.load(count, seconds))
    return [Row(name, count, tuple(each)) for (name, count), each in found.items()]


def idle(contestants: Sequence[Contestant], look: float = LOOK) -> Mapping[str, float]:
    """The share of one core that each takes while nobody is asked."""
    before = {one.name: memory.busy(one.pids()) for one in contestants}
    began = time.perf_counter()
    time.sleep(look)
    took = time.perf_counter() - began
    return {one.name: max(0.0, memory.busy(one.pids()) - before[one.name]) / took for one in contestants}
