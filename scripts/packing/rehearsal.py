"""Running rehearse.py on a staged archive, and what it said."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from handlers.errors import Refusal
from scripts.catalog import Entry
from scripts.checking.finding import Finding
from scripts.checking.seen import Began, Ended, Found, Seen
from scripts.places import ROOT, Places, shown
from scripts.processes.children import Children, bare_environment

PROGRAM = ROOT / "scripts" / "packing" / "rehearse.py"


class Report(Struct, frozen=True):
    """What rehearse.py told: its findings, and the answers that it recorded in the staged folder."""

    findings: list[Finding]
    recorded: list[str]


class Rejected(Refusal):
    """The rehearsal found what a worker would have failed with."""


def rehearse(entry: Entry, staged: Path, places: Places, children: Children) -> list[str]:
    """The answers that were recorded in `staged`; raises Rejected with the remedy for the first failure."""
    report = examine(entry, staged, places, children, advised=False)
    for finding in report.findings:
        if finding.verdict == "fail":
            raise Rejected(finding.detail, hint=finding.remedy)
    return report.recorded


def examine(entry: Entry, staged: Path, places: Places, children: Children, *, advised: bool) -> Report:
    """Every finding in order; `advised` adds those that only warn.

    The interpreter's working directory is the archive's, as a worker's is.
    """
    path, stuck = staged.parent / "report.jsonl", staged.parent / "stuck.txt"
    words: list[str | Path] = [sys.executable, "-I", PROGRAM, staged, path, stuck]
    done = children.run([*words, *(["advised"] if advised else [])], env=bare_environment(), cwd=staged)
    lines = path.read_bytes().splitlines() if path.exists() else []
    seen = [msgspec.json.decode(line, type=Seen) for line in lines]
    findings = [_finding(one, entry, staged, places) for one in seen if isinstance(one, Found)]
    ended = next((one for one in seen if isinstance(one, Ended)), None)
    if ended is None and not any(finding.what == "archive" for finding in findings):
        last = seen[-1] if seen and isinstance(seen[-1], Began) else Began("archive", 0)
        trace = stuck.read_text(encoding="utf-8", errors="replace") if stuck.exists() else ""
        log = _log(entry, places, done.stdout + done.stderr + trace)
        findings.append(_slow(last, log) if trace else _silent(last, done.returncode, log))
    return Report(findings, ended.recorded if ended is not None else [])


def _finding(found: Found, entry: Entry, staged: Path, places: Places) -> Finding:
    """The finding in the user's own paths, with where its traceback is."""
    remedy = found.finding.remedy
    if found.traceback:
        kept = f"the traceback is in {_log(entry, places, found.traceback)}"
        remedy = f"{remedy}; {kept}" if remedy else kept
    return msgspec.structs.replace(
        found.finding, detail=found.finding.detail.replace(str(staged), shown(entry.folder)), remedy=remedy
    )


def _silent(last: Began, status: int, log: str) -> Finding:
    """The step in which the interpreter ended; no fault of the model's where it only looked for advice."""
    verdict: Literal["warn", "fail"] = "warn" if last.advice else "fail"
    memory = ", which the kernel does when memory runs out" if status == -signal.SIGKILL else ""
    how = f"by {_signal(-status)}{memory}" if status < 0 else f"with exit status {status}"
    return Finding(
        last.what,
        verdict,
        f"the interpreter was ended {how}, as a worker's would be",
        f"look for what does it in the model's code or its libraries; what it printed is in {log}",
    )


def _slow(last: Began, log: str) -> Finding:
    return Finding(
        last.what,
        "warn" if last.advice else "fail",
        f"isn't done after {last.limit} s, and TorchServe gives a worker no more",
        f"raise startupTimeout or responseTimeout if it does end; where it was then is in {log}",
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _log(entry: Entry, places: Places, text: str) -> str:
    """Keep the text beside the server's log; its path, for the message."""
    path = places.logs / f"rehearsal-{entry.name}-{entry.version}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return shown(path)
