"""What a worker would find too late, found before packing: run in a clean interpreter on the staged archive.

    python -I rehearse.py STAGED REPORT [advised]

The model's code sees only the staged files and site-packages, as in a worker, so `handlers` here is the
archive's own copy. REPORT becomes lines of JSON, of which scripts/checking/seen.py tells.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scripts.checking.seen import Seen

ROOT = Path(__file__).resolve().parents[2]


def main(folder: Path, report: Path, *, advised: bool) -> None:
    import msgspec

    with report.open("wb") as lines:
        for seen in _seen(folder, advised=advised):
            lines.write(msgspec.json.encode(seen) + b"\n")
            lines.flush()  # what follows may end the interpreter


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
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), advised=sys.argv[3:] == ["advised"])
