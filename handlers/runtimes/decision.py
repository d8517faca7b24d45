"""optimised/decision.json: which runtime executes a model, what was tried, and the artifacts' sha256.

`scripts/pthserve optimise` writes it beside the recipe; it holds for the very files, the kind of processor
and the library versions that it was measured with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from handlers import recipe, seal
from handlers.errors import BadRecipe
from handlers.recipe import Model, Precision, RuntimeName
from handlers.runtimes.setting import Option

FOLDER = "optimised"
FILE_NAME = "decision.json"

Verdict: TypeAlias = Literal["kept", "slower", "tie", "differs", "failed", "not tried"]

DECIDING = (
    *("architecture", "weights_key", "strip_prefix", "allow_missing", "allow_unexpected"),
    *("input", "output", "task", "runtime", "precision", "tolerance", "calibration"),
)
"""Keys of the recipe that change what the network answers, and what was asked of the runtime."""


class Candidate(Struct, frozen=True, forbid_unknown_fields=True):
    """A way to execute the network."""

    runtime: RuntimeName
    precision: Precision = "float32"
    options: tuple[Option, ...] = ()

    def __str__(self) -> str:
        return " ".join(
            [self.runtime, *self.options, *([self.precision] if self.precision != "float32" else [])]
        )

    @property
    def folder(self) -> str:
        """Where its artifacts lie, below FOLDER."""
        return "-".join([self.runtime, *self.options, self.precision])


EAGER = Candidate("eager")
"""The reference, which needs no artifacts and no proof."""


class Tried(Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the table: how a candidate did."""

    candidate: Candidate
    verdict: Verdict
    why: str = ""
    error: float | None = None
    """The largest absolute difference of raw outputs from eager float32."""
    agreement: float | None = None
    """Share of all inputs, calibration's included, with the same best class."""
    ms_one: float | None = None
    """Median ms of a batch of one."""
    ms_full: float | None = None
    """Median ms of a full batch."""
    bytes: int = 0
    """Of its artifacts."""


PASSED: frozenset[Verdict] = frozenset({"kept", "slower", "tie"})
"""Verdicts of what the gate let through."""


class Decision(Struct, frozen=True, forbid_unknown_fields=True):
    """What was kept, and what it depends on."""

    chosen: Candidate
    inputs: str
    """`inputs` of the files that it was decided for."""
    processor: str
    libraries: Mapping[str, str]
    """Versions that the chosen one needs, by package."""
    threads: int
    batch: int
    """Items of a full batch."""
    tried: tuple[Tried, ...] = ()
    files: Mapping[str, str] = {}
    """sha256 of the chosen one's artifacts, by their path below FOLDER."""

    @property
    def precisions(self) -> set[Precision]:
        """Those in which a candidate passed the gate."""
        return {row.candidate.precision for row in self.tried if row.verdict in PASSED}


def read(folder: Path) -> Decision | None:
    """The decision beside a recipe; None where there is none; raises BadRecipe if it can't be read."""
    path = folder / FOLDER / FILE_NAME
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Decision)
    except (msgspec.DecodeError, OSError) as error:
        raise BadRecipe(
            f"{path}: can't be read ({error})",
            hint="remove the folder, or run `scripts/pthserve optimise` again",
        ) from None


def write(decision: Decision, folder: Path) -> None:
    """Put it beside the recipe, in a stable order."""
    encoded = msgspec.json.format(msgspec.json.encode(decision, order="deterministic"))
    (folder / FOLDER / FILE_NAME).write_bytes(encoded + b"\n")


def inputs(model: Model, folder: Path, known: Mapping[str, str] = {}) -> str:
    """sha256 of all that decides what the network answers: keys of the recipe, weights, the folder's code.

    `known` has the sha256 of files of the folder that were verified just now, by their relative path.
    """
    asked = {key: value for key in DECIDING if (value := getattr(model, key)) is not UNSET}
    names = {path.relative_to(folder).as_posix() for path in recipe.own_modules(folder)}
    names |= {name for name in _named(model) if (folder / name).is_file()}
    digests = {name: known.get(name) or seal.sha256(folder / name) for name in names}
    told = msgspec.json.encode({"recipe": asked, "files": digests}, order="deterministic")
    return hashlib.sha256(told).hexdigest()


def _named(model: Model) -> Iterator[str]:
    """Files that the recipe names and the network may depend on, wherever else they are left out."""
    yield model.weights
    yield from model.files
    specs = [model.task if ":" in model.task else UNSET]
    if model.architecture is not UNSET:
        specs += [model.architecture.class_, model.architecture.factory]
    yield from (spec.rpartition(":")[0] for spec in specs if spec is not UNSET)


def changed(decision: Decision, folder: Path, known: Mapping[str, str] = {}) -> list[str]:
    """Artifacts that aren't the ones that were proven, aren't there, or are too many: a library may read
    what lies beside. `known` as for `inputs`."""
    root = folder / FOLDER
    own = root / decision.chosen.folder
    there = {path.relative_to(root).as_posix() for path in own.rglob("*") if not path.is_dir()}
    return sorted(
        name
        for name in there | decision.files.keys()
        if name not in there or _digest(root, name, known) != decision.files.get(name, "too many")
    )


def _digest(root: Path, name: str, known: Mapping[str, str]) -> str | None:
    """None of what is no file of its own, but a link to elsewhere."""
    path = root / name
    if path.is_symlink() or not path.is_file():
        return None
    return known.get(f"{FOLDER}/{name}") or seal.sha256(path)
