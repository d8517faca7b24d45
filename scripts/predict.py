"""predict: one file, or every file of a folder, through a model; the answers are the same whichever way."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal, TextIO

from msgspec import Struct
from rich.console import Console

from scripts import catalog
from scripts.calling import scoring
from scripts.calling.addresses import default_grpc, default_url
from scripts.calling.lines import JsonLines, Lines, Table
from scripts.calling.scoring import Scored
from scripts.calling.ways import ByGrpc, Rest, Way, check_names
from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.places import Places, shown
from scripts.processes.signals import interrupts
from scripts.progress import bar

STDIN = "-"


class Asked(Struct, frozen=True):
    """What the command line says, beside the model and the file."""

    way: Literal["local", "rest", "grpc"] = "rest"
    version: str | None = None
    table: bool = False
    url: str | None = None
    jobs: int = 16


def predict(places: Places, name: str, source: str, asked: Asked) -> int:
    """Print the answers; the exit status is 1 if a file of a folder failed. Raises Refusal."""
    check_names(name, asked.version)
    path, out = Path(source), _bytes(sys.stdout)
    lines: Lines = Table() if asked.table else JsonLines()
    if not source:  # Path("") is the current folder
        raise _missing("''")
    if source != STDIN and path.is_dir():
        return _folder(scoring.inputs(path), lambda: _way(places, name, asked), asked, lines, out)
    body = _bytes(sys.stdin).read() if source == STDIN else _read(path)
    answer = _way(places, name, asked).answer(body, uuid.uuid4().hex)
    scored = Scored(STDIN if source == STDIN else path.name, answer)
    out.write(lines.write(scored) if asked.table else answer + b"\n")
    return 0


def _bytes(stream: TextIO | None) -> BinaryIO:
    """Standard input or output; raises CommandError where whoever started us has closed it."""
    if stream is None:
        raise CommandError("standard input or output is closed", hint="give it a file, or /dev/null")
    return stream.buffer


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None


def _missing(path: Path | str) -> CommandError:
    return CommandError(f"{path}: not found", hint="give a file, a folder, or - for stdin")


def _way(places: Places, name: str, asked: Asked) -> Way:
    if asked.way == "grpc":
        return ByGrpc(asked.url or default_grpc(places), name, asked.version)
    if asked.way == "rest":
        return Rest(asked.url or default_url(places), name, asked.version)
    entry = catalog.find(places, name)
    if asked.version not in (None, entry.version):
        raise CommandError(
            f"{shown(entry.folder)} is version {entry.version}, not {asked.version}",
            hint="leave out --version, or --local",
        )
    catalog.require_files(entry)
    from scripts.calling.local import Local  # imports torch, which takes seconds

    return Local(entry.folder)


def _folder(
    wanted: list[scoring.Input], open_way: Callable[[], Way], asked: Asked, lines: Lines, out: BinaryIO
) -> int:
    """A line for each file, and those that failed at the end."""
    console = Console(stderr=True)
    failed: list[tuple[str, CommandError]] = []
    done = 0
    try:
        jobs = 1 if asked.way == "local" else asked.jobs
        with interrupts() as interrupted, bar(console, seen=not sys.stdout.isatty()) as progress:
            scored = scoring.score(wanted, open_way(), jobs, interrupted)
            for one in progress.track(scored, total=len(wanted), description="scoring"):
                done += 1  # before its line is seen: whoever stops it then is told of it
                failed += _write(one, lines, out)
        out.write(lines.end())
        out.flush()
    except (KeyboardInterrupt, CommandError):
        if done:
            say(console, f"\nstopped after {done} of {len(wanted)} files")
        raise
    finally:
        if failed:
            say(console, f"{len(failed)} of {len(wanted)} files failed:")
        for name, error in failed:
            say(console, f"  {name}: {error}", "red")
    return 1 if failed else 0


def _write(one: Scored, lines: Lines, out: BinaryIO) -> list[tuple[str, CommandError]]:
    """Print one file's lines; it with its error, if it failed."""
    try:
        text = lines.write(one)
    except CommandError as error:
        one = Scored(one.name, error)
        text = lines.write(one)
    out.write(text)
    out.flush()
    return [] if isinstance(one.answer, bytes) else [(one.name, one.answer)]
