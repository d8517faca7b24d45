"""seal.json: an archive's files are the ones that were packed, or it is refused."""

import hashlib
import platform
from pathlib import Path

import pytest
import torch

from handlers import seal
from handlers.errors import BadArchive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "samples").mkdir()
    for name in ("recipe.yaml", "weights.pth", "samples/cat.png"):
        (tmp_path / name).write_text(f"content of {name}")
    seal.write(seal.make(tmp_path, "cat", "1.0"), tmp_path)
    return tmp_path


def refusal(folder: Path) -> str:
    with pytest.raises(BadArchive) as refused:
        seal.verify(folder)
    return str(refused.value)


def test_an_unchanged_folder_passes_with_its_seal(folder: Path) -> None:
    sealed = seal.verify(folder)
    assert (sealed.name, sealed.version) == ("cat", "1.0")
    assert sealed.files.keys() == {"recipe.yaml", "weights.pth", "samples/cat.png"}
    assert sealed.files["weights.pth"] == hashlib.sha256(b"content of weights.pth").hexdigest()
    assert sealed.libraries["python"] == platform.python_version()
    assert sealed.libraries["torch"].split("+")[0] == torch.__version__.split("+")[0]


@pytest.mark.parametrize("name", ["recipe.yaml", "weights.pth", "samples/cat.png"])
def test_a_changed_file_is_refused_by_name(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert f"1 files differ from seal.json: {name}; " in refusal(folder)


def test_an_added_file_is_refused_by_name(folder: Path) -> None:
    (folder / "samples" / "torch.py").touch()
    assert "1 files differ from seal.json: samples/torch.py; " in refusal(folder)


def test_a_removed_file_is_refused_by_name(folder: Path) -> None:
    (folder / "weights.pth").unlink()
    assert "1 files differ from seal.json: weights.pth; " in refusal(folder)


def test_what_the_model_itself_writes_beside_is_no_tampering(folder: Path) -> None:
    (folder / "core.123").write_bytes(b"a crash")
    (folder / "samples" / "cache.bin").touch()
    assert seal.verify(folder).name == "cat"


def test_many_files_are_counted(folder: Path) -> None:
    for index in range(9):
        (folder / f"new{index}.py").touch()
    told = refusal(folder)
    assert "9 files differ" in told
    assert "new4" in told
    assert "new5" not in told


def test_what_torchserve_and_python_leave_behind_is_ignored(folder: Path) -> None:
    for name in ("MAR-INF/MANIFEST.json", "__pycache__/model.pyc", "samples/__pycache__/a.pyc"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    assert seal.verify(folder).files.keys() == {"recipe.yaml", "weights.pth", "samples/cat.png"}


def test_a_seal_deeper_down_is_a_file_like_any_other(folder: Path) -> None:
    (folder / "samples" / "seal.json").touch()
    assert "samples/seal.json" in seal.make(folder, "cat", "1.0").files


def test_the_same_files_give_the_same_bytes_in_whatever_order_they_were_written(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "samples").mkdir()
    for name in ("samples/cat.png", "weights.pth", "recipe.yaml"):
        (other / name).write_text(f"content of {name}")
    sealed = seal.make(other, "cat", "1.0")
    seal.write(seal.Seal("cat", "1.0", dict(reversed(sealed.files.items())), sealed.libraries), other)
    assert (other / "seal.json").read_bytes() == (folder / "seal.json").read_bytes()


def test_a_folder_without_a_seal_is_refused_with_the_command_that_packs(folder: Path) -> None:
    (folder / "seal.json").unlink()
    assert "seal.json: not found; pack the model with `scripts/pthserve archive`" in refusal(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"name": 1}', b"\xff", b'{"surprise": 1}'])
def test_a_seal_that_is_none_is_refused(folder: Path, content: bytes) -> None:
    (folder / "seal.json").write_bytes(content)
    assert "seal.json can't be read" in refusal(folder)
