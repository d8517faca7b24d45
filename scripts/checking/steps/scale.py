"""Whether inputs are of the size that training's were: 0..255 for 0..1, or divided by 255 twice.

A network with BatchNorm remembers: the first one that is reached keeps the mean and variance, by channel, of
what entered it in training. Without one, what is left to judge by is how far the inputs spread, and whether
what comes out is of a size that training leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from msgspec import UNSET

from handlers.recipe import Model
from handlers.tasks import Classify
from scripts.checking.finding import Finding
from scripts.checking.steps.mistakes import passes, prepared
from scripts.checking.steps.passes import Normalised
from scripts.checking.steps.trial import NotTried, Trial

FACTOR = 8.0
"""How much stronger or weaker than in training is no accident of a few samples."""

FLAT = 0.05
"""Prepared pictures whose values spread less than this show nothing; scaling twice leaves about 1/255."""

HUGE = 20.0
"""Prepared values beyond this aren't scaled, as nearly every network's are; with 0..255 unscaled they are."""

SATURATED = 100.0
"""Scores before softmax that training leaves are rarely beyond 30."""

PLACES = 64
"""Values of a channel that are enough to tell of inputs too small: a row of a table may be all zeros."""

TOO_LARGE = "compare with training: pictures are 0..255 before rescale_factor (1/255), mean and std"
TOO_SMALL = "compare with training: rescale_factor 1/255 is applied to 0..255; is there another division?"
NUMBERS = "compare handler.input's mean and std, and the unit of the samples' values, with training"


def scale(trial: Trial) -> Iterator[Finding]:
    inputs = prepared(trial)
    if not inputs:
        raise NotTried("needs a sample")
    if not inputs[0].is_floating_point():
        raise NotTried("indices have none")
    seen = passes(trial)
    flat = _flat(trial.model, inputs)
    norms = [one for one in seen.norms[: len(inputs)] if ((one.mean != 0) | (one.var != 1)).any()]
    tiny = max(map(abs, _span(inputs))) < FLAT  # no offset beside which padding with zeros would be strong
    if flat is not None and not (tiny and norms and 1 / FACTOR < _factor(norms) < FACTOR):
        yield flat
    elif norms:
        yield _compared(trial.model, norms)
    else:
        yield _guessed(trial, inputs, seen.outputs[: len(inputs)])


def _flat(model: Model, inputs: list[torch.Tensor]) -> Finding | None:
    """Pictures that are all but one colour, once prepared."""
    if not _pictures(model):
        return None
    spread = max(_spread(one) for one in inputs)
    if spread >= FLAT:
        return None
    return Finding(
        "input scale",
        "warn",
        f"the pixels of a prepared sample differ by {spread:.2g} at most: very likely scaled twice, or blank",
        TOO_SMALL,
    )


def _spread(picture: torch.Tensor) -> float:
    """The largest difference between two values of one channel; of all values where they are flattened."""
    by_channel = picture.reshape(picture.shape[0] if picture.dim() > 1 else 1, -1)
    return float((by_channel.amax(1) - by_channel.amin(1)).max())


def _factor(norms: list[Normalised]) -> float:
    """How much stronger than in training all channels together are."""
    power = torch.stack([one.seen for one in norms]).mean(0).sum()
    return float((power / (norms[0].var + norms[0].mean.square()).sum()).sqrt())


def _compared(model: Model, norms: list[Normalised]) -> Finding:
    """By BatchNorm's memory, which is as sure as can be: scale enters it as it is."""
    factor = _factor(norms)
    told = f"what enters {norms[0].module} is {factor:.3g} times as strong as in training"
    told = f"{told} (over {len(norms)} samples)"
    pictures = _pictures(model)
    if factor > FACTOR:
        unscaled = ": 0..255 fed to a model trained on 0..1, it seems" if factor > 50 and pictures else ""
        return Finding("input scale", "warn", told + unscaled, TOO_LARGE if pictures else NUMBERS)
    if factor >= 1 / FACTOR:
        return Finding("input scale", "pass", told)
    if sum(one.places for one in norms) < PLACES:
        return Finding("input scale", "pass", f"{told}; they are too few to tell more")
    twice = f"{told}: scaled twice, it seems"
    return Finding("input scale", "warn", twice, TOO_SMALL if pictures else NUMBERS)


def _guessed(trial: Trial, inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> Finding:
    """Without BatchNorm: large inputs alone prove nothing, saturated outputs beside them nearly do."""
    low, high = _span(inputs)
    strength = max(-low, high)
    largest = max(float(one.abs().max()) for one in outputs)
    told = f"prepared samples lie within {strength:.3g} of 0"
    limit = _limit(trial)
    if strength > HUGE and limit is not None and largest > limit:
        sure = f"{told} and outputs reach {largest:.3g}: very likely not scaled as in training"
        return Finding("input scale", "warn", sure, TOO_LARGE if _pictures(trial.model) else NUMBERS)
    if strength > HUGE and limit is None and _pictures(trial.model):
        return Finding(
            "input scale", "warn", f"{told}, which few networks are trained on: not sure", TOO_LARGE
        )
    return Finding("input scale", "pass", f"{told}, outputs within {largest:.3g}; no BatchNorm tells more")


def _limit(trial: Trial) -> float | None:
    """What raw outputs hardly exceed; None where nothing says."""
    if isinstance(trial.task, Classify):
        return SATURATED
    return HUGE if trial.model.output.std is not UNSET else None


def _pictures(model: Model) -> bool:
    numbers = model.tensor_input()
    layered = numbers is not None and len(numbers.shape) == 3 and numbers.shape[0] in (1, 3)
    return model.image_input() is not None or layered


def _span(inputs: list[torch.Tensor]) -> tuple[float, float]:
    return min(float(one.min()) for one in inputs), max(float(one.max()) for one in inputs)
