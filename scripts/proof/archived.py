"""The way to an answer through an archive: unpacked.py, run in an interpreter that sees no other handlers."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from scripts.calling import refused
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import ROOT, shown
from scripts.processes.children import Children, bare_environment
from scripts.proof.verdict import Answers

PROGRAM = ROOT / "scripts" / "proof" / "unpacked.py"

WAY = "archive"


class Response(Struct, frozen=True):
    """One response of the archive's own handlers."""

    status: int
    body: str


class Report(Struct, frozen=True):
    """What unpacked.py leaves."""

    responses: list[Response] = []
    golden: str = ""
    error: str = ""


def unpack(archive: Path, folder: Path) -> None:
    """The archive's files into the folder; raises Refusal when there is none, or a damaged one."""
    if not archive.exists():
        raise CommandError(f"{shown(archive)} is not there", hint="`scripts/pthserve archive` packs it")
    mar.read_seal(archive)
    try:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
    except zipfile.BadZipFile as error:
        raise CommandError(
            f"{shown(archive)} is damaged ({error})", hint="bring it back from where it was copied"
        ) from None


def answers(unpacked: Path, inputs: Sequence[Path], scratch: Path) -> Answers:
    """What the archive's own handlers answer to the files, and how its samples' replay ended."""
    wanted, report = scratch / "inputs.json", scratch / "report.json"
    wanted.write_text(json.dumps([str(path.resolve()) for path in inputs]), encoding="utf-8")
    words: list[str | Path] = [sys.executable, "-I", PROGRAM, unpacked, wanted, report]
    with Children() as children:
        done = children.run(words, env=bare_environment(), cwd=unpacked)
    if not report.exists():
        last = "".join(done.stderr.strip().splitlines()[-1:])
        return Answers(
            WAY, problem=f"opening it ended the interpreter (exit status {done.returncode}) {last}"
        )
    found = msgspec.json.decode(report.read_bytes(), type=Report)
    return Answers(WAY, [_answer(one) for one in found.responses], found.golden, found.error)


def _answer(response: Response) -> bytes | refused.Refused:
    body = response.body.encode()
    return body if response.status < 400 else refused.of_status(response.status, body)
