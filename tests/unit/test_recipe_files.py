"""The folder that init writes: whole or not at all, never over another, names that no file can spoil."""

import resource
from pathlib import Path

import pytest
import torch
from msgspec import UNSET

from handlers.recipe import Sample
from scripts.errors import CommandError
from scripts.inspection.opened import Opened
from scripts.places import Places
from scripts.recipes import files
from scripts.recipes.asked import Asked


def listed(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def opened(path: Path, *, refused: tuple[str, ...] = ()) -> Opened:
    return Opened(path, "torch zip", {}, 0, refused=refused)


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("My cats-v2.5.pth", "", "My_cats_v2_5"),
        ("a.pth.tar", "", "a"),
        ("a.pth", "cats", "cats"),
        (".pth", "x.y-1", "x.y-1"),
    ],
)
def test_a_model_is_called_as_asked_or_after_its_file(path: str, name: str, expected: str) -> None:
    assert files.name_of(Asked(Path(path), name=name)) == expected


@pytest.mark.parametrize("name", ["../up", "a b", "a/b", ".hidden", "x" * 101, "a\n", "ä"])
def test_a_name_that_no_model_can_have_is_refused(name: str) -> None:
    with pytest.raises(CommandError, match="--name takes"):
        files.name_of(Asked(Path("a.pth"), name=name))


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    places = Places(models=tmp_path)
    assert files.free(places, "cats") == tmp_path / "cats"
    (tmp_path / "cats").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("cats", "dangling"):
        with pytest.raises(CommandError, match="not overwritten; choose another --name"):
            files.free(places, name)


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with files.whole(tmp_path / "models" / "cats") as folder:
        files.put(folder, {"deep/a.py": b"x = 1"}, {})
        assert not (tmp_path / "models" / "cats").exists()
    assert (tmp_path / "models" / "cats" / "deep" / "a.py").read_bytes() == b"x = 1"
    assert listed(tmp_path / "models") == ["cats"]


def test_nothing_is_left_of_a_folder_that_failed(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        files.put(folder, {"a.py": b""}, {})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), files.whole(tmp_path / "models" / "cats") as folder:
        interrupted(folder)
    assert listed(tmp_path / "models") == []


def test_a_folder_that_came_up_meanwhile_wins(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not empty"), files.whole(tmp_path / "cats"):
        files.put(tmp_path / "cats", {"a.py": b"theirs"}, {})
    assert (tmp_path / "cats" / "a.py").read_bytes() == b"theirs"
    assert listed(tmp_path) == ["cats"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cats-v2.pt", "cats-v2.pt"),
        ("my cats.pth", "weights.pth"),
        ("recipe.yaml", "weights.pth"),
        ("entry.py", "weights.pth"),
    ],
)
def test_weights_keep_their_name_where_it_is_usable(tmp_path: Path, name: str, expected: str) -> None:
    asked = Asked(tmp_path / name)
    assert files.weights_name(asked, opened(tmp_path / name)) == expected
    assert files.weights_name(asked, opened(tmp_path / name, refused=("os.system",))) == "weights.pth"


def test_weights_are_copied_linked_or_taken_out(tmp_path: Path) -> None:
    source = tmp_path / "cats.pth"
    torch.save({"a": torch.ones(2)}, source)
    state = {"b": torch.zeros(3)}
    assert files.put_weights(tmp_path / "1.pth", Asked(source), opened(source), state) == "copied"
    assert (tmp_path / "1.pth").read_bytes() == source.read_bytes()
    files.put_weights(tmp_path / "2.pth", Asked(source, link=True), opened(source), state)
    assert (tmp_path / "2.pth").readlink() == source
    told = files.put_weights(
        tmp_path / "3.pth", Asked(source, link=True), opened(source, refused=("x",)), state
    )
    assert told.startswith("taken out of")
    assert torch.load(tmp_path / "3.pth", weights_only=True)["b"].tolist() == [0, 0, 0]


def test_samples_keep_apart_and_have_what_is_expected_of_them(tmp_path: Path) -> None:
    paths = []
    for name in ("one/cat.jpg", "two/cat.jpg", "two/my cat.jpg", "cat.npy"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        paths.append(path)
    asked = Asked(tmp_path / "a.pth", samples=tuple(paths[:3]), expect=("Egyptian cat", str(paths[3]), ""))
    names = files.sample_names(asked)
    assert list(names.values()) == [
        "samples/cat.jpg", "samples/1-cat.jpg", "samples/my_cat.jpg", "samples/cat.npy"
    ]  # fmt: skip
    assert list(files.samples(asked, names)) == [
        Sample("samples/cat.jpg", expect="Egyptian cat"),
        Sample("samples/1-cat.jpg", expect="samples/cat.npy"),
        Sample("samples/my_cat.jpg", expect=UNSET),
    ]


def test_samples_that_cannot_be_taken_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"cat\.jpg isn't there"):
        files.sample_names(Asked(tmp_path / "a.pth", samples=(tmp_path / "cat.jpg",)))
    with pytest.raises(CommandError, match="there are 1 of --sample and 2 of --expect"):
        files.sample_names(Asked(tmp_path / "a.pth", samples=(tmp_path / "x",), expect=("a", "b")))


@pytest.mark.parametrize("name", ["labels.txt", "samples", "recipe.yaml", "seal.json", "model.py"])
def test_weights_take_no_other_files_name(name: str) -> None:
    path = Path(name)
    assert files.weights_name(Asked(path), opened(path)) == "weights.pth"


def test_a_file_without_a_usable_letter_needs_a_name() -> None:
    with pytest.raises(CommandError, match=r"код\.pth: no letter of its name.*; give --name"):
        files.name_of(Asked(Path("код.pth")))


def test_a_full_disk_is_told_as_that_when_weights_are_taken_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pth"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))  # Python ignores the signal
    try:
        with pytest.raises(OSError, match="File too large"):
            files.put_weights(path, Asked(path), opened(path, refused=("x.Y",)), {"a": torch.ones(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def test_a_path_that_steers_a_terminal_is_shown_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J\u202e.pth"
    path.write_bytes(b"weights")
    told = files.put_weights(tmp_path / "linked", Asked(path, link=True), opened(path), {})
    assert told.isprintable()
    told = files.put_weights(tmp_path / "b.pth", Asked(path), opened(path, refused=("x.Y",)), {})
    assert told.isprintable()
