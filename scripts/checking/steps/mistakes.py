"""Mistakes that serve without complaint: each is a warning with what was seen, and never a refusal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from handlers import golden
from handlers.errors import Refusal, listed
from handlers.tasks import Classify
from scripts.checking.finding import Finding
from scripts.checking.steps.example import neighbours
from scripts.checking.steps.passes import Watched
from scripts.checking.steps.trial import NotTried, Trial
from scripts.checking.steps.watch import watched

MOST = 16
"""Samples that are looked at."""

MANY = 3
"""Different inputs from which on an output that never changes, or always sums to 1, is no accident."""


def prepared(trial: Trial) -> list[torch.Tensor]:
    """The first samples as the network gets them; those that can't be read are told of elsewhere."""
    found = []
    for sample in trial.model.samples[:MOST]:
        try:
            found.append(trial.task.prepare(golden.request(trial.recipe, trial.folder, sample).items[0]))
        except (Refusal, OSError):
            continue
    return found


def passes(trial: Trial) -> Watched:
    """Forward passes on every sample, and on the example and others made of it; done once."""
    if not hasattr(trial, "watched"):
        inputs = prepared(trial) or [trial.example]
        trial.watched = watched(trial, inputs, neighbours(trial.example, MANY))
    return trial.watched


def dropout(trial: Trial) -> Iterator[Finding]:
    calls = list(dict.fromkeys(passes(trial).random))
    if not calls:
        yield Finding("dropout", "pass", "is off, and no random numbers are drawn")
        return
    yield Finding(
        "dropout",
        "warn",
        f"active or random in eval mode: {listed(map(str, calls), 3)}",
        "give F.dropout training=self.training, and call no train() in forward"
        if any("dropout" in call.what for call in calls)
        else "let forward draw random numbers in training alone: if self.training",
    )


def batch_norm(trial: Trial) -> Iterator[Finding]:
    """BatchNorm that normalises by the batch at hand, statistics that serving changes, none from training."""
    seen = passes(trial)
    layers = [one for one in trial.network.modules() if isinstance(one, _NormBase)]
    tracking = [one for one in layers if one.running_var is not None]
    if seen.by_batch:
        calls = listed(dict.fromkeys(call.module for call in seen.by_batch), 3)
        yield Finding(
            "BatchNorm",
            "warn",
            f"normalises by the batch at hand instead of training's statistics: {calls}",
            "an answer depends on its batch: train with track_running_stats=True, and keep it in eval mode",
        )
    if seen.changed:
        yield Finding(
            "BatchNorm" if layers else "buffers",
            "warn",
            f"a forward pass changes {listed(seen.changed, 3)}: answers depend on what was asked before",
            "keep BatchNorm in eval mode, and write no buffers in forward",
        )
    if tracking and not any(map(_was_trained, tracking)):
        yield Finding(
            "BatchNorm",
            "warn",
            f"running_mean is 0 and running_var 1 everywhere ({len(tracking)} layers): never trained",
            "take the checkpoint that training left at its end",
        )
    elif not seen.by_batch and not seen.changed:
        told = f"{len(tracking)} layers use training's statistics" if tracking else "there is none"
        yield Finding("BatchNorm", "pass", told)


def _was_trained(layer: nn.Module) -> bool:
    mean, var = layer.running_mean, layer.running_var
    assert isinstance(mean, torch.Tensor)
    assert isinstance(var, torch.Tensor)
    return bool((mean != 0).any() or (var != 1).any())


def outputs(trial: Trial) -> Iterator[Finding]:
    """Outputs that never change, and scores that were made into probabilities before the task does."""
    given = list(_different(passes(trial)))
    problems = [
        *_constant(given),
        *(_probabilities(trial, given) if isinstance(trial.task, Classify) else []),
    ]
    yield from problems or [Finding("outputs", "pass", f"vary with the input ({len(given)} tried)")]


def _different(seen: Watched) -> Iterator[torch.Tensor]:
    """The flattened outputs for inputs that differ from each other."""
    known: list[torch.Tensor] = []
    for one, output in zip(seen.inputs, seen.outputs, strict=True):
        if not any(torch.equal(one, other) for other in known):
            known.append(one)
            yield output.flatten()


def _constant(given: list[torch.Tensor]) -> Iterator[Finding]:
    if len({len(one) for one in given}) != 1 or len(given) < MANY:
        raise NotTried(f"needs {MANY} different inputs that give outputs of one size")
    spread = float((torch.stack(given).amax(0) - torch.stack(given).amin(0)).max())
    size = float(given[0].abs().max())
    if spread <= 1e-6 * max(size, 1e-6):
        yield Finding(
            "outputs",
            "warn",
            f"are the same for {len(given)} different inputs (they differ by {spread:.2g})",
            "the network ignores its input: compare handler.input with training, and look at the weights",
        )


def _probabilities(trial: Trial, given: list[torch.Tensor]) -> Iterator[Finding]:
    scores = torch.stack(given)
    assert isinstance(trial.task, Classify)
    if scores.shape[1] == 1 and not trial.task.sigmoid:
        yield Finding(
            "outputs",
            "warn",
            "one output with softmax: every answer has the score 1",
            "set handler.output.activation to sigmoid, or use the task regress",
        )
    elif not trial.task.sigmoid and (scores >= 0).all() and ((scores.sum(1) - 1).abs() < 1e-4).all():
        yield Finding(
            "outputs",
            "warn",
            f"are not negative and sum to 1 for all {len(given)} inputs: softmax is applied twice",
            "let the network return what it had before softmax: it changes the scores, not their order",
        )
    elif ((scores >= 0) & (scores <= 1)).all():
        ours = "sigmoid is applied twice" if trial.task.sigmoid else "softmax is applied on top of sigmoid"
        yield Finding(
            "outputs",
            "warn",
            f"lie between 0 and 1 for all {len(given)} inputs: {ours}, as it seems",
            "let the network return what it had before sigmoid"
            + ("" if trial.task.sigmoid else ", with handler.output.activation: sigmoid as in training"),
        )


def labels(trial: Trial) -> Iterator[Finding]:
    """Labels that callers can't tell apart."""
    if not isinstance(trial.task, Classify) or trial.task.labels is None:
        raise NotTried("the recipe has none")
    counted = Counter(trial.task.labels)
    double = [f"{label!r} {count} times" for label, count in counted.items() if count > 1 and label]
    problems = ([listed(double, 4)] if double else []) + (
        [f"empty {counted['']} times"] if counted[""] else []
    )
    if problems:
        told = "; ".join(problems)
        yield Finding("labels", "warn", told, "give each output a label of its own, in training's order")
    else:
        yield Finding("labels", "pass", f"{len(counted)}, each its own")
