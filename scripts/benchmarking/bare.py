"""The bare loop as a contestant: as many processes as cores, full batches, no server."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from handlers.cores import cores, threads
from handlers.recipe import Recipe
from scripts.benchmarking.contestant import Contestant
from scripts.benchmarking.figures import Round
from scripts.benchmarking.program import Program
from scripts.benchmarking.target import Target

PROGRAM = "scripts.benchmarking.bare_loop"


class BareLoop(Contestant):
    """What the cores can do at most: so many connections are so many requests at hand at any time.

    They are shared out among the processes, at most a full batch for each. A single one is a single
    process with the threads of one of the model's workers.
    """

    name = "bare loop"

    def __init__(self, folder: Path, found: Recipe, target: Target, logs: Path, stack: ExitStack) -> None:
        def start(threads: int, name: str) -> Program:
            words = [PROGRAM, str(folder), target.file, target.content_type, str(threads)]
            log = logs / f"{name}.log"
            return stack.enter_context(
                Program("the bare loop", [sys.executable, "-m", *words], log, asked=True)
            )

        self._batch, self._items = found.batch_size, target.items
        many, alone = cores(), threads(found)
        each = max(1, cores() // many)
        self._programs = [start(each, f"bare{number}") for number in range(many)]
        self._lone = self._programs[0] if alone == each else start(alone, "lone")
        told = [program.hear() for program in self._all()]
        self.runtime = told[0].removeprefix("ready ")
        self.what = f"the same steps by {self.runtime}, in {many} processes, no server"

    def load(self, connections: int, seconds: float) -> Round:
        """Latencies are those of batches."""
        asked = self._programs[:connections] if connections > 1 else [self._lone]
        batch = min(self._batch, -(-connections // len(asked)))
        for program in asked:
            program.tell(f"{batch} {seconds}")
        took = [np.array(json.loads(program.hear())) for program in asked]
        rate = sum(len(one) * batch * self._items / one.sum() for one in took)
        p50, p95, p99 = (np.percentile(np.concatenate(took), [50, 95, 99]) * 1e3).tolist()
        return Round(seconds, round(rate * seconds), p50, p95, p99)

    def pids(self) -> list[int]:
        return [program.pid for program in self._all()]

    def _all(self) -> list[Program]:
        return [*self._programs, *([] if self._lone in self._programs else [self._lone])]
