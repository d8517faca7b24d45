"""seal.json: the sha256 of every file in an archive, and the library versions it was checked with.

The worker checks it before it opens the recipe, the weights or the model's own code.
"""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path

import msgspec
from msgspec import Struct

from handlers.errors import BadArchive

FILE_NAME = "seal.json"

UNSEALED = ("MAR-INF", "__pycache__")
"""TorchServe's manifest, and what Python leaves behind when a worker imports the archive's modules."""

LIBRARIES = ("torch", "torchvision", "torchserve", "numpy", "pillow", "msgspec", "safetensors")


class Seal(Struct, frozen=True, forbid_unknown_fields=True):
    """What an archive holds: `files` maps relative paths to sha256, `libraries` names to versions."""

    name: str
    version: str
    files: dict[str, str]
    libraries: dict[str, str]


def make(folder: Path, name: str, version: str) -> Seal:
    """The seal of a folder as it is now."""
    return Seal(name, version, digests(folder), libraries())


def write(seal: Seal, folder: Path) -> None:
    """Put it beside what it seals, in a stable order."""
    encoded = msgspec.json.format(msgspec.json.encode(seal, order="deterministic"))
    (folder / FILE_NAME).write_bytes(encoded + b"\n")


def decode(content: bytes) -> Seal:
    """The seal from its file's bytes; raises BadArchive."""
    try:
        return msgspec.json.decode(content, type=Seal)
    except msgspec.DecodeError as error:
        raise BadArchive(f"{FILE_NAME} can't be read ({error})", hint="pack the model again") from None


def verify(folder: Path) -> Seal:
    """The seal of an unpacked archive; raises BadArchive naming the files that differ from it."""
    path = folder / FILE_NAME
    if not path.is_file():
        raise BadArchive(f"{path}: not found", hint="pack the model with `scripts/pthserve archive`")
    seal = decode(path.read_bytes())
    changed = {name for name, digest in seal.files.items() if _sha256_or_none(folder / name) != digest}
    code = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    wrong = sorted(changed | (code - seal.files.keys()))  # what else lies there, the model may have written
    if wrong:
        raise BadArchive(
            f"{len(wrong)} files differ from {FILE_NAME}: {', '.join(wrong[:5])}",
            hint="the archive was changed or damaged; pack the model again",
        )
    return seal


def digests(folder: Path) -> dict[str, str]:
    """sha256 in hexadecimal of every file below the folder, by its relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    relative = [(path, path.relative_to(folder)) for path in files]
    return {
        name.as_posix(): sha256(path)
        for path, name in relative
        if not set(name.parts) & set(UNSEALED) and name.as_posix() != FILE_NAME
    }


def _sha256_or_none(path: Path) -> str | None:
    return sha256(path) if path.is_file() else None


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def libraries() -> dict[str, str]:
    """The versions of what decides an answer here, Python's own included."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in LIBRARIES}
