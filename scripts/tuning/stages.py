"""Which settings are worth trying beside the one that is best so far: a few, no grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from handlers.runtimes.decision import PASSED, Decision
from scripts.tuning.setting import Setting

Offer: TypeAlias = Callable[[Setting], list[Setting]]

SLOWER = 1.5
"""A runtime that takes so many times the fastest's ms alone isn't tried under load."""

MOST_RUNTIMES = 2
LARGEST_BATCH = 64
DELAYS = (1, 5)
"""ms. Each is what a lone request waits in vain, so longer ones don't pay."""


class Stage(Struct, frozen=True):
    """What is varied, and how."""

    title: str
    offer: Offer
    """The settings to try beside the one given."""


def stages(decision: Decision | None, cores: int, *, gpu: bool) -> list[Stage]:
    """In the order of what matters most; `decision` is what `optimise` found for the recipe."""
    return [
        Stage("runtime", lambda best: runtimes(best, decision)),
        Stage("workers and threads", lambda best: [] if gpu else filling(best, cores)),
        Stage("batches", batches),
    ]


def runtimes(best: Setting, decision: Decision | None) -> list[Setting]:
    """The next fastest that passed the proof, where they come near the chosen one."""
    if decision is None:
        return []
    passed = [row for row in decision.tried if row.verdict in PASSED and row.ms_full is not None]
    passed.sort(key=lambda row: row.ms_full or 0.0)
    near = [row for row in passed if (row.ms_full or 0.0) <= SLOWER * (passed[0].ms_full or 0.0)]
    used = decision.chosen.runtime if best.runtime == "auto" else best.runtime
    names = dict.fromkeys(row.candidate.runtime for row in near if row.candidate.runtime != used)
    return [replace(best, runtime=name) for name in list(names)[:MOST_RUNTIMES]]


def filling(best: Setting, cores: int) -> list[Setting]:
    """Workers times threads that fill the cores: 1 x 8, 2 x 4, 4 x 2, 8 x 1; and half of them."""
    workers = [count for count in (1 << power for power in range(11)) if count <= cores]
    pairs = [(count, cores // count) for count in dict.fromkeys([*workers, cores])]
    if cores > 1:
        pairs.append((max(1, cores // 2), 1))  # where the server's own work needs the others
    found = [replace(best, workers=count, threads=each) for count, each in dict.fromkeys(pairs)]
    return [one for one in found if one != best]


def batches(best: Setting) -> list[Setting]:
    """Half and twice the batch, four times, and the larger ones with time to fill."""
    sizes = [max(1, best.batch // 2), best.batch * 2, best.batch * 4]
    found = [replace(best, batch=size) for size in sizes]
    waiting = [(size, delay) for size in (best.batch, *sizes[1:]) for delay in DELAYS]
    found += [replace(best, batch=size, delay=delay) for size, delay in waiting]
    most = max(LARGEST_BATCH, best.batch)
    return [one for one in dict.fromkeys(found) if one != best and one.batch <= most]
