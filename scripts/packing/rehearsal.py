"""Running rehearse.py on a staged archive, and what it said."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from handlers.errors import Refusal
from scripts.catalog import Entry
from scripts.places import ROOT, Places, shown
from scripts.processes.children import Children, bare_environment

PROGRAM = ROOT / "scripts" / "packing" / "rehearse.py"


class Report(Struct, frozen=True):
    """What rehearse.py leaves: answers that it recorded, or why the archive would fail."""

    recorded: list[str] = []
    error: str = ""
    hint: str = ""
    traceback: str = ""


class Rejected(Refusal):
    """The rehearsal found what a worker would have failed with."""


def rehearse(entry: Entry, staged: Path, places: Places, children: Children) -> list[str]:
    """The answers that were recorded in `staged`; raises Rejected with the remedy.

    The interpreter's working directory is the archive's, as a worker's is.
    """
    path = staged.parent / "report.json"
    done = children.run([sys.executable, "-I", PROGRAM, staged, path], env=bare_environment(), cwd=staged)
    if not path.exists():
        log = _log(entry, places, done.stdout + done.stderr)
        raise Rejected(
            f"opening the staged archive ended the interpreter (exit status {done.returncode})",
            hint=f"what it printed is in {log}",
        )
    report = msgspec.json.decode(path.read_bytes(), type=Report)
    if report.error:
        hint = report.hint
        if report.traceback:
            hint = "; ".join(
                filter(None, [hint, f"the traceback is in {_log(entry, places, report.traceback)}"])
            )
        raise Rejected(report.error.replace(str(staged), shown(entry.folder)), hint=hint)
    return report.recorded


def _log(entry: Entry, places: Places, text: str) -> str:
    """Keep the text beside the server's log; its path, for the message."""
    path = places.logs / f"rehearsal-{entry.name}-{entry.version}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return shown(path)
