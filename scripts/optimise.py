"""optimise: build what may execute a model, prove it against eager float32, time it, and keep the fastest."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.console import Console

from handlers.errors import Refusal
from handlers.recipe import Model
from handlers.runtimes.decision import Decision
from scripts import catalog
from scripts.catalog import Entry
from scripts.endpoints import print_table, say
from scripts.errors import CommandError
from scripts.optimising import table
from scripts.optimising.measurement import log_of, measure
from scripts.optimising.standing import needed
from scripts.packing import mar
from scripts.packing.fetch import fetch
from scripts.places import Places, shown
from scripts.processes.children import Children


def optimise_all(
    places: Places, wanted: Sequence[str], seconds: float, as_json: bool, console: Console
) -> int:
    """1 if any model couldn't be measured, or what its recipe asks for didn't pass."""
    entries, refused = catalog.chosen(places, wanted)
    told: list[dict[str, object]] = []
    failures = 0
    with Children() as children:
        for entry in entries:
            try:
                decision = _optimised(entry, places, children, seconds, console)
            except (Refusal, OSError) as error:
                refused[entry.name] = error if isinstance(error, Refusal) else unwritable(entry, error)
                continue
            asked = decision is None or _as_asked(entry.recipe.handler, decision)
            failures += not asked
            told.append({"model": entry.name, "as_asked": asked, "decision": decision})
            if not as_json:
                _print(entry, decision, asked, places, console)
    if as_json:
        print(msgspec.json.encode(told).decode())
    for name, reason in refused.items():
        say(Console(stderr=True) if as_json else console, f"✗ {name}: {reason}", "red")
    return 1 if failures or len(refused) > len(catalog.untrained(refused, wanted)) else 0


def _optimised(
    entry: Entry, places: Places, children: Children, seconds: float, console: Console
) -> Decision | None:
    """None where the recipe leaves nothing to decide."""
    if not needed(entry.recipe.handler):
        return None
    with console.status(f"optimising {entry.name}"):
        fetch(entry, children)
        return measure(entry, places, children, seconds)


def unwritable(entry: Entry, error: OSError) -> CommandError:
    return CommandError(
        f"what was found can't be kept in {shown(entry.folder)} ({error.strerror or error})",
        hint="make it writable, or optimise a copy",
    )


def _as_asked(model: Model, decision: Decision) -> bool:
    """Whether the runtime that the recipe names is kept, and its precision passed the gate."""
    named = model.runtime in ("auto", decision.chosen.runtime)
    return named and model.precision in decision.precisions


def _print(entry: Entry, decision: Decision | None, asked: bool, places: Places, console: Console) -> None:
    if decision is None:
        say(console, f"✓ {entry.name}: eager, as its recipe says")
        return
    count = f"{decision.threads} thread{'s' if decision.threads > 1 else ''}"
    say(console, f"{entry.name}: by {count} of {decision.processor}")
    print_table(table.rows(decision), console)
    model = entry.recipe.handler
    if not asked:
        wanted = [word for word in (model.runtime, model.precision) if word not in ("auto", "float32")]
        say(console, f"✗ {entry.name}: {' '.join(wanted)} didn't pass, so eager serves", "red")
    else:
        say(console, f"✓ {entry.name}: {table.summary(decision)}")
    if (packed := mar.path_of(entry, places)).exists():
        told = f"raise handler.version above {entry.version!r}, then promote"
        say(console, f"NOTE: {shown(packed)} stays as it was packed: {told}", "yellow")
    log = log_of(entry, places)
    if any(row.verdict == "failed" for row in decision.tried) and log.stat().st_size:
        say(console, f"what was printed on the way is in {shown(log)}")
    say(console, "")
