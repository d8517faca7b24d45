"""Running exporter.py, and what it said."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.exporting.parity import Parity
from scripts.exporting.targets import TargetName
from scripts.exporting.told import Refused, Written
from scripts.packing.staging import stage
from scripts.places import ROOT, Places, shown
from scripts.processes.children import Children, bare_environment
from scripts.processes.scratch import Scratch

PROGRAM = ROOT / "scripts" / "exporting" / "exporter.py"


def export(entry: Entry, target: TargetName, folder: Path, places: Places, children: Children) -> Parity:
    """Fill the empty `folder`; raises CommandError. The answers may differ: see the report."""
    with Scratch("export-") as scratch:
        staged, told = stage(entry, scratch), scratch / "told.json"
        words: list[str | Path] = [sys.executable, "-I", PROGRAM, staged, target, folder.resolve(), told]
        done = children.run(words, env=bare_environment(), cwd=staged)
        found = _read(told)
        if found is None:
            log = _log(entry, target, places, done.stdout + done.stderr)
            raise CommandError(
                f"{entry.name} can't be exported to {target}: {_last(done.stderr, done.returncode)}",
                hint=f"what was printed is in {log}; another target may take it",
            )
        if isinstance(found, Refused):
            own = found.message.replace(str(staged), shown(entry.folder))
            raise CommandError(f"{entry.name} can't be exported to {target}: {own}", hint=found.hint)
        return found.parity


def _read(told: Path) -> Written | Refused | None:
    return msgspec.json.decode(told.read_bytes(), type=Written | Refused) if told.exists() else None


def _last(printed: str, status: int) -> str:
    """The end of a traceback; without one, how the interpreter ended."""
    lines = [line for line in printed.splitlines() if line.strip()]
    if status < 0 or not lines:
        return f"the interpreter ended with {f'signal {-status}' if status < 0 else f'exit status {status}'}"
    return lines[-1][:300]


def _log(entry: Entry, target: str, places: Places, text: str) -> str:
    """Keep the text beside the server's log; its path, for the message."""
    path = places.logs / f"export-{entry.name}-{entry.version}-{target}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return shown(path)
