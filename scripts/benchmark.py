"""benchmark: an endpoint under load, turn by turn with services that do the same work, in one run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct
from rich.console import Console

from handlers.cores import threads
from handlers.recipe import Recipe
from handlers.runtimes import decision
from scripts import catalog
from scripts.benchmarking import baselines, endpoint, extra, machine, memory, request, rounds, table
from scripts.benchmarking.contestant import Contestant
from scripts.benchmarking.endpoint import OURS, Endpoint
from scripts.benchmarking.request import Sent
from scripts.benchmarking.result import Memory, Result
from scripts.catalog import Entry
from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.packing.fetch import fetch
from scripts.places import Places, shown
from scripts.processes.children import Children
from scripts.processes.scratch import Scratch
from scripts.progress import bar

MOST = 1000  # connections of one client
WORKERS = 4  # whose memory is compared


class Asked(Struct, frozen=True):
    """What the command line says, beside the model."""

    connections: tuple[int, ...] = (1, 8, 32)
    seconds: float = 4.0  # of each round
    rounds: int = 3
    input: Path | None = None
    url: str = ""
    direct: bool = False
    baselines: bool = True
    memory: bool = False
    cold_start: bool = False


def benchmark(places: Places, name: str, asked: Asked, report: Path | None, as_json: bool) -> int:
    """Print the table, or one object for programs; the exit status is 1 if anything answered badly."""
    extra.require([*extra.LOADING, *extra.BASELINES])
    console = Console(stderr=as_json)
    entry = catalog.find(places, name)
    catalog.require_files(entry)
    if asked.memory or asked.cold_start:
        return _starts(places, entry, asked, as_json, console)
    result = measured(places, entry, asked, console)
    if as_json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        table.show(result, console)
    if report is not None:
        from scripts.benchmarking.report import page  # imports matplotlib, which takes a second

        report.write_text(page(result), encoding="utf-8")
        say(console, f"report: {shown(report.resolve())}")
    return 1 if any(row.errors for row in result.rows if row.contestant == OURS) else 0


def _starts(places: Places, entry: Entry, asked: Asked, as_json: bool, console: Console) -> int:
    """What doesn't need load: memory, and the time to READY."""
    from scripts.benchmarking import cold_start, footprint

    found: dict[str, Struct] = {}
    with Scratch("benchmark-") as scratch, Children() as children:
        if asked.memory:
            cost = footprint.measured(places, entry, WORKERS, scratch / "memory", children)
            found["memory"] = cost
            say(console, table.footprint(cost))
        if asked.cold_start:
            start = cold_start.measured(places, entry, asked.rounds, scratch / "cold", children)
            found["cold_start"] = start
            say(console, table.cold_start(start))
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return 0


def counts(text: str) -> tuple[int, ...]:
    """ "1,8,32" as numbers of connections; raises CommandError."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 0 < int(word) <= MOST for word in words):
        raise CommandError(
            f"--connections is {text!r}", hint=f"give numbers of 1 to {MOST}, with commas: 1,8,32"
        )
    return tuple(dict.fromkeys(map(int, words)))


def measured(places: Places, entry: Entry, asked: Asked, console: Console) -> Result:
    """One whole benchmark; what it starts has ended when it returns. Raises Refusal."""
    sent = request.of(entry, asked.input)
    with ExitStack() as stack:
        scratch = stack.enter_context(Scratch("benchmark-"))
        children = stack.enter_context(Children())
        say(console, f"{entry.name}: starting what is measured")
        fetch(entry, children)
        served, entry = _endpoint(places, entry, asked, scratch, children, stack, console)
        contestants = _contestants(served, entry, sent, asked, scratch, children, stack, console)
        here, idle = machine.here(), rounds.idle(contestants)
        total = asked.rounds * len(asked.connections) * len(contestants)
        with bar(console) as progress:
            task = progress.add_task("", total=total)

            def seen(text: str) -> None:
                progress.update(task, description=text, advance=1)

            rows = rounds.measure(contestants, asked.connections, asked.rounds, asked.seconds, seen)
        return Result(
            name=entry.name,
            version=served.version,
            input=f"{sent.file.name}, {sent.file.stat().st_size:,} bytes",
            items=sent.items,
            runtime=served.runtime,
            settings=settings(entry.recipe),
            machine=here,
            contestants={one.name: one.what for one in contestants},
            rows=rows,
            memory=_memory(served, contestants),
            idle=idle,
            up_seconds=served.up_seconds,
            seconds=asked.seconds,
            decision=decision.read(entry.folder),
        )


def _endpoint(
    places: Places,
    entry: Entry,
    asked: Asked,
    scratch: Path,
    children: Children,
    stack: ExitStack,
    console: Console,
) -> tuple[Endpoint, Entry]:
    """The one at --url, else the one that runs here, else one of our own, and the folder it was made of."""
    if asked.url:
        return Endpoint(entry.name, asked.url.rstrip("/")), entry
    found = endpoint.running(places, entry.name)
    if found is not None:
        return found, entry
    served, copy, notes = endpoint.started(entry, places, scratch / "own", children, stack)
    for note in notes:
        say(console, f"{entry.name}: {note}")
    return served, copy


def _contestants(
    served: Endpoint,
    entry: Entry,
    sent: Sent,
    asked: Asked,
    scratch: Path,
    children: Children,
    stack: ExitStack,
    console: Console,
) -> Sequence[Contestant]:
    found: list[Contestant] = [
        *served.contestants(sent.file, sent.items, children, direct=asked.direct),
    ]
    if not asked.baselines:
        return found
    if served.version not in ("", entry.version):
        say(
            console,
            f"{served.version} serves; the others take {shown(entry.folder)}, version {entry.version}",
            "yellow",
        )
    beside, without = baselines.start(entry, sent, scratch, children, stack)
    for reason in without:
        say(console, f"without {reason}", "yellow")
    return [*found, *beside]


def _memory(served: Endpoint, contestants: Sequence[Contestant]) -> Mapping[str, Memory]:
    """Of all that run on this machine."""
    found = {one.name: Memory(one.memory()) for one in contestants if one.pids()}
    if OURS in found:
        found[OURS] = Memory(found[OURS].tree, memory.pss(served.workers()))
    return found


def settings(recipe: Recipe) -> dict[str, str]:
    """What of a recipe decides how fast it is."""
    model = recipe.handler
    found = {
        "workers": f"{recipe.workers}..{recipe.most_workers}",
        "threads": str(threads(recipe)),
        "batchSize": str(recipe.batch_size),
        "maxBatchDelay": f"{recipe.max_batch_delay} ms",
        "runtime": model.runtime,
        "precision": model.precision,
    }
    declared = model.image_input()
    if declared is not None:
        found["backend"] = declared.backend
    if model.calibration is not UNSET:
        found["calibration"] = str(model.calibration)
    return found
