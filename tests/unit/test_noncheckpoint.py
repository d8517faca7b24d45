"""Files that are no checkpoint: each is named for what it is, with the way out."""

import gzip
import io
import lzma
import os
import pickle
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LinearRegression

from handlers import checkpoint
from handlers.errors import BadCheckpoint
from scripts.inspection.opening import open_checkpoint
from tests.corpus import save, state


def picture(kind: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, kind)
    return content.getvalue()


def tar(*names: str, form: int = tarfile.PAX_FORMAT) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=form) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return content.getvalue()


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return content.getvalue()


def arrays() -> bytes:
    content = io.BytesIO()
    numpy.savez(content, a=numpy.ones(2), b=numpy.ones(3))
    return content.getvalue()


def array() -> bytes:
    content = io.BytesIO()
    numpy.save(content, numpy.ones(2))
    return content.getvalue()


def old_tar(name: str) -> bytes:
    """With the checksum that the oldest tars have, and without their successors' mark."""
    content = bytearray(tar(name, form=tarfile.USTAR_FORMAT))
    content[257:265] = bytes(8)
    content[148:156] = b"        "
    content[148:156] = f"{sum(content[:512]):06o}\0 ".encode()
    return bytes(content)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"

FILES: dict[str, tuple[str, bytes, str, str]] = {
    "nothing": ("w.pth", b"", "empty", "copy the file again"),
    "web page": ("w.pth", b"\n<!DOCTYPE html>\n<html>Sign in</html>", "a web page", "sign in"),
    "web page with a mark": ("w.pth", b"\xef\xbb\xbf<html>", "a web page", "sign in"),
    "xml": ("w.pth", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML", "read it"),
    "pointer": ("w.pth", POINTER, "a Git LFS pointer (run `git lfs pull`)", "git lfs pull"),
    "pointer as safetensors": ("w.safetensors", POINTER, "a Git LFS pointer", "git lfs pull"),
    "json": ("w.pth", b'{"message": "Not Found"}', 'a JSON text ({"message": "Not Found"})', "read it"),
    "json list": ("w.safetensors", b'[{"error": 1}]', "a JSON text", "read it"),
    "yaml": ("w.pth", "minWorkers: 1\nname: é\n".encode(), "a text (minWorkers: 1 name: é)", "read it"),
    "escapes": ("w.pth", b"a\x1b[2Jb" * 9, "something that begins with b'a\\x1b[2Jb", "copy the file again"),
    "noise": ("w.pth", b"\x00\x01\x02\x03\xff\xfe", "something that begins with", "copy the file again"),
    "gzip": ("w.pth", gzip.compress(b"x"), "a gzip archive", "gunzip"),
    "xz": ("w.pth", lzma.compress(b"x"), "an xz archive", "unpack"),
    "7z": ("w.pth", b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive", "unpack"),
    "tar": ("w.pth", tar("weights/w.pth"), "a tar archive", "unpack"),
    "tar without a mark": ("w.pth", old_tar("weights"), "a tar archive", "unpack"),
    "tar of torch": (
        "w.pth",
        tar("sys_info", "pickle", "tensors"),
        "tar format of PyTorch 0.1",
        "save it again",
    ),
    "numpy": ("w.npy", array(), "a NumPy array", "torch.from_numpy"),
    "numpy arrays": ("w.npz", arrays(), "NumPy arrays (.npz)", "torch.from_numpy"),
    "hdf5": ("w.h5", b"\x89HDF\r\n\x1a\n\x00", "an HDF5 file", "PyTorch weights"),
    "onnx": ("w.pth", b"\x08\x07\x12\x07pytorch\x1a\x05", "an ONNX model", "PyTorch weights"),
    "onnx by name": ("w.onnx", b"\x08\x07\x12\x05other", "an ONNX model", "PyTorch weights"),
    "tflite": ("w.tflite", b"\x1c\x00\x00\x00TFL3", "a TensorFlow Lite model", "PyTorch weights"),
    "graph": ("w.pb", b"\x0a\x10\x00\x01", "a TensorFlow graph", "PyTorch weights"),
    "flatbuffer": ("w.ptl", b"\x1c\x00\x00\x00PTMF", "PyTorch Mobile flatbuffer", "made from"),
    "gguf": ("w.gguf", b"GGUF\x03\x00\x00\x00", "a GGUF file", "PyTorch weights"),
    "png": ("w.pth", picture("PNG"), "a picture (PNG)", "weights' file"),
    "jpeg": ("w.pth", picture("JPEG"), "a picture (JPEG)", "weights' file"),
    "pickle": ("w.pkl", pickle.dumps([1, 2], 4), "a pickle that torch.save didn't write", "torch.save them"),
    "pickle of arrays": ("w.pkl", pickle.dumps(numpy.ones(2), 4), "that names numpy", "torch.save them"),
    "sklearn": ("w.pkl", pickle.dumps(LinearRegression(), 4), "a pickle of sklearn", "with that library"),
    "zip": ("w.zip", zipped("readme", "data.csv"), "without a checkpoint", "unzip it"),
    "zip of weights": ("w.zip", zipped("readme", "run/best.pth"), "without a checkpoint", "use run/best.pth"),
    "office": ("w.docx", zipped("[Content_Types].xml", "word/a.xml"), "an office document", "weights' file"),
    "jar": ("w.jar", zipped("META-INF/MANIFEST.MF"), "a Java archive", "weights' file"),
    "mar": ("w.mar", zipped("MAR-INF/MANIFEST.json", "weights.pth"), "a TorchServe archive", "unpack it"),
    "keras": ("w.keras", zipped("config.json", "model.weights.h5"), "a Keras model", "PyTorch weights"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_of_another_kind_is_named_with_the_way_out(tmp_path: Path, what: str) -> None:
    name, content, message, way_out = FILES[what]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadCheckpoint) as opened:
        open_checkpoint(tmp_path / name)
    assert str(tmp_path / name) in opened.value.message
    assert message in opened.value.message
    assert way_out in opened.value.hint
    assert str(opened.value).isprintable()


@pytest.mark.parametrize("what", [what for what in FILES if "pickle" not in what and what != "sklearn"])
def test_a_worker_names_it_alike(tmp_path: Path, what: str) -> None:
    name, content, _, _ = FILES[what]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadCheckpoint) as opened:
        open_checkpoint(tmp_path / name)
    with pytest.raises(BadCheckpoint) as loaded:
        checkpoint.read(tmp_path / name)
    assert str(opened.value) == str(loaded.value)


def test_a_zip_that_is_cut_short_says_how_to_tell(tmp_path: Path) -> None:
    path = save(state(), tmp_path / "w.pth")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BadCheckpoint, match="cut short") as refused:
        open_checkpoint(path)
    assert f"{path.stat().st_size:,}" in refused.value.message
    assert "compare its size" in refused.value.hint


@pytest.mark.parametrize("read", [open_checkpoint, checkpoint.read], ids=["open", "load"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, read: object) -> None:
    assert callable(read)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    for name, why in (
        ("pipe", "neither a file nor a folder"),
        ("missing", "No such file or directory"),
        ("gone", "No such file or directory"),
        ("loop", "can't be read"),
    ):
        with pytest.raises(BadCheckpoint, match=why):
            read(tmp_path / name)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Root may read everything; nobody mayn't."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = save({"a": torch.ones(1)}, tmp_path / "w")
    path.chmod(0)
    request.getfixturevalue("unprivileged")
    with pytest.raises(BadCheckpoint, match="Permission denied"):
        open_checkpoint(path)
