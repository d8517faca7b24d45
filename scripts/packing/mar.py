"""A model's folder -> NAME-VERSION.mar: the recipe folder plus a frozen copy of handlers/, always the same
bytes for the same inputs. Written once, never changed."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from handlers import recipe, seal
from handlers.recipe import Recipe
from handlers.seal import Seal
from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.optimising import standing
from scripts.packing import staging
from scripts.packing.rehearsal import rehearse
from scripts.places import Places, shown
from scripts.processes.children import Children, bare_environment
from scripts.processes.scratch import Scratch

ENTRY = '''"""TorchServe loads this file by its base name; everything else is in handlers/."""

from handlers.serve import Service


class Entry(Service):
    """The one class that TorchServe looks for."""
'''

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip entry can carry: an archive doesn't tell when it was made."""


def path_of(entry: Entry, places: Places) -> Path:
    return path_in(places, entry.name, entry.version)


def path_in(places: Places, name: str, version: str) -> Path:
    return places.store / f"{name}-{version}.mar"


def pack(entry: Entry, places: Places, children: Children) -> list[str]:
    """Stage, rehearse, seal and write the archive; raises Refusal. Returns what was recorded on the way."""
    with Scratch("pack-") as scratch:
        staged = assembled(entry, staging.stage(entry, scratch), scratch, children)
        files = set(_files(staged))
        recorded = rehearse(entry, staged, places, children)
        for name in recorded:
            shutil.copyfile(staged / name, entry.folder / name)
        for path in set(_files(staged)) - files - {staged / name for name in recorded}:
            path.unlink()  # what imports and the network itself wrote is none of the inputs
        seal.write(seal.make(staged, entry.name, entry.version), staged)
        _write(staged, path_of(entry, places))
    return recorded


def differences(entry: Entry, path: Path) -> list[str]:
    """Files of the model's folder that an existing archive holds otherwise, or not at all.

    Where nothing is decided on its runtime here, the archive may hold what was decided elsewhere.
    """
    decided = dict(standing.files(entry))
    ours = ("handlers/",) if decided else ("handlers/", f"{standing.FOLDER}/")
    packed = {
        name: digest
        for name, digest in read_seal(path).files.items()
        if name != "entry.py" and not name.startswith(ours)
    }
    now = {name: seal.sha256(file) for name, file in (*staging.model_files(entry), *decided.items())}
    return sorted(name for name in packed.keys() | now.keys() if packed.get(name) != now.get(name))


def code_differences(path: Path) -> list[str]:
    """What of handlers/ and the libraries is no longer as it was when the archive was packed."""
    sealed = read_seal(path)
    now = {f"handlers/{name}": seal.sha256(file) for name, file in staging.handler_files()}
    packed = {name: digest for name, digest in sealed.files.items() if name.startswith("handlers/")}
    files = [name for name in packed.keys() | now.keys() if packed.get(name) != now.get(name)]
    installed = seal.libraries()
    libraries = {name for name, version in sealed.libraries.items() if installed.get(name) != version}
    if standing.PLACE in sealed.files:
        libraries |= standing.otherwise(member(path, standing.PLACE))
    return sorted(files) + sorted(libraries)


def read_recipe(path: Path) -> Recipe:
    """The recipe inside an archive; raises BadRecipe, or CommandError when it isn't one of ours."""
    return recipe.parse(member(path, recipe.FILE_NAME).decode("utf-8", "replace"), path)


def read_seal(path: Path) -> Seal:
    """The seal inside an archive; raises CommandError when it isn't one of ours."""
    return seal.decode(member(path, seal.FILE_NAME))


def member(path: Path, name: str) -> bytes:
    """One file inside an archive; raises CommandError when it isn't one of ours."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (OSError, KeyError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise CommandError(
            f"{shown(path)} is no archive of pthserve ({error})", hint="remove it, and it is packed anew"
        ) from None


def assembled(entry: Entry, stage: Path, scratch: Path, children: Children) -> Path:
    """What torch-model-archiver makes of the stage: the same files with a manifest, in a folder."""
    out, temporary = scratch / "out", scratch / "tmp"
    out.mkdir()
    temporary.mkdir()  # it deletes TMPDIR/NAME, whoever that belongs to
    (scratch / "entry.py").write_text(ENTRY, encoding="utf-8")
    options = {
        "--model-name": entry.name,
        "--version": entry.version,
        "--handler": scratch / "entry.py",
        "--extra-files": stage,
        "--config-file": stage / recipe.FILE_NAME,
        "--export-path": out,
        "--archive-format": "no-archive",
    }
    done = children.run(
        [sys.executable, "-m", "model_archiver.model_packaging", *_words(options)],
        env=bare_environment(TMPDIR=str(temporary)),
        cwd=scratch,
    )
    folder = out / entry.name
    manifest_path = folder / "MAR-INF" / "MANIFEST.json"
    if done.returncode != 0 or not manifest_path.is_file():
        raise CommandError(f"torch-model-archiver failed on {entry.name}: {done.stderr.strip()[-500:]}")
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    manifest.pop("createdOn", None)  # the same inputs give the same bytes on another day
    manifest_path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return folder


def _words(options: dict[str, object]) -> list[str]:
    return [str(word) for pair in options.items() for word in pair]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _write(staged: Path, path: Path) -> None:
    """A zip that is stored (it registers faster), sorted, with fixed times and modes; never over another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for file in sorted(_files(staged)):
                info = zipfile.ZipInfo(file.relative_to(staged).as_posix(), EPOCH)
                info.external_attr = 0o100644 << 16
                info.create_system = 3  # Unix, wherever it is packed
                info.file_size = file.stat().st_size
                with archive.open(info, "w") as target, file.open("rb") as source:
                    shutil.copyfileobj(source, target, 1 << 20)
        _publish(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _publish(partial: Path, path: Path) -> None:
    """Give a finished archive its name; raises CommandError when another has it already."""
    try:
        os.link(partial, path)
    except FileExistsError:
        if not filecmp.cmp(partial, path, shallow=False):  # equal: someone packed the same at the same time
            raise CommandError(
                f"{shown(path)} exists and is never changed",
                hint="raise handler.version in the recipe, or remove the file",
            ) from None
    except OSError:  # a file system without hard links
        partial.replace(path)
