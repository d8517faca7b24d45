"""timm takes part where it is installed: here a small package of that name, with what of it is used."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import UNSET
from rich.console import Console

from handlers.mismatch import Shape
from handlers.recipe import ImageInput
from scripts.architectures import building, probes, table, timm_builders, torchvision_builders
from scripts.architectures.fingerprint import Fingerprint
from scripts.architectures.identify import identify, ranked
from scripts.architectures.preprocessing import drafted_input, published, published_by_hash
from scripts.architectures.torchvision_builders import Plan
from tests.shapes import built, known, shapes_of

SOURCE = """
import os
from pathlib import Path
from types import SimpleNamespace
import torch
from torch import nn

class Patches(nn.Module):
    def __init__(self, in_chans):
        super().__init__()
        self.proj = nn.Conv2d(in_chans, 8, 4, stride=4)

class Transformer(nn.Module):
    def __init__(self, img_size=32, num_classes=10, in_chans=3, depth=6):
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, (img_size // 4) ** 2 + 1, 8))
        self.patch_embed = Patches(in_chans)
        rates = [rate.item() for rate in torch.linspace(0, 1, depth)]
        self.blocks = nn.Sequential(*[nn.Linear(8, 8 + round(rate)) for rate in rates])
        self.head = nn.Linear(8, num_classes)

class Plain(nn.Module):
    def __init__(self, num_classes=10, in_chans=3):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, 8, 3)
        self.blocks = nn.Sequential(*[nn.Conv2d(8, 8, 3) for _ in range(5)])
        self.head = nn.Linear(8, num_classes)
        self.head_dist = nn.Linear(8, num_classes)

class Bare(nn.Module):
    def __init__(self, num_classes=0):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.blocks = nn.Sequential(*[nn.Conv2d(8, 9, 3) for _ in range(5)])
        self.head = nn.Linear(8, num_classes) if num_classes else nn.Identity()

def broken(**args):
    raise RuntimeError("needs a compiler")

BUILDERS = {"small_vit": Transformer, "plain": Plain, "plain_twin": Plain, "bare": Bare, "broken": broken}

def config(name, head, stem, **keys):
    defaults = dict(input_size=(3, 32, 32), interpolation="bicubic", crop_pct=0.875, crop_mode="center")
    defaults |= dict(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), num_classes=10, label_names=None, url=None)
    return SimpleNamespace(classifier=head, first_conv=stem, **{**defaults, **keys})

CONFIGS = {
    "small_vit": {
        "small_vit.first": config("small_vit", "head", "patch_embed.proj", url="http://x/v-0a1b2c3d.pth"),
        "small_vit.second": config("small_vit", "head", "patch_embed.proj", crop_mode="squash", crop_pct=0.5),
        "small_vit.third": config("small_vit", "head", "patch_embed.proj", crop_mode="border"),
    },
    "plain": {"plain": config("plain", ("head", "head_dist"), "stem")},
    "plain_twin": {"plain_twin": config("plain", ("head", "head_dist"), "stem")},
    "bare": {"bare": config("bare", "head", "stem", num_classes=0)},
}

def list_models():
    return list(BUILDERS)

def create_model(name, pretrained=False, **args):
    assert not pretrained
    (Path(__file__).parent / f"built-by-{os.getpid()}").touch()
    return BUILDERS[name](**args)

def get_pretrained_cfg(name):
    return next(iter(CONFIGS.get(name, {}).values()), None)

models = SimpleNamespace(get_arch_pretrained_cfgs=CONFIGS.__getitem__)
"""


@pytest.fixture
def timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package's folder, on the path of imports."""
    package = tmp_path / "site" / "timm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(SOURCE)
    described = tmp_path / "site" / "timm-9.9.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: timm\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    sys.modules.pop("timm", None)
    yield package
    sys.modules.pop("timm", None)


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def fingerprints() -> list[Fingerprint]:
    return table.load("timm", console(), [])


def of(builder: str, **args: int) -> dict[str, Shape]:
    return shapes_of(timm_builders.timm().create_model(builder, **args))


@pytest.mark.usefixtures("timm")
def test_it_takes_part_where_it_is_installed() -> None:
    assert building.installed() == ("torchvision", "timm")
    assert building.versions("timm")["timm"] == "9.9"


def test_a_mere_folder_of_its_name_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "timm").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert building.installed() == ("torchvision",)


@pytest.mark.usefixtures("timm")
def test_heads_and_stem_are_what_the_arguments_set() -> None:
    found = {one.builder: one for one in fingerprints()}
    assert set(found) == {"small_vit", "plain", "plain_twin", "bare"}  # not the one that can't be built
    assert (found["plain"].heads, found["plain"].stem) == (["head", "head_dist"], "stem")
    assert found["small_vit"].defaults == {"num_classes": 10, "in_chans": 3, "img_size": 32}


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    "args", [{"num_classes": 10}, {"num_classes": 37, "in_chans": 1}, {"num_classes": 3, "img_size": 64}]
)
def test_arguments_are_read_from_the_shapes(args: dict[str, int]) -> None:
    (match,) = ranked(of("small_vit", **args), fingerprints())
    assert (match.library, match.builder, match.fit, match.args) == ("timm", "small_vit", "whole", args)
    assert match.channels == args.get("in_chans", 3)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("args", [{}, {"num_classes": 5}])
def test_a_backbone_that_is_published_without_a_head_fits_with_one_too(args: dict[str, int]) -> None:
    (match,) = ranked(of("bare", **args), fingerprints())
    assert (match.builder, match.fit, match.args, match.channels) == ("bare", "whole", args, 3)


@pytest.mark.usefixtures("timm")
def test_builders_of_the_same_network_tie() -> None:
    matches = ranked(of("plain", num_classes=4), fingerprints())
    assert [match.builder for match in matches] == ["plain", "plain_twin"]
    assert {(match.fit, match.share) for match in matches} == {("whole", 1.0)}


@pytest.mark.usefixtures("timm")
def test_torchvision_comes_first_where_both_fit() -> None:
    twin = next(one for one in known() if one.builder == "resnet18")
    timms = Fingerprint("timm", *[getattr(twin, key) for key in twin.__struct_fields__[1:]])
    matches = ranked(shapes_of(built("resnet18", num_classes=5)), [timms, *fingerprints(), *known()])
    assert [match.library for match in matches] == ["torchvision", "timm"]


@pytest.mark.usefixtures("timm")
def test_its_table_is_kept_and_read_without_importing_it(tmp_path: Path) -> None:
    first = table.load("timm", console(), [tmp_path / "cache"])
    del sys.modules["timm"]
    assert table.load("timm", console(), [tmp_path / "cache"]) == first
    assert "timm" not in sys.modules


def test_many_builders_are_shared_among_processes_in_their_order(
    timm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = fingerprints()
    ours = timm / f"built-by-{os.getpid()}"
    ours.unlink()
    monkeypatch.setattr(building, "WORTH", 2)
    monkeypatch.setattr(building, "cores", lambda: 2)
    assert fingerprints() == alone
    assert list(timm.glob("built-by-*"))
    assert not ours.exists()


def test_one_that_cannot_be_imported_is_left_out_with_the_reason(
    timm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = Plan("alexnet", "classification", {}, {"num_classes": probes.CLASSES})
    monkeypatch.setattr(torchvision_builders, "plans", lambda: [only])
    (timm / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    out = console()
    matches = identify(shapes_of(built("alexnet", num_classes=2)), out, ["timm", "torchvision"], [])
    assert [match.builder for match in matches] == ["alexnet"]
    assert isinstance(out.file, io.StringIO)
    assert "timm can't be imported (operator torchvision::nms does not exist): " in out.file.getvalue()


@pytest.mark.usefixtures("timm")
def test_its_published_weights_tell_the_preparation() -> None:
    (match,) = ranked(of("small_vit"), fingerprints())
    centred = ImageInput(resize=36, crop=32, interpolation="bicubic", mean=[0.5] * 3, std=[0.25] * 3)
    squashed = ImageInput(resize=[64, 64], crop=32, interpolation="bicubic", mean=[0.5] * 3, std=[0.25] * 3)
    found = published(match)
    assert [(one.name, one.input) for one in found] == [
        ("first", centred),
        ("second", squashed),
        ("third", None),
    ]
    assert published_by_hash(match, "0a1b2c3d" + "0" * 56) == found[0]
    assert drafted_input(match).inputs == centred


@pytest.mark.usefixtures("timm")
def test_a_vision_transformer_of_another_size_has_pictures_of_that_size() -> None:
    (match,) = ranked(of("small_vit", img_size=64), fingerprints())
    drafted = drafted_input(match).inputs
    assert isinstance(drafted, ImageInput)
    assert (drafted.resize, drafted.crop, drafted.mean is UNSET) == (72, 64, False)
