"""The table of fingerprints: what is learnt of each builder, and how it is kept."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

from scripts import caches
from scripts.architectures import building, probes, table, torchvision_builders
from scripts.architectures.fingerprint import Fingerprint, Rule
from scripts.architectures.identify import identify
from scripts.architectures.torchvision_builders import Plan
from tests.shapes import CLASSIFIERS, built, known, shapes_of

FEW = [
    Plan("alexnet", "classification", {}, {"num_classes": probes.CLASSES}),
    Plan("vit_b_32", "classification", {}, {"num_classes": probes.CLASSES}),
    Plan("raft_small", "optical flow"),
]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_builders, "plans", lambda: FEW)


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def load(folder: Path, out: Console | None = None) -> list[Fingerprint]:
    return table.load("torchvision", out or console(), [folder])


# What is learnt


def test_every_builder_has_its_fingerprint() -> None:
    plain = [one.builder for one in known() if not one.args and "representation_size" not in one.defaults]
    assert len(plain) == len(set(plain)) == 80 + 12 + 6 + 9 + 2
    assert set(CLASSIFIERS) < set(plain)


@pytest.mark.parametrize(
    "builder",
    ["regnet_x_400mf", "swin_v2_t", "googlenet", "r3d_18", "fcn_resnet50", "raft_small", "ssd300_vgg16"],
)
def test_without_arguments_its_shapes_are_those_of_the_builders_defaults(builder: str) -> None:
    (found,) = [one for one in known() if one.builder == builder and not one.args]
    wanted = shapes_of(built(builder))
    assert list(found.shapes_with({}).items()) == list(wanted.items())


def fingerprint(builder: str) -> Fingerprint:
    return next(one for one in known() if one.builder == builder)


def test_heads_and_stem_are_found_by_what_their_sizes_follow() -> None:
    inception = fingerprint("inception_v3")
    assert (inception.heads, inception.stem) == (["AuxLogits.fc", "fc"], "Conv2d_1a_3x3.conv")
    assert (fingerprint("vit_b_16").heads, fingerprint("vit_b_16").stem) == (["heads.head"], "conv_proj")
    assert fingerprint("deeplabv3_resnet50").stem == "backbone.conv1"


def test_sizes_that_are_multiples_are_learnt() -> None:
    retina = fingerprint("retinanet_resnet50_fpn")
    assert {(rule.argument, rule.times, rule.plus) for rule in retina.rules} == {("num_classes", 9, 0)}
    shapes = retina.shapes_with({"num_classes": 4})
    assert shapes["head.classification_head.cls_logits.weight"] == (36, 256, 3, 3)


@pytest.mark.parametrize(
    ("rule", "value", "size"),
    [
        (Rule(0, 0, "n"), 37, 37),
        (Rule(0, 0, "n", times=4, plus=1), 3, 13),
        (Rule(0, 0, "s", plus=1, per=16, power=2), 224, 197),
    ],
)
def test_a_rule_is_solved_as_it_is_applied(rule: Rule, value: int, size: int) -> None:
    assert (rule.size(value), rule.value(size)) == (size, value)
    assert rule.value(rule.plus) is None
    if rule != Rule(0, 0, "n"):
        assert rule.value(size + 1) is None


def test_nothing_is_drawn_downloaded_or_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *args, **keys: pytest.fail("download"))
    before = torch.get_rng_state()
    for plan in torchvision_builders.plans():
        if plan.builder in ("googlenet", "ssd300_vgg16", "swin_t", "lraspp_mobilenet_v3_large"):
            torchvision_builders.fingerprint(plan)
    assert torch.equal(torch.get_rng_state(), before)


# How it is kept


@pytest.mark.usefixtures("few")
def test_it_is_built_once_and_read_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(tmp_path / "new")
    assert [one.builder for one in first] == ["alexnet", "vit_b_32", "raft_small"]
    (kept,) = (tmp_path / "new").iterdir()
    assert kept.stat().st_size < 10_000
    monkeypatch.setattr(building, "build", lambda *args: pytest.fail("built again"))
    assert load(tmp_path / "new") == first


@pytest.mark.usefixtures("few")
def test_another_version_has_another_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(tmp_path)
    monkeypatch.setattr(table, "VERSION", table.VERSION + 1)
    load(tmp_path)
    monkeypatch.setattr(building, "versions", lambda library: {library: "9"})
    load(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-20],
        lambda content: content[:50] + bytes([content[50] ^ 1]) + content[51:],
        lambda content: b"something else",
        lambda content: table.zlib.compress(table.msgspec.msgpack.encode([["a"], [[1]], [[1, 2]]])),
        lambda content: table.zlib.compress(
            table.msgspec.msgpack.encode([[], [], [["a", "video", {}, [5], [5], [], [], "", {}]]])
        ),
    ],
    ids=["empty", "cut", "flipped", "foreign", "mistyped", "dangling"],
)
def test_a_damaged_table_is_built_again(tmp_path: Path, damage: Iterator[object]) -> None:
    first = load(tmp_path)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))  # type: ignore[operator]
    assert load(tmp_path) == first
    assert kept.read_bytes() == whole


@pytest.mark.usefixtures("few")
def test_what_cannot_be_written_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    places = [tmp_path / "file" / "cache", tmp_path / "other"]
    first = table.load("torchvision", console(), places)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["other"]
    assert table.load("torchvision", console(), places[:1]) == first


@pytest.mark.usefixtures("few")
def test_a_table_that_cannot_be_finished_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert len(load(tmp_path)) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("few")
def test_building_says_so_in_one_line_and_reading_says_nothing(tmp_path: Path) -> None:
    out = console()
    load(tmp_path, out)
    assert printed(out) == "building the table of torchvision's 3 architectures, once\n"
    load(tmp_path, out)
    assert len(printed(out).splitlines()) == 1


@pytest.mark.usefixtures("few")
def test_on_a_terminal_a_bar_says_it(tmp_path: Path) -> None:
    out = Console(file=io.StringIO(), width=120, force_terminal=True)
    load(tmp_path, out)
    assert "building the table of torchvision's 3 architectures, once" in printed(out)
    assert "3/3" in printed(out)


@pytest.mark.usefixtures("few")
def test_identify_keeps_its_table_where_caches_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "folders", lambda name: iter([tmp_path / name]))
    shapes = shapes_of(built("alexnet", num_classes=4))
    assert [match.builder for match in identify(shapes, console(), ["torchvision"])] == ["alexnet"]
    assert [path.name.split("-")[0] for path in (tmp_path / table.FOLDER).iterdir()] == ["torchvision"]
