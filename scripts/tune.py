"""tune: find the settings that serve a model fastest here, under load, and propose the recipe's diff."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.progress import Progress, TaskID

from handlers import recipe
from handlers.cores import cores
from scripts import catalog
from scripts.benchmarking import extra, request
from scripts.catalog import Entry
from scripts.endpoints import print_table, say
from scripts.errors import CommandError
from scripts.packing.fetch import fetch
from scripts.places import Places, shown
from scripts.processes.children import Children
from scripts.processes.scratch import Scratch
from scripts.progress import bar
from scripts.state import durable
from scripts.tuning import editing, frontier, goal, proposal, setting
from scripts.tuning.goal import Goal
from scripts.tuning.search import Found, Search
from scripts.tuning.stages import stages
from scripts.tuning.variants import Variants

DECIDING = 0.25
"""Share of the time in which `optimise` is to decide on the runtime, where that isn't done yet."""

LEAST = 30.0  # s


class Asked(Struct, frozen=True):
    """What the command line says."""

    name: str
    latency: str | None = None
    throughput: bool = False
    minutes: float = 10.0
    connections: tuple[int, ...] = (1, 8, 32)
    input: Path | None = None
    write: bool = False
    report: Path | None = None


def tune(places: Places, asked: Asked, console: Console) -> int:
    """Print the frontier and the diff; 1 if no setting keeps the limit of latency. Raises Refusal."""
    wanted = _goal(asked)
    extra.require(extra.LOADING)
    _require_report(asked.report)
    entry = catalog.find(places, asked.name)
    path = entry.folder / recipe.FILE_NAME
    text = path.read_text(encoding="utf-8")
    editing.require_editable(text, path)
    if durable.held(places.supervisor_lock):
        say(console, f"NOTE: {shown(places.state)} serves meanwhile, and takes from the figures", "yellow")
    found = _found(places, entry, asked, wanted, console)
    after = editing.edited(text, path, found.best)
    diff = editing.diff(text, after, path)
    _print(found, wanted, console)
    if asked.report is not None:
        _report(asked.report, entry, found, wanted, diff, console)
    if not any(one.rate(wanted) for one in found.measured):
        say(console, proposal.nothing(found, wanted), "red")
        return 1
    for line in proposal.lines(entry, found, wanted, diff, places, written=asked.write):
        say(console, line)
    if asked.write and diff:
        proposal.write(path, text, after)
        say(console, f"✓ {shown(path)}: written")
    return 0


def _goal(asked: Asked) -> Goal:
    if asked.latency is not None and asked.throughput:
        raise CommandError("--latency and --throughput are two goals", hint="give one of them")
    return goal.of(asked.latency)


def _require_report(path: Path | None) -> None:
    """Before minutes are spent on what then can't be written."""
    from scripts.tuning import report

    report.require_suffix(path)
    if path is not None and not path.resolve().parent.is_dir():
        raise CommandError(f"--report is {shown(path)!r}", hint="its folder isn't there: make it first")


def _found(places: Places, entry: Entry, asked: Asked, wanted: Goal, console: Console) -> Found:
    """The search; all that it started has ended when it returns."""
    with Scratch("tune-") as scratch, Children() as children, bar(console) as progress:
        watch = Watched(progress)
        fetch(entry, children)
        catalog.require_files(entry)
        sent = request.of(entry, asked.input)
        search = Search(asked.connections, asked.minutes, wanted, watch)
        seconds = max(LEAST, asked.minutes * 60 * DECIDING)
        variants = Variants(entry, places, sent, scratch, children, seconds)
        watch.tell("runtime: proving what may execute it")
        gpu = entry.recipe.device_type == "gpu"
        return search.run(variants, setting.of(entry.recipe), stages(variants.decision, cores(), gpu=gpu))


class Watched:
    """The search's progress as a bar of loads."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task("tuning", total=0)
        self._total = 0

    def plan(self, loads: int) -> None:
        self._total += loads
        self._progress.update(self._task, total=self._total)

    def tell(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    def step(self) -> None:
        self._progress.advance(self._task)


def _print(found: Found, wanted: Goal, console: Console) -> None:
    print_table(frontier.table(found, wanted), console)
    for note in found.notes:
        say(console, f"NOTE: {note}", "yellow")
    say(console, "")


def _report(path: Path, entry: Entry, found: Found, wanted: Goal, diff: str, console: Console) -> None:
    from scripts.tuning import report

    report.write(path, entry.name, found, wanted, diff)
    say(console, f"✓ {shown(path)}: the frontier as a plot")
