"""identify: names and shapes of a state dict -> the published architectures that they fit, the best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import structs
from rich.console import Console

from handlers.mismatch import Shape
from scripts.architectures import building, table, unknown
from scripts.architectures.fingerprint import Fingerprint
from scripts.architectures.fitting import fitted
from scripts.architectures.match import FITTING, Fit, Library, Match
from scripts.architectures.saved import arranged
from scripts.endpoints import say

RANKS: dict[Fit, int] = {"whole": 0, "changed": 1, "part": 2, "order": 3, "near": 4}

WORTH_SHOWING = 0.5
"""Of the values, how many a near miss has in common."""

MOST = 5
"""Near misses that are shown."""


def identify(
    shapes: Mapping[str, Shape],
    console: Console | None = None,
    libraries: Sequence[Library] | None = None,
    folders: Iterable[Path] | None = None,
) -> list[Match]:
    """The best first; ties stand beside each other with the same fit and share.

    `shapes` are in the file's order, under the names from before DataParallel and the like. The first
    time the table of fingerprints is built, which `console` (default: standard error) says. Libraries
    are all that are installed; `folders` may keep the tables (default: `scripts.caches`).
    """
    console = Console(stderr=True) if console is None else console
    places = None if folders is None else list(folders)
    known: list[Fingerprint] = []
    for library in building.installed() if libraries is None else libraries:
        try:
            known += table.load(library, console, places)
        except ImportError as error:  # timm, which is nobody's requirement here
            say(console, f"{error}: its architectures are left out")
    return ranked(shapes, known)


def ranked(shapes: Mapping[str, Shape], known: Iterable[Fingerprint]) -> list[Match]:
    """Those that fit; where none does, those with the same shapes in order, then near misses."""
    saved = arranged(shapes)
    found = [match for match in (fitted(one, saved) for one in known) if match is not None]
    best = sorted(_once(found), key=_order)
    shown = _shown(best)
    return [structs.replace(match, unknown=unknown.clauses(match)) for match in shown]


def _order(match: Match) -> tuple[int, float, bool]:
    """Better fits first, more values in common first, torchvision first."""
    return RANKS[match.fit], -match.share, match.library != "torchvision"


def _once(matches: Iterable[Match]) -> list[Match]:
    """Each builder with the arguments that fit best, the fewest where several do."""
    best: dict[tuple[str, str], Match] = {}
    for match in sorted(matches, key=lambda match: (_order(match), len(match.args))):
        best.setdefault((match.library, match.builder), match)
    return list(best.values())


def _shown(matches: Sequence[Match]) -> list[Match]:
    """What fits, of each library the best and its ties; else near misses that have much in common."""
    fitting = [match for match in matches if match.fit in FITTING]
    fitting = fitting or [match for match in matches if match.fit == "part"]
    best = {match.library: (match.fit, match.share) for match in reversed(fitting)}
    if fitting:
        return [match for match in fitting if best[match.library] == (match.fit, match.share)]
    in_order = [match for match in matches if match.fit == "order"]
    near = [match for match in matches if match.fit == "near" and match.share >= WORTH_SHOWING]
    return [*in_order, *near[:MOST]]
