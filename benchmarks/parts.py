"""The parts of benchmarks.goals: each takes a copy of a model with settings of its own, and measures it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console

from benchmarks import goal, pictures, synthetic
from benchmarks.goal import Goal
from scripts import catalog
from scripts.benchmark import Asked, measured
from scripts.benchmarking import cold_start, footprint, private, table, variant
from scripts.benchmarking.cold_start import ColdStart
from scripts.benchmarking.footprint import Footprint
from scripts.benchmarking.result import Result
from scripts.catalog import Entry
from scripts.endpoints import say
from scripts.places import Places
from scripts.processes.children import Children

RESNET, MLP = "parity_resnet18", "digits_mlp"

SERVED = {"minWorkers": 2, "maxWorkers": 2, "batchSize": 8, "maxBatchDelay": 1}
"""Of the network of pictures: a worker for each of two cores."""

WORKERS = 4  # whose memory is compared
TURNS = 5  # of registering


class Bench(Struct, frozen=True):
    """Where, how long, and what all parts share."""

    places: Places
    scratch: Path
    children: Children
    console: Console
    seconds: float
    rounds: int

    def variant(self, name: str, changes: variant.Changes) -> tuple[Places, Entry]:
        """A copy of a model, its runtime undecided, in folders of its own."""
        models = self.scratch / "models"
        models.mkdir()
        made = variant.make(catalog.find(self.places, name), models, changes, decided=False)
        return replace(self.places, models=models, state=self.scratch / "state"), made

    def load(self, places: Places, entry: Entry, connections: tuple[int, ...], file: Path) -> Result:
        """After deciding the runtime, the whole benchmark."""
        say(self.console, private.run(places, self.children, "optimise", entry.name).rstrip())
        asked = Asked(connections, self.seconds, self.rounds, input=file)
        result = measured(places, entry, asked, self.console)
        table.show(result, self.console)
        return result


class Outcome(Struct, frozen=True):
    """Of one part: the goals, and all that was measured."""

    goals: list[Goal]
    found: Result | Footprint | ColdStart


Part: TypeAlias = Callable[[Bench], Outcome]


def resnet_float32(bench: Bench) -> Outcome:
    found = _resnet(bench, "float32", (1, 8, 32))
    return Outcome([*goal.of_pictures(found, 2.2, 0.9, stock=5.0), *goal.of_one_connection(found)], found)


def resnet_bfloat16(bench: Bench) -> Outcome:
    found = _resnet(bench, "bfloat16", (8, 32))
    return Outcome(list(goal.of_pictures(found, 3.5, 0.85)), found)


def resnet_int8(bench: Bench) -> Outcome:
    found = _resnet(bench, "int8", (8, 32))
    return Outcome(list(goal.of_pictures(found, 4.5, 0.8)), found)


def digits_mlp(bench: Bench) -> Outcome:
    """As its own recipe says."""
    places, entry = bench.variant(MLP, {})
    found = bench.load(places, entry, (1, 16, 64), entry.folder / "samples" / "five.json")
    return Outcome([*goal.of_numbers(found), *goal.of_one_connection(found)], found)


def memory(bench: Bench) -> Outcome:
    models = bench.scratch / "synthetic"
    synthetic.make(models)
    places = replace(bench.places, models=models)
    entry = catalog.find(places, synthetic.NAME)
    found = footprint.measured(places, entry, WORKERS, bench.scratch / "memory", bench.children)
    say(bench.console, table.footprint(found))
    return Outcome(list(goal.of_memory(found)), found)


def start(bench: Bench) -> Outcome:
    """Eager, as the stock handler is: the same weights and the same work."""
    places, entry = bench.variant(RESNET, {"handler": {"runtime": "eager"}})
    found = cold_start.measured(places, entry, TURNS, bench.scratch / "cold", bench.children)
    say(bench.console, table.cold_start(found))
    return Outcome(list(goal.of_cold_start(found)), found)


def _resnet(bench: Bench, precision: str, connections: tuple[int, ...]) -> Result:
    """The network of pictures, by the fastest runtime that proves equal in this precision."""
    handler = {"runtime": "auto", "precision": precision}
    calibrated = {"calibration": "calibration"} if precision == "int8" else {}
    places, entry = bench.variant(RESNET, {**SERVED, "handler": {**handler, **calibrated}})
    if calibrated:
        pictures.digits(entry.folder / "calibration")
    return bench.load(places, entry, connections, pictures.photo(bench.scratch))


PARTS: Mapping[str, Part] = {
    "resnet_float32": resnet_float32,
    "resnet_bfloat16": resnet_bfloat16,
    "resnet_int8": resnet_int8,
    "digits_mlp": digits_mlp,
    "memory": memory,
    "cold_start": start,
}
