"""Files that are no checkpoint, or no longer a whole one: what they are instead, and the way out."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

from handlers import pickled
from handlers.errors import BadCheckpoint, listed

HEAD = 4096
"""Bytes that tell what a file is: a tar's mark stands behind the first 257."""

COPY_AGAIN = "copy the file again"
ZIP_AGAIN = "unzip it and zip it again without compression (zip -0 -r), or save it again with torch.save"
NOT_IN_TORCH = "ask for the PyTorch weights, or convert it with the tools of the framework that wrote it"

BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip archive", "unpack it (gunzip or tar -xzf) and use the file inside"),
    (b"BZh", "a bzip2 archive", "unpack it (tar -xjf) and use the file inside"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it (xz -d or tar -xJf) and use the file inside"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it (zstd -d) and use the file inside"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it (7z x) and use the file inside"),
    (b"Rar!", "a RAR archive", "unpack it (unrar x) and use the file inside"),
    (b"GGUF", "a GGUF file of llama.cpp", "use the PyTorch weights that it was converted from"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes them", NOT_IN_TORCH),
    (
        b"\x93NUMPY",
        "a NumPy array",
        "save the weights in torch: torch.save({'NAME': torch.from_numpy(array)}, FILE)",
    ),
    (b"\xff\xd8\xff", "a picture (JPEG)", "give the weights' file"),
    (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "a picture (PNG)", "give the weights' file"),
    (b"GIF8", "a picture (GIF)", "give the weights' file"),
    (b"%PDF", "a PDF document", "give the weights' file"),
    (b"\x7fELF", "a compiled library or program", "give the weights' file"),
    (b"#!", "a script", "run it where it belongs, and give the weights that it saves"),
)
"""(first bytes, what it is, what to do)"""

INNER: tuple[tuple[str, str, str], ...] = (
    ("[Content_Types].xml", "an office document", "give the weights' file"),
    ("META-INF/MANIFEST.MF", "a Java archive", "give the weights' file"),
    ("MAR-INF/MANIFEST.json", "a TorchServe archive (.mar)", "unpack it (unzip) and use the weights inside"),
    ("model.weights.h5", "a Keras model", NOT_IN_TORCH),
    ("saved_model.pb", "a zipped TensorFlow SavedModel", NOT_IN_TORCH),
)
"""(file name inside a zip, what it is, what to do)"""


def refusal(path: Path) -> BadCheckpoint:
    """The error for a file that no reader of checkpoints takes; raises nothing."""
    try:
        if not path.is_file():
            return BadCheckpoint(f"{path}: can't be read ({_why_no_file(path)})", hint="check the path")
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        return BadCheckpoint(f"{path}: can't be read ({error.strerror})", hint="check the path")
    if head.startswith(b"PK"):
        return _of_zip(path)
    what, hint = _named(path, head)
    return BadCheckpoint(f"{path}: is not a checkpoint, but {what}", hint=hint)


def has_directory(path: Path) -> bool:
    """Whether a zip's list of entries, at its end, is there: it isn't when the zip is cut short."""
    return bool(pickled.zip_names(path))


def _why_no_file(path: Path) -> str:
    if path.is_dir():
        return "Is a directory"
    return "neither a file nor a folder" if path.exists() else "No such file or directory"


def _named(path: Path, head: bytes) -> tuple[str, str]:
    """(what it is, what to do) of a file that isn't a zip."""
    for begins, what, hint in BEGINNINGS:
        if head.startswith(begins):
            return what, hint
    for told in LOOKS:
        found = told(path, head)
        if found:
            return found
    return f"something that begins with {head[:8]!r}", COPY_AGAIN


def _empty(path: Path, head: bytes) -> tuple[str, str] | None:
    return None if head else ("empty", COPY_AGAIN)


def _web(path: Path, head: bytes) -> tuple[str, str] | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return (
            "a Git LFS pointer (run `git lfs pull`)",
            "run `git lfs pull` in the repository that it is from",
        )
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
        return "a web page", "open its address in a browser: it may ask to sign in; download the file itself"
    if text.startswith((b"<?xml", b"<error", b"<")):
        return "an XML or HTML text", "read it: a download may have failed and saved the error instead"
    return None


def _text(path: Path, head: bytes) -> tuple[str, str] | None:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # its last letter may be cut
    except UnicodeDecodeError:
        return None
    if not text.strip() or not all(char.isprintable() or char in "\r\n\t" for char in text):
        return None
    kind = "a JSON text" if text.lstrip()[0] in "{[" else "a text"
    begin = pickled.printable(" ".join(text.split())[:60])
    return f"{kind} ({begin})", "read it: a download may have failed and saved the error instead"


def _tar(path: Path, head: bytes) -> tuple[str, str] | None:
    if head[257:262] != b"ustar" and not _is_old_tar(head):
        return None
    if head[:100].rstrip(b"\x00") in (b"sys_info", b"pickle", b"storages", b"tensors"):
        return (
            "the tar format of PyTorch 0.1, which is read only unsafely",
            "where you trust it, torch.load(FILE, weights_only=False) and torch.save it again",
        )
    return "a tar archive", "unpack it (tar -xf) and use the file inside"


def _is_old_tar(head: bytes) -> bool:
    """By its checksum of the header, which the oldest tar files have and no mark."""
    field = head[148:156].strip(b" \x00")
    if len(head) < 512 or not field or not all(byte in b"01234567" for byte in field):
        return False
    return int(field, 8) == sum(head[:148]) + 8 * 32 + sum(head[156:512])


def _other_framework(path: Path, head: bytes) -> tuple[str, str] | None:
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model", NOT_IN_TORCH
    if head[4:8] == b"PTMF":
        return "a PyTorch Mobile flatbuffer", "use the weights or the TorchScript that it was made from"
    if path.suffix == ".onnx" or (head[:1] == b"\x08" and b"pytorch" in head[:64]):
        return "an ONNX model", "use the PyTorch weights that it was exported from"
    if path.suffix == ".pb":
        return "a TensorFlow graph", NOT_IN_TORCH
    return None


def _pickle(path: Path, head: bytes) -> tuple[str, str] | None:
    """A pickle that torch.save didn't write; by its globals, whose."""
    if not head.startswith(b"\x80"):
        return None
    names = list(dict.fromkeys(pickled.leading_globals(path, 1)))
    packages = {name.split(".")[0] for name in names}
    if packages & {"sklearn", "joblib", "xgboost", "lightgbm", "catboost"}:
        whose = ", ".join(sorted(packages & {"sklearn", "joblib", "xgboost", "lightgbm", "catboost"}))
        return f"a pickle of {whose}", "it isn't a PyTorch model: serve it with that library"
    named = f" that names {listed(map(pickled.printable, names), 4)}" if names else ""
    return f"a pickle that torch.save didn't write{named}, or damaged", (
        "in code that you trust, load it, take the tensors out and torch.save them"
    )


LOOKS: tuple[Callable[[Path, bytes], tuple[str, str] | None], ...] = (
    _empty,
    _web,
    _tar,
    _other_framework,
    _pickle,
    _text,
)


def _of_zip(path: Path) -> BadCheckpoint:
    names = pickled.zip_names(path)
    if not names:
        return BadCheckpoint(
            f"{path}: is a zip archive without a checkpoint, or cut short "
            f"(its list of entries, which ends a zip, is missing at byte {path.stat().st_size:,})",
            hint="compare its size with the original's, and copy the file again",
        )
    for name, what, hint in INNER:
        if any(entry == name or entry.endswith(f"/{name}") for entry in names):
            return BadCheckpoint(f"{path}: is not a checkpoint, but {what}", hint=hint)
    if all(name.endswith(".npy") for name in names):
        return BadCheckpoint(
            f"{path}: is not a checkpoint, but NumPy arrays (.npz)",
            hint="torch.save({name: torch.from_numpy(each) for name, each in numpy.load(FILE).items()}, NEW)",
        )
    return BadCheckpoint(
        f"{path}: is a zip archive without a checkpoint, or cut short and zipped again "
        f"(it holds {listed(map(pickled.printable, names), 3)})",
        hint=_zip_hint(names),
    )


def _zip_hint(names: list[str]) -> str:
    inside = [name for name in names if Path(name).suffix in (".pth", ".pt", ".bin", ".ckpt", ".safetensors")]
    if inside:
        return f"unpack it (unzip) and use {pickled.printable(inside[0])}"
    return "unzip it and look for the weights' file, or " + COPY_AGAIN
