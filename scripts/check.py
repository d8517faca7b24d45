"""check: all that `archive` verifies, and what it can't, without packing; a line for each thing looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec
from rich.console import Console

from handlers.errors import Refusal
from scripts import catalog
from scripts.catalog import NeedsTraining
from scripts.checking.checks import broken, check
from scripts.checking.finding import Finding
from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.places import Places
from scripts.processes.children import Children

MARKS = {"pass": "✓", "warn": "!", "fail": "✗", "skip": "-"}
STYLES = {"pass": None, "warn": "yellow", "fail": "red", "skip": "dim"}


def check_all(places: Places, wanted: Sequence[str], as_json: bool, console: Console) -> int:
    """1 if `archive` would refuse any of the named models, or of all but those that only need training."""
    names = list(dict.fromkeys(wanted or catalog.names(places)))
    if not names:
        raise CommandError(
            "there is no model to check", hint="scripts/pthserve init makes one of a checkpoint"
        )
    told = []
    with Children() as children:
        for name in names:
            with console.status(f"checking {name}"):
                findings = _checked(places, name, children, named=bool(wanted))
            told.append((name, findings))
            if not as_json:
                say(console, name, "bold")
                print_findings(findings, console)
    if as_json:
        rows = [{"model": name, **msgspec.structs.asdict(one)} for name, found in told for one in found]
        print(msgspec.json.encode(rows).decode())
    return 1 if any(one.verdict == "fail" for _, findings in told for one in findings) else 0


def _checked(places: Places, name: str, children: Children, *, named: bool) -> list[Finding]:
    """A model's findings; what only needs training is refused where it was named."""
    try:
        entry = catalog.find(places, name)
    except Refusal as error:
        return broken(error)
    if entry.needs_training and not named:
        needed = NeedsTraining(entry)
        return [Finding("files", "skip", needed.message, needed.hint)]
    return check(entry, places, children)


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """A line each; what couldn't be tried for the same reason shares one."""
    for line, verdict in lines(findings):
        say(console, line, STYLES[verdict])


def lines(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """(line, verdict) of each finding."""
    for skipped, group in groupby(findings, lambda one: one.detail if one.verdict == "skip" else ""):
        found = list(group)
        if skipped:
            found = [msgspec.structs.replace(found[0], what=", ".join(one.what for one in found))]
        for one in found:
            remedy = f"; {one.remedy}" if one.remedy else ""
            yield f"{MARKS[one.verdict]} {one.what}: {one.detail}{remedy}", one.verdict
