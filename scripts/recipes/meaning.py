"""What a model's outputs mean: the task, and the labels in the order of the outputs."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from handlers.recipe import Output
from handlers.tasks.classify import TOP_K, read_labels
from scripts.errors import CommandError
from scripts.places import shown
from scripts.recipes.asked import Asked
from scripts.recipes.decided import Meaning

LABELS = "labels.txt"


def decide(asked: Asked, outputs: int | None, found: Sequence[str], *, classifier: bool) -> Meaning:
    """The task and its output; raises CommandError when the labels don't fit the outputs.

    `outputs` is how many values the network gives, None where that isn't known; `found` are labels that
    the checkpoint (or its publisher) holds; `classifier` says that the architecture is a published one.
    """
    labels = _labels(asked, outputs, found)
    task = asked.task or _task(outputs, labels, classifier=classifier)
    if task != "classify":
        if asked.labels is not None:
            raise CommandError(f"--labels mean nothing to the task {task}", hint="leave one of them out")
        return Meaning(task, assumed=not asked.task and task == "regress", unknown=_read_how(task))
    top_k = min(TOP_K, outputs or len(labels) or TOP_K)
    output = Output(labels=LABELS if labels else UNSET, top_k=top_k)
    unknown = [] if labels else ["labels: without handler.output.labels, classes are called by their index"]
    return Meaning(task, output, tuple(labels), unknown=(*unknown, *_read_how(task)))


def _labels(asked: Asked, outputs: int | None, found: Sequence[str]) -> Sequence[str]:
    if asked.labels is None:
        return found if outputs in (None, len(found)) and asked.task in ("", "classify") else ()
    labels = read_labels(asked.labels)
    if outputs is not None and len(labels) != outputs:
        raise CommandError(
            f"{shown(asked.labels)} holds {len(labels)} labels, the network has {outputs} outputs",
            hint="give one label a line for each output, in the order of training",
        )
    return labels


def _task(outputs: int | None, labels: Sequence[str], *, classifier: bool) -> str:
    """Labels tell of classes; one output is one value; and of anything else only a classifier's meaning is
    known."""
    if labels or (classifier and outputs != 1):
        return "classify"
    return "regress" if outputs == 1 else "tensor"


def _read_how(task: str) -> tuple[str, ...]:
    """What shapes can't tell of a task's outputs."""
    told = {
        "classify": "activation: softmax (one class is right); for classes that are right or wrong each for "
        "itself, activation: sigmoid",
        "regress": "mean and std: of the target, if training standardised it; a single output may also be a "
        "class (task: classify)",
        "tensor": "task: raw outputs are returned; classify (with labels) or regress say what they mean",
    }
    return (told[task],) if task in told else ()
