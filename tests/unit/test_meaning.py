"""What outputs mean: told by labels and by how many there are, never guessed beyond that."""

from pathlib import Path

import pytest
from msgspec import UNSET

from handlers.tasks.classify import read_labels
from scripts.errors import CommandError
from scripts.recipes import meaning
from scripts.recipes.asked import Asked

WEIGHTS = Path("cats.pth")


def labels(tmp_path: Path, *names: str) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(names) + "\n\n")
    return path


def test_given_labels_make_a_classifier(tmp_path: Path) -> None:
    asked = Asked(WEIGHTS, labels=labels(tmp_path, "cat", "dog", "cow"))
    found = meaning.decide(asked, 3, ("a", "b", "c"), classifier=False)
    assert (found.task, found.labels, found.output.top_k) == ("classify", ("cat", "dog", "cow"), 3)
    assert found.output.labels == "labels.txt"
    assert not found.assumed


@pytest.mark.parametrize("names", [("cat", "dog"), ("cat", "dog", "cow", "hen")])
def test_labels_that_do_not_fit_the_outputs_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    asked = Asked(WEIGHTS, labels=labels(tmp_path, *names))
    with pytest.raises(CommandError, match=rf"holds {len(names)} labels, the network has 3 outputs"):
        meaning.decide(asked, 3, (), classifier=True)


def test_labels_of_the_checkpoint_serve_when_they_fit() -> None:
    assert meaning.decide(Asked(WEIGHTS), 2, ("a", "b"), classifier=True).labels == ("a", "b")
    assert meaning.decide(Asked(WEIGHTS), 3, ("a", "b"), classifier=True).labels == ()


@pytest.mark.parametrize(
    ("outputs", "classifier", "task", "assumed"),
    [
        (10, True, "classify", False),
        (1, True, "regress", True),
        (1, False, "regress", True),
        (7, False, "tensor", False),
    ],
)
def test_without_labels_the_task_follows_from_the_outputs(
    outputs: int, classifier: bool, task: str, assumed: bool
) -> None:
    found = meaning.decide(Asked(WEIGHTS), outputs, (), classifier=classifier)
    assert (found.task, found.assumed) == (task, assumed)
    assert found.output.labels is UNSET


def test_a_task_that_was_asked_for_is_not_assumed(tmp_path: Path) -> None:
    assert not meaning.decide(Asked(WEIGHTS, task="regress"), 1, (), classifier=False).assumed
    with pytest.raises(CommandError, match="--labels mean nothing to the task regress"):
        meaning.decide(Asked(WEIGHTS, task="regress", labels=labels(tmp_path, "a")), 1, (), classifier=False)


def test_labels_of_the_checkpoint_that_do_not_fit_are_told_of() -> None:
    found = meaning.decide(Asked(WEIGHTS), 3, ("a", "b"), classifier=True)
    assert "labels: the checkpoint's 2 aren't taken, because the outputs are others" in found.unknown
    assert not any("aren't taken" in one for one in decided(("a", "b", "c")).unknown)


def decided(labels: tuple[str, ...]) -> meaning.Meaning:
    return meaning.decide(Asked(WEIGHTS), 3, labels, classifier=True)


def test_a_network_that_gives_maps_is_no_classifier_of_its_labels() -> None:
    """A detector's, say: the names are of what it finds in places."""
    assert meaning.decide(Asked(WEIGHTS), None, ("a", "b"), classifier=False, maps=True).task == "tensor"
    assert meaning.decide(Asked(WEIGHTS), None, ("a", "b"), classifier=False).task == "classify"


def test_a_labels_file_that_is_missing_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no\.txt isn't there; correct --labels"):
        meaning.decide(Asked(WEIGHTS, labels=tmp_path / "no.txt"), 3, (), classifier=True)


@pytest.mark.parametrize(
    "label",
    [
        "a\nb",
        "a\r\nb",
        "a\x0bb",
        "a\x1cb",
        "a\x85b",
        "a\u2028b",
        "\x1b[2J",
        "\x9b31m",
        "a\u202eb",
        "\ud800",
        "x" * 10**6,
    ],
)
def test_a_label_stays_one_line_whatever_is_in_it(tmp_path: Path, label: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(meaning.text(["cat", label, "dog"]).encode())
    first, hostile, last = read_labels(path)
    assert (first, last) == ("cat", "dog")
    assert hostile.isprintable()
    assert 1 <= len(hostile) <= meaning.LONGEST


@pytest.mark.parametrize("label", ["dög", "猫", "क\u200dष", "👩\u200d🚀", "a: &b *c"])
def test_a_label_in_any_script_stays_as_it_is(label: str) -> None:
    assert meaning.text([label]) == f"{label}\n"
