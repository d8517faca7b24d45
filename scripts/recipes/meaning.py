"""What a model's outputs mean: the task, and the labels in the order of the outputs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import UNSET

from handlers.recipe import Output
from handlers.tasks.classify import TOP_K, read_labels
from scripts.errors import CommandError
from scripts.places import shown
from scripts.recipes.asked import Asked
from scripts.recipes.decided import Meaning

LABELS = "labels.txt"

STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What ends a line, steers a terminal, turns the direction of text or can't be written as UTF-8."""

LONGEST = 1000
"""Characters of a label."""


def decide(
    asked: Asked, outputs: int | None, found: Sequence[str], *, classifier: bool, maps: bool = False
) -> Meaning:
    """The task and its output; raises CommandError when the labels don't fit the outputs.

    `outputs` is how many values the network gives, None where that isn't known; `found` are labels that
    the checkpoint (or its publisher) holds; `classifier` says that the architecture is a published one,
    `maps` that the last layer gives no vector: whatever has classes then, it isn't the whole output.
    """
    fitting = not maps if outputs is None else len(found) == outputs
    labels = _labels(asked, outputs, found if fitting else ())
    task = asked.task or _task(outputs, labels, classifier=classifier)
    unknown = _unknown(task, labels, found)
    if task != "classify":
        if asked.labels is not None:
            raise CommandError(f"--labels mean nothing to the task {task}", hint="leave one of them out")
        return Meaning(task, assumed=not asked.task and task == "regress", unknown=unknown)
    top_k = min(TOP_K, outputs or len(labels) or TOP_K)
    output = Output(labels=LABELS if labels else UNSET, top_k=top_k)
    return Meaning(task, output, tuple(labels), unknown=unknown)


def text(labels: Sequence[str]) -> str:
    """A label a line, whatever characters a checkpoint has put into them."""
    return "".join(f"{STEERING.sub('�', label[:LONGEST])}\n" for label in labels)


def _unknown(task: str, labels: Sequence[str], found: Sequence[str]) -> tuple[str, ...]:
    """What the owner has to decide."""
    told = []
    if found and not labels:
        told.append(f"labels: the checkpoint's {len(found)} aren't taken, because the outputs are others")
    if task == "classify" and not labels:
        told.append("labels: without handler.output.labels, classes are called by their index")
    return (*told, *_read_how(task))


def _labels(asked: Asked, outputs: int | None, found: Sequence[str]) -> Sequence[str]:
    if asked.labels is None:
        return found if asked.task in ("", "classify") else ()
    if not asked.labels.is_file():
        raise CommandError(f"{shown(asked.labels)} isn't there", hint="correct --labels")
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
