"""verify: the samples and any files, through the recipe folder, the archive, REST and gRPC, side by side."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console

from handlers import golden, recipe
from handlers.errors import Refusal, SampleMismatch, listed
from handlers.recipe import Recipe
from handlers.tasks import open_task
from scripts import catalog
from scripts.calling import refused
from scripts.calling.addresses import default_grpc, default_url, served_version
from scripts.calling.local import Local
from scripts.calling.ways import ByGrpc, Rest, Way, check_names
from scripts.catalog import Entry
from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places, shown
from scripts.processes.scratch import Scratch
from scripts.proof import archived
from scripts.proof.verdict import Answers, Reference, Verdict, judge, print_verdict


class Asked(Struct, frozen=True):
    """What the command line says."""

    name: str
    files: tuple[Path, ...] = ()
    version: str | None = None
    url: str | None = None
    grpc_url: str | None = None


class Subject(Struct, frozen=True):
    """What is verified: one version, and the recipe folder if it is of that version."""

    entry: Entry
    version: str
    archive: Path

    @property
    def folder_is_it(self) -> bool:
        return self.entry.version == self.version


def verify(places: Places, asked: Asked, console: Console, *, as_json: bool = False) -> int:
    """Print how the answers compare; the exit status is 1 unless all are alike. Raises Refusal."""
    verdict = verdict_of(places, asked)
    if as_json:
        say(console, msgspec.json.encode(verdict).decode())
    else:
        print_verdict(verdict, console)
    return 1 if verdict.failures else 0


def verdict_of(places: Places, asked: Asked) -> Verdict:
    """What all ways answered, compared; raises Refusal when there is nothing to compare with."""
    name = asked.name
    check_names(name, asked.version)
    entry = catalog.find(places, name)
    version = asked.version or (None if asked.url else served_version(places, name)) or entry.version
    subject = Subject(entry, version, mar.path_in(places, name, version))
    if subject.folder_is_it:
        catalog.require_files(entry)
    for file in asked.files:
        if not file.is_file():
            raise CommandError(f"{file}: not found", hint="give files; a folder is for `predict`")
    with Scratch("verify-") as scratch:
        unpacked = _unpacked(subject, scratch / "unpacked")
        folder = entry.folder if subject.folder_is_it else unpacked
        if isinstance(folder, Refusal):
            raise CommandError(
                f"{shown(entry.folder)} is version {entry.version}, and the archive of {version} "
                f"can't be had: {folder}"
            )
        found = recipe.load(folder)
        inputs = [folder / sample.input for sample in found.handler.samples] + list(asked.files)
        if not inputs:
            raise CommandError(f"{name} has no samples", hint="give files, or add samples to its recipe")
        ways = _ways(subject, unpacked, inputs, places, asked, scratch)
        reference = Reference("local" if subject.folder_is_it else "archive", found, folder, inputs)
        notes = _notes(subject, unpacked, found)
        return judge(name, version, ways, reference, open_task(found.handler, folder), notes)


def _unpacked(subject: Subject, folder: Path) -> Path | Refusal:
    """The archive's files, or why they can't be had: the other ways are compared all the same."""
    try:
        archived.unpack(subject.archive, folder)
    except Refusal as error:
        return error
    return folder


def _ways(
    subject: Subject,
    unpacked: Path | Refusal,
    inputs: Sequence[Path],
    places: Places,
    asked: Asked,
    scratch: Path,
) -> list[Answers]:
    name, version = subject.entry.name, subject.version
    ways = []
    if subject.folder_is_it:
        ways.append(_local(subject.entry, inputs))
    if isinstance(unpacked, Refusal):
        ways.append(Answers("archive", problem=str(unpacked)))
    else:
        ways.append(archived.answers(unpacked, inputs, scratch))
    url = asked.url or default_url(places)
    grpc = asked.grpc_url or asked.url or default_grpc(places)
    ways.append(_endpoint("rest", lambda: Rest(url, name, version), inputs))
    ways.append(_endpoint("grpc", lambda: ByGrpc(grpc, name, version), inputs))
    return ways


def _local(entry: Entry, inputs: Sequence[Path]) -> Answers:
    try:
        local = Local(entry.folder)
    except Refusal as error:
        return Answers("local", problem=str(error))
    try:
        golden.replay(local.handler, entry.folder)
        mismatch = ""
    except SampleMismatch as error:
        mismatch = str(error)
    return Answers("local", [_answer(local, path) for path in inputs], mismatch)


def _endpoint(name: str, open_way: Callable[[], Way], inputs: Sequence[Path]) -> Answers:
    """Its answers; the first that no input is to blame for ends it."""
    try:
        way = open_way()
        return Answers(name, [_answer(way, path) for path in inputs])
    except CommandError as error:
        return Answers(name, problem=str(error))


def _answer(way: Way, path: Path) -> bytes | CommandError:
    try:
        return way.answer(path.read_bytes(), uuid.uuid4().hex)
    except refused.Refused as error:
        if error.status == 404:  # the model isn't there, for any input
            raise
        return error


def _notes(subject: Subject, unpacked: Path | Refusal, found: Recipe) -> list[str]:
    """What the reader should know of the comparison."""
    entry, samples = subject.entry, found.handler.samples
    notes = []
    recorded = sum(sample.expect is msgspec.UNSET for sample in samples)
    if recorded:
        notes.append(
            f"{recorded} of {len(samples)} samples are self-recorded: they prove no more than sameness"
        )
    if not subject.folder_is_it:
        notes.append(
            f"{shown(entry.folder)} is version {entry.version}: "
            f"{subject.version} is compared with its archive instead"
        )
    elif isinstance(unpacked, Path):
        changed = mar.differences(entry, subject.archive)
        if changed:
            notes.append(f"changed since {shown(subject.archive)} was packed: {listed(changed, 5)}")
        code = mar.code_differences(subject.archive)
        if code:
            notes.append(f"{shown(subject.archive)} was packed with other {listed(code, 3)}")
    return notes
