"""The same work without a server: a loop over the same bytes, in the same steps, by the same runtime.

    python -m scripts.benchmarking.bare_loop FOLDER FILE CONTENT_TYPE THREADS

Each line of stdin, `BATCH SECONDS`, is answered by one: the seconds of each batch within that time, as JSON.
It says `ready RUNTIME` first.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch

from handlers import recipe, runtimes, tasks
from handlers.handler import Handler
from handlers.wire import Row

WARM_UP = 0.5  # s


def main(folder: Path, file: Path, content_type: str, threads: int) -> None:
    out = os.fdopen(os.dup(1), "w")  # whatever a library prints goes to the log instead
    os.dup2(2, 1)
    handler = opened(folder, threads)
    row = Row({"body": bytearray(file.read_bytes())}, {"content-type": content_type})
    check(handler, row)
    print(f"ready {handler.opened.candidate}", file=out, flush=True)
    for line in sys.stdin:
        batch, seconds = line.split()
        print(json.dumps(loop(handler, [row] * int(batch), float(seconds))), file=out, flush=True)


def opened(folder: Path, threads: int) -> Handler:
    """A worker's handler, but for the number of its threads."""
    found = recipe.load(folder)
    task, device = tasks.open_task(found.handler, folder), torch.device("cpu")
    with torch.inference_mode():
        return Handler(found, task, runtimes.opened(found.handler, folder, device, threads), device)


def check(handler: Handler, row: Row) -> None:
    """Ends the program when the request isn't answered well: refusing it would be fast."""
    (response,) = handler.predict([row])
    if response.status != 200:
        raise SystemExit(f"the request is refused ({response.status}): {response.body.decode()}")


def loop(handler: Handler, rows: list[Row], seconds: float) -> list[float]:
    """How long each batch took, of those that ended within the time, after a warm-up."""
    _batches(handler, rows, WARM_UP)
    return _batches(handler, rows, seconds)


def _batches(handler: Handler, rows: list[Row], seconds: float) -> list[float]:
    took: list[float] = []
    began = before = time.perf_counter()
    while before - began < seconds:
        handler.predict(rows)
        now = time.perf_counter()
        took.append(now - before)
        before = now
    return took


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
