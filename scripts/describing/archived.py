"""What an archive holds of a model's description, read once: an archive is never changed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import UNSET, Struct

from handlers.recipe import Model, Recipe, Sample, is_array_file
from handlers.seal import Seal
from scripts.describing import decided
from scripts.describing.decided import Decided
from scripts.packing import mar

LARGEST = 2**19
"""Bytes of a sample that is handed out: the gateway holds them all in memory."""

JSON, NPY = "application/json", "application/x-npy"

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "image/webp"),
    (b"\x93NUMPY", NPY),
    (b"{", JSON),
    (b"[", JSON),
)

Proof: TypeAlias = Literal["owner", "self-recorded"]


class SampleFile(Struct, frozen=True):
    """One that callers can have."""

    index: int
    """In the recipe."""
    declared: Sample
    content: bytes
    content_type: str
    raw: bytes | None
    """The .npy of raw outputs that it is held against, if it is."""

    @property
    def name(self) -> str:
        return Path(self.declared.input).name

    @property
    def proof(self) -> Proof:
        """Whose answer it is held against."""
        return "self-recorded" if self.declared.expect is UNSET else "owner"


class Archived(Struct, frozen=True, eq=False):
    """Each is equal to itself alone, and has a hash: what is made of it can be kept by it."""

    recipe: Recipe
    seal: Seal
    labels: tuple[str, ...] | None
    decided: Decided | None
    samples: tuple[SampleFile, ...]

    @property
    def model(self) -> Model:
        return self.recipe.handler

    @property
    def predictions_only(self) -> bool:
        """Whether the handlers inside are from before the other protocols."""
        return "handlers/wire/oip_json.py" not in self.seal.files

    @property
    def self_recorded(self) -> tuple[str, ...]:
        """Inputs of the samples whose answers nobody else gave."""
        return tuple(one.input for one in self.model.samples if one.expect is UNSET)


Stamp: TypeAlias = tuple[int, int, int]
"""Of a file that another one may take the place of while a model is developed."""

_known: dict[Path, tuple[Stamp | None, Archived]] = {}


def archived(path: Path) -> Archived:
    """The same object for the same file, also when that has been removed since.

    Raises Refusal or CommandError for what is no archive of ours.
    """
    stamp, known = _stamp(path), _known.get(path)
    if known is None or stamp not in (None, known[0]):
        known = _known[path] = stamp, _read(path)
    return known[1]


def forget_all_but(paths: Collection[Path]) -> None:
    """What was read of other archives, with their samples."""
    for path in _known.keys() - set(paths):
        del _known[path]


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: Path) -> Archived:
    recipe, seal = mar.read_recipe(path), mar.read_seal(path)
    held = mar.member(path, decided.PLACE) if decided.PLACE in seal.files else None
    return Archived(
        recipe,
        seal,
        _labels(recipe.handler, path),
        decided.read(held) if held is not None else None,
        tuple(_samples(recipe.handler, seal, path)),
    )


def _labels(model: Model, path: Path) -> tuple[str, ...] | None:
    """As the task reads them (handlers/tasks/classify.py, which needs torch)."""
    named = model.output.labels
    if isinstance(named, str):
        lines = mar.member(path, named).decode("utf-8-sig", "replace").splitlines()
        while lines and not lines[-1].strip():
            lines.pop()
        return tuple(line.strip() for line in lines)
    return None if named is UNSET else tuple(named)


def _samples(model: Model, seal: Seal, path: Path) -> list[SampleFile]:
    found = []
    for index, declared in enumerate(model.samples):
        content = mar.member(path, declared.input)
        kind = next((kind for start, kind in _BEGINNINGS if content.lstrip().startswith(start)), None)
        if kind is not None and len(content) <= LARGEST:
            raw = declared.recording if declared.expect is UNSET else declared.expect
            held = isinstance(raw, str) and is_array_file(raw) and raw in seal.files
            output = mar.member(path, str(raw)) if held else None
            found.append(SampleFile(index, declared, content, kind, output))
    return found
