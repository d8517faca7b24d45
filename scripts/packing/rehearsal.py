"""Running rehearse.py on a staged archive, and what it said."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from handlers.errors import Refusal
from scripts.catalog import Entry
from scripts.checking.finding import Finding
from scripts.checking.seen import Ended, Found, Seen
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
    path = staged.parent / "report.jsonl"
    words: list[str | Path] = [sys.executable, "-I", PROGRAM, staged, path]
    done = children.run([*words, *(["advised"] if advised else [])], env=bare_environment(), cwd=staged)
    lines = path.read_bytes().splitlines() if path.exists() else []
    seen = [msgspec.json.decode(line, type=Seen) for line in lines]
    findings = [_finding(one, entry, staged, places) for one in seen if isinstance(one, Found)]
    ended = next((one for one in seen if isinstance(one, Ended)), None)
    if ended is None and not any(finding.what == "archive" for finding in findings):
        log = _log(entry, places, done.stdout + done.stderr)
        findings.append(_silent(done.returncode, log))
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


def _silent(status: int, log: str) -> Finding:
    return Finding(
        "archive",
        "fail",
        f"opening the staged archive ended the interpreter (exit status {status})",
        f"what it printed is in {log}",
    )


def _log(entry: Entry, places: Places, text: str) -> str:
    """Keep the text beside the server's log; its path, for the message."""
    path = places.logs / f"rehearsal-{entry.name}-{entry.version}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return shown(path)
