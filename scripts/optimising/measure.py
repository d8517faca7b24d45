"""Trying what may execute a model, in a clean interpreter.

    python -I -B measure.py FOLDER SCRATCH SECONDS

SCRATCH/report.jsonl becomes lines of JSON, of which seen.py tells; artifacts lie in SCRATCH/built; rows of
SCRATCH/out.json aren't tried again. A candidate that takes too long ends the interpreter, and
SCRATCH/stuck.txt holds what it was doing.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(folder: Path, scratch: Path, seconds: float) -> None:
    began = time.monotonic()
    sys.path.insert(0, str(ROOT))
    import msgspec
    import torch

    from handlers.runtimes.decision import Tried
    from scripts.optimising.seen import Began
    from scripts.optimising.trials import Trials

    torch.manual_seed(0)
    out = msgspec.json.decode((scratch / "out.json").read_bytes(), type=list[Tried])
    under_way = None
    left = seconds - (time.monotonic() - began)  # imports take some, too
    with (scratch / "report.jsonl").open("wb") as lines, (scratch / "stuck.txt").open("w") as trace:
        for seen in Trials(folder, scratch / "built", left, out).walk():
            if isinstance(seen, Began):
                # from a thread that needs no GIL, so that it reaches what never comes back to Python
                faulthandler.dump_traceback_later(seen.limit, exit=True, file=trace)
                if seen.candidate == under_way:
                    continue
                under_way = seen.candidate
            lines.write(msgspec.json.encode(seen) + b"\n")
            lines.flush()  # what follows may end the interpreter


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), float(sys.argv[3]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that the model's code left may never end
