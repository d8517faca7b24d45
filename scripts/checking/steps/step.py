"""Step: one thing to look at in a staged archive; those whose needs are met run, whatever failed before."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from handlers.errors import Refusal
from scripts.checking.finding import Finding
from scripts.checking.seen import Began, Found
from scripts.checking.steps.trial import NotTried, Trial, named, not_tried


class Step(Struct, frozen=True):
    """What it looks at, the steps that must have passed, and the look itself.

    The look gives the detail of what passed, or findings of its own; it raises a Refusal for what
    `archive` refuses, and NotTried where there is nothing to look at.
    """

    what: str
    needs: tuple[str, ...]
    look: Callable[[Trial], str | Iterable[Finding]]
    advice: bool = False
    """Whether it can only warn: what breaks in looking is no fault of the model."""


def walk(trial: Trial, steps: Sequence[Step]) -> Iterator[Began | Found]:
    """Each step with its findings, in order; a step that didn't pass closes those that need it."""
    closed: dict[str, str] = {}  # what didn't pass -> the step that began it
    for step in steps:
        behind = next((closed[need] for need in step.needs if need in closed), None)
        if behind is None:
            yield Began(step.what, trial.patience, step.advice)
            found = list(_looked(trial, step))
        else:
            found = [_skip(step, not_tried(behind))]
        verdicts = {one.finding.verdict for one in found}
        if verdicts & {"fail", "skip"}:
            closed[step.what] = behind or step.what
        if "fail" in verdicts:
            trial.failed.append(step.what)
        yield from found


def findings(trial: Trial, steps: Sequence[Step]) -> list[Finding]:
    """The findings alone."""
    return [one.finding for one in walk(trial, steps) if isinstance(one, Found)]


def _looked(trial: Trial, step: Step) -> Iterator[Found]:
    try:
        told = step.look(trial)
        yield from [Found(Finding(step.what, "pass", told))] if isinstance(told, str) else map(Found, told)
    except NotTried as reason:
        yield _skip(step, str(reason))
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # the last two are the owner's code, too
        yield _skip(step, f"can't be told ({named(error)})") if step.advice else refused(step.what, error)


def _skip(step: Step, why: str) -> Found:
    return Found(Finding(step.what, "skip", why))


def refused(what: str, error: BaseException) -> Found:
    """What `archive` refuses: a Refusal with its remedy, anything else with its traceback."""
    cause = traceback.format_exc() if error.__cause__ is not None or not isinstance(error, Refusal) else ""
    if isinstance(error, Refusal):
        return Found(Finding(what, "fail", error.message, error.hint), cause)
    return Found(Finding(what, "fail", named(error)), cause)
