"""TorchServe's gRPC stubs, which its wheel lacks: built from the .proto files inside its jar, once for each
environment. None is committed."""

from __future__ import annotations

import atexit
import hashlib
import importlib
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from types import ModuleType

from msgspec import Struct

from scripts import caches
from scripts.errors import CommandError

JAR = Path(sysconfig.get_path("purelib")) / "ts" / "frontend" / "model-server.jar"

PACKAGE = "torchserve_stubs"
"""Keeps the generated modules from being called just `inference_pb2`, as anyone's might be."""

FOLDER = "pthserve-stubs"

SOURCES = {"proto/inference.proto": f"{PACKAGE}/inference.proto", "google/rpc/status.proto": None}
"""Of the jar, what is compiled and under which name; None is only imported by the others."""

BUILDERS = ("grpcio", "grpcio-tools", "protobuf")
"""Whose versions decide what is generated, and whether it can be loaded."""


class Stubs(Struct, frozen=True):
    """The generated modules of TorchServe's inference service."""

    messages: ModuleType
    services: ModuleType


def load() -> Stubs:
    """The stubs, built now if they aren't there; raises CommandError."""
    folder = str(built())
    sys.path.insert(0, folder)
    try:
        return Stubs(
            importlib.import_module(f"{PACKAGE}.inference_pb2"),
            importlib.import_module(f"{PACKAGE}.inference_pb2_grpc"),
        )
    finally:
        sys.path.remove(folder)


def built(jar: Path = JAR) -> Path:
    """The folder of the stubs for this jar; in the first place that has them or can be written."""
    key = _key(jar)
    places = list(caches.folders(FOLDER))
    for place in places:
        if (place / key).is_dir():
            return place / key
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            return _build(jar, place / key)
        except OSError:  # read-only, or full
            continue
    return _build(jar, _temporary() / key)


def _temporary() -> Path:
    """A new folder for this process alone."""
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _key(jar: Path) -> str:
    """Another jar, or another version of what builds the stubs, gives others."""
    try:
        with zipfile.ZipFile(jar) as archive:
            digest = hashlib.sha256(b"".join(archive.read(name) for name in sorted(SOURCES)))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise CommandError(
            f"{jar} has no .proto files of TorchServe ({error})", hint="install torchserve again"
        ) from None
    for name in BUILDERS:
        digest.update(f" {name} {metadata.version(name)}".encode())
    return digest.hexdigest()[:16]


def _build(jar: Path, folder: Path) -> Path:
    """Compile beside the folder, then give it its name: another process sees all of it, or nothing."""
    partial = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    try:
        sources, out = partial / "sources", partial / "out"
        (out / PACKAGE).mkdir(parents=True)
        _compile(_unpack(jar, sources), sources, out)
        try:
            out.rename(folder)
        except OSError:
            if not folder.is_dir():  # else someone built the same at the same time
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _unpack(jar: Path, sources: Path) -> list[str]:
    """The .proto files in `sources`; the names of those that are to be compiled."""
    with zipfile.ZipFile(jar) as archive:
        for name, renamed in SOURCES.items():
            path = sources / (renamed or name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(name))
    return [renamed for renamed in SOURCES.values() if renamed is not None]


def _compile(names: list[str], sources: Path, out: Path) -> None:
    import grpc_tools
    from grpc_tools import protoc

    own = Path(grpc_tools.__file__).parent / "_proto"  # google/protobuf/*.proto
    paths = [f"--proto_path={sources}", f"--proto_path={own}"]
    done = protoc.main(["protoc", *paths, f"--python_out={out}", f"--grpc_python_out={out}", *names])
    if done != 0:
        raise CommandError(f"protoc failed on TorchServe's {', '.join(names)}", hint="see above")
