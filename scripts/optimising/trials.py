"""Trials: each candidate built, opened, held to the gate and timed; then one is kept.

Runs in an interpreter of its own (measure.py): a runtime may end it, and the model's own code runs here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import torch
from msgspec.structs import replace

from handlers import processor, recipe, runtimes, seal
from handlers.cores import threads
from handlers.errors import Refusal
from handlers.handler import Handler
from handlers.runtimes import decision
from handlers.runtimes.decision import EAGER, Candidate, Decision, Tried
from scripts.checking.steps.runtime import device
from scripts.optimising import choosing
from scripts.optimising.candidates import candidates, simplicity
from scripts.optimising.ground import Ground, open_ground
from scripts.optimising.making import Making, dropped
from scripts.optimising.seen import Began, Decided, Dropped, Refused, Seen
from scripts.optimising.timing import EACH, Clock

LITTLE = 0.3
"""ms of eager's full batch, below which no runtime can win what a request would notice."""

LOOKS, LONG_ENOUGH = 50, 0.2
"""Calls, or s, by which that is seen."""

SHARE = 0.5
"""Of the time that is left, what one candidate may take: one that hangs leaves the others theirs."""

PASSES = 3
"""Of both batches, in eager's time: what the gate and the clock ask of each candidate at least."""

GRACE = 30.0
"""s beyond the time that is given, before a candidate that is being timed is ended."""


class Trials:
    """One model's; `out` are rows of an earlier interpreter, which aren't tried again."""

    def __init__(self, folder: Path, built: Path, seconds: float, out: Sequence[Tried] = ()) -> None:
        self._folder = folder
        self._built = built
        self._deadline = time.monotonic() + seconds
        self._out = {row.candidate: row for row in out}
        self._passed: dict[Candidate, tuple[Handler, Tried]] = {}

    def walk(self) -> Iterator[Seen]:
        """What happens, as it happens."""
        yield Began(None, self._left() + GRACE)  # without the reference there is no decision at all
        try:
            found = recipe.load(self._folder)
            inputs = decision.inputs(
                found.handler, self._folder
            )  # before all: what changes meanwhile is told
            ground = open_ground(self._folder, device(found))
        except Refusal as error:
            yield Refused(error.message, error.hint)
            return
        yield from self._try(ground)
        yield from self._time(ground)
        yield Decided(self._decision(ground, inputs))

    def _try(self, ground: Ground) -> Iterator[Seen]:
        """Each candidate as far as the gate; eager float32 passes in any case."""
        model = ground.handler.recipe.handler
        ways = candidates(model, ground.handler.device, ground.batches[1].dim())
        self._passed[EAGER] = ground.handler, Tried(EAGER, "kept", error=0.0)
        eager = _seconds(ground)
        reserve = 2 * EACH + PASSES * sum(eager)
        if model.runtime == "auto" and model.precision == "float32" and eager[1] * 1000 < LITTLE:
            self._put_aside(ways, f"eager takes less than {LITTLE:g} ms for a full batch")
            ways = []
        making = Making(ground, self._folder, self._built)
        for one in ways:
            if one in self._out:
                continue
            if self._left() < reserve * (len(self._passed) + 1) and one != EAGER:
                self._put_aside([one], choosing.LATE)
                continue
            yield Began(one, self._left() + GRACE if one == EAGER else max(1.0, self._left() * SHARE))
            yield from self._made(making, one)

    def _made(self, making: Making, one: Candidate) -> Iterator[Seen]:
        try:
            self._passed[one] = making.passed(one)
        except (Exception, SystemExit) as error:
            making.remove(one)
            if one != EAGER:  # which needs no artifacts
                self._out[one] = dropped(one, error)
                yield Dropped(self._out[one])

    def _put_aside(self, ways: Sequence[Candidate], why: str) -> None:
        self._out |= {one: Tried(one, "not tried", why) for one in ways if one != EAGER}

    def _time(self, ground: Ground) -> Iterator[Seen]:
        """The survivors by turns, at batch 1 and full."""
        if self._passed[EAGER][0] is ground.handler:
            (self._built / EAGER.folder).mkdir(parents=True, exist_ok=True)
        every = list(self._passed)
        clock = Clock([self._passed[one][0].forward for one in every], ground.batches)
        for number in clock.measure(self._deadline):
            yield Began(every[number], self._left() + GRACE)
        for one, (ms_one, ms_full) in zip(every, clock.medians(), strict=True):
            handler, row = self._passed[one]
            self._passed[one] = handler, replace(row, ms_one=ms_one, ms_full=ms_full)

    def _decision(self, ground: Ground, inputs: str) -> Decision:
        found = ground.handler.recipe
        timed = [row for _, row in self._passed.values()]
        kept = choosing.chosen(timed, found.handler)
        out = [row for row in self._out.values() if row.candidate != EAGER]
        rows = [*choosing.judged(timed, kept, found.handler), *out]
        return Decision(
            chosen=kept,
            inputs=inputs,
            processor=processor.kind(ground.handler.device),
            libraries={name: metadata.version(name) for name in runtimes.named(kept.runtime).LIBRARIES},
            threads=threads(found),
            batch=found.batch_size,
            tried=tuple(sorted(rows, key=lambda row: simplicity(row.candidate))),
            files={
                f"{kept.folder}/{name}": one for name, one in seal.digests(self._built / kept.folder).items()
            },
        )

    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())


def _seconds(ground: Ground) -> list[float]:
    """Of eager's batch of one and its full batch, at best."""
    return [_best(ground, batch) for batch in ground.batches]


def _best(ground: Ground, batch: torch.Tensor) -> float:
    until = time.monotonic() + LONG_ENOUGH
    took: list[float] = []
    while len(took) < LOOKS and (len(took) < 2 or time.monotonic() < until):
        began = time.perf_counter()
        ground.handler.forward(batch)
        took.append(time.perf_counter() - began)
    return min(took)
