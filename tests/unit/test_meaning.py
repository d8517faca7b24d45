"""What outputs mean: told by labels and by how many there are, never guessed beyond that."""

from pathlib import Path

import pytest
from msgspec import UNSET

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
