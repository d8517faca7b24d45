"""What a worker would find too late, found before packing: run in a clean interpreter on the staged archive.

    python -I rehearse.py STAGED REPORT STUCK [advised]

The model's code sees only the staged files and site-packages, as in a worker, so `handlers` here is the
archive's own copy. REPORT becomes lines of JSON, of which scripts/checking/seen.py tells. A step that takes
too long ends the interpreter, and STUCK holds what it was doing.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scripts.checking.seen import Seen

ROOT = Path(__file__).resolve().parents[2]


def main(folder: Path, report: Path, stuck: Path, *, advised: bool) -> None:
    import msgspec

    with report.open("wb") as lines, stuck.open("w") as trace:
        for seen in _seen(folder, advised=advised):
            lines.write(msgspec.json.encode(seen) + b"\n")
            lines.flush()  # what follows may end the interpreter
            limit = getattr(seen, "limit", 0)
            if limit:  # from a thread that needs no GIL, so that it reaches what never comes back to Python
                faulthandler.dump_traceback_later(limit, exit=True, file=trace)
            else:
                faulthandler.cancel_dump_traceback_later()


def _seen(folder: Path, *, advised: bool) -> Iterator[Seen]:
    sys.path.insert(0, str(folder))
    import handlers  # the archive's own; the other one, in ROOT, comes too late

    assert Path(handlers.__file__ or "").is_relative_to(folder)
    sys.path.insert(0, str(ROOT))
    from scripts.checking import seen, steps
    from scripts.checking.steps import step, trial

    _forget("scripts", ROOT)  # the model's folder may have a `scripts` of its own, or miss one
    try:
        import entry  # type: ignore[import-not-found]  # as TorchServe imports it
        import torch

        assert entry.Entry is not None
        torch.manual_seed(0)
        opened = trial.Trial(folder)
    except Exception as error:
        yield step.refused("archive", error)
        return
    yield from step.walk(opened, [*steps.REQUIRED, *(steps.ADVISED if advised else ())])
    yield seen.Ended(opened.recorded)


def _forget(package: str, root: Path) -> None:
    """As if the package had never been imported, nor could be from there."""
    sys.path.remove(str(root))
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


if __name__ == "__main__":
    given = [Path(word).resolve() for word in sys.argv[1:4]]
    main(given[0], given[1], given[2], advised=sys.argv[4:] == ["advised"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that the model's code left may never end
