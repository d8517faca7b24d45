"""register: bring a model of models/, or an archive, to READY beside what serves."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rich.console import Console

from scripts import catalog
from scripts.archive import archive
from scripts.checking import assumed
from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places, shown
from scripts.processes.children import Children
from scripts.state import admission, asking, mirrors, wanted


def register(places: Places, source: str, console: Console) -> int:
    """0 once all its workers are READY, or were; raises Refusal with the worker's own reason."""
    asking.running(places)  # says so before minutes of packing, if none runs
    name, version = archived(places, source, console)
    with asking.alone(places, name):
        seen = asking.running(places).version(name, version)
        if seen is not None and seen.state == "ready" and _stays(places, name, version):
            say(
                console,
                f"{name} {version} is registered already: {seen.ready} of {seen.wanted} workers READY",
            )
            return 0
        with asking.taken_back(places, name, trying=version), console.status(f"starting {name} {version}"):
            admission.admit(places, name, version, console)
        after = asking.running(places)
        say(console, f"✓ {name} {version}: READY")
        default = after.models[name].default
        if default != version:
            say(
                console,
                f"{default} stays the default; scripts/pthserve promote {name} {version} changes that",
            )
        return 0


def _stays(places: Places, name: str, version: str) -> bool:
    """Whether the version is wanted already, from now on for itself: a `shadow` may be what wanted it."""
    asking.ask(places, lambda state: mirrors.keeping(state, name, version))
    return wanted.load(places).model(name).stays(version)


def archived(places: Places, source: str, console: Console) -> tuple[str, str]:
    """(name, version) of the archive in the store: packed now, copied there now, or there already."""
    if source.endswith(".mar"):
        name, version = stored(places, Path(source))
        for note in assumed.notes(mar.read_recipe(mar.path_in(places, name, version))):
            say(console, f"{name}: {note}")
        return name, version
    entry = catalog.find(places, source)
    catalog.require_files(entry)
    with Children() as children, console.status(f"packing {entry.name}"):
        packed = archive(entry, places, children)
    for note in packed.notes:
        say(console, f"{entry.name}: {note}")
    return entry.name, entry.version


def stored(places: Places, source: Path) -> tuple[str, str]:
    """(name, version) of an archive from anywhere, copied into the store; raises CommandError."""
    sealed = mar.read_seal(source)
    kept = mar.path_in(places, sealed.name, sealed.version)
    if kept.exists():
        if kept.resolve() != source.resolve() and mar.read_seal(kept) != sealed:
            raise CommandError(
                f"{shown(kept)} is there already, with another content",
                hint="an archive is never changed: pack yours under a new handler.version",
            )
        return sealed.name, sealed.version
    places.store.mkdir(parents=True, exist_ok=True)
    partial = kept.with_name(f".{kept.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, partial)
        partial.replace(kept)
    finally:
        partial.unlink(missing_ok=True)
    return sealed.name, sealed.version
