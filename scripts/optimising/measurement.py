"""Running measure.py for a model, again without whatever ended it, until it has decided."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.places import ROOT, Places, shown
from scripts.processes.children import Children, bare_environment
from scripts.processes.scratch import Scratch

if TYPE_CHECKING:  # they import torch, which takes seconds
    from handlers.runtimes.decision import Decision, Tried
    from scripts.optimising.seen import Seen

PROGRAM = ROOT / "scripts" / "optimising" / "measure.py"

GPUS = "CUDA_VISIBLE_DEVICES"


def measure(entry: Entry, places: Places, children: Children, seconds: float) -> Decision:
    """The decision, written beside the recipe with the artifacts of what it keeps; raises CommandError.

    It may take about `seconds`; what they don't suffice for isn't tried.
    """
    from scripts.optimising import publishing

    if not os.access(entry.folder, os.W_OK):  # told now, not after a minute
        raise CommandError(
            f"{shown(entry.folder)} can't be written", hint="make it writable, or optimise a copy"
        )
    log_of(entry, places).unlink(missing_ok=True)
    with Scratch("optimise-") as scratch:
        decision = _decided(entry, places, children, scratch, time.monotonic() + seconds)
        publishing.publish(decision, scratch / "built", entry, places)
    return decision


def _decided(entry: Entry, places: Places, children: Children, scratch: Path, deadline: float) -> Decision:
    from scripts.optimising.seen import Began, Decided, Dropped, Refused

    out: list[Tried] = []
    while True:
        (scratch / "out.json").write_bytes(msgspec.json.encode(out))
        seen, status, log = _run(entry, places, children, scratch, deadline - time.monotonic())
        last = seen[-1] if seen else None
        if isinstance(last, Decided):
            return last.decision
        if isinstance(last, Refused):
            raise CommandError(last.message, hint=last.hint)
        out += [one.row for one in seen if isinstance(one, Dropped)]
        began = next((one.candidate for one in reversed(seen) if isinstance(one, Began)), None)
        if began is None or any(row.candidate == began for row in out):
            raise CommandError(f"{entry.name} can't be measured: {status}", hint=f"see {log}")
        out.append(_culprit(began, status))


def _culprit(candidate: object, status: str) -> Tried:
    from handlers.runtimes.decision import Candidate, Tried

    assert isinstance(candidate, Candidate)
    return Tried(candidate, "failed", status)


def _run(
    entry: Entry, places: Places, children: Children, scratch: Path, seconds: float
) -> tuple[list[Seen], str, str]:
    """What one interpreter told, how it ended, and where the log is."""
    from scripts.optimising.choosing import OVERTIME
    from scripts.optimising.seen import Seen

    report, stuck = scratch / "report.jsonl", scratch / "stuck.txt"
    report.unlink(missing_ok=True)
    words: list[str | Path] = [
        sys.executable,
        "-I",
        "-B",
        PROGRAM,
        entry.folder.resolve(),  # its working directory is another one
        scratch.resolve(),
        f"{max(seconds, 1):.1f}",
    ]
    gpus = {GPUS: os.environ[GPUS]} if GPUS in os.environ else {}
    done = children.run(words, env=bare_environment(**gpus), cwd=scratch)
    trace = stuck.read_text(encoding="utf-8", errors="replace") if stuck.exists() else ""
    log = _log(entry, places, done.stdout + done.stderr + trace)
    lines = report.read_bytes().split(b"\n")[:-1] if report.exists() else []  # the last may be half
    status = OVERTIME if trace else _ended(done.returncode)
    return [msgspec.json.decode(line, type=Seen) for line in lines], status, log


def _ended(status: int) -> str:
    if status >= 0:
        return f"the interpreter was ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    memory = ", as the kernel does when memory runs out" if -status == signal.SIGKILL else ""
    return f"the interpreter was ended by {name}{memory}"


def log_of(entry: Entry, places: Places) -> Path:
    """What was printed while it was measured last, with the traceback of what failed unforeseen."""
    return places.logs / f"optimise-{entry.name}-{entry.version}.txt"


def _log(entry: Entry, places: Places, text: str) -> str:
    """Keep what was printed beside the server's log; its path, for the message."""
    path = log_of(entry, places)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
    return shown(path)
