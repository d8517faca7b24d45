"""The folder of an export: whole or not there, and never in the place of what isn't an export."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.places import ROOT, shown

EXPORTS = ROOT / "exports"
MARK = "parity.json"
"""What every export holds."""


def of(entry: Entry, target: str, out: Path | None) -> Path:
    """Where it goes: `out`, else exports/NAME-VERSION-TARGET."""
    return out if out is not None else EXPORTS / f"{entry.name}-{entry.version}-{target}"


def require_free(folder: Path, *, force: bool) -> None:
    """Raises CommandError when something is there that mustn't be replaced."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not force:
        raise CommandError(
            f"{shown(folder)} is there already", hint="--force replaces it, --out DIR takes another folder"
        )
    if folder.is_symlink() or not folder.is_dir() or not ((folder / MARK).is_file() or _empty(folder)):
        raise CommandError(
            f"{shown(folder)} is no export, and is not replaced", hint="--out DIR takes another folder"
        )


def _empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """An empty folder next to it to fill, gone when the block ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        partial.chmod(0o755)
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def put(filled: Path, folder: Path) -> None:
    """Give the filled folder its name; an older export under that name is removed."""
    if not folder.exists():
        filled.rename(folder)
        return
    with beside(folder) as away:
        folder.rename(away / "old")
        filled.rename(folder)
