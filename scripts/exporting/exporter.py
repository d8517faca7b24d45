"""One export in a clean interpreter: the model's code sees the staged files and site-packages alone.

    python -I exporter.py STAGED TARGET FOLDER TOLD

FOLDER is filled; TOLD becomes one line of JSON: parity.json, or what was refused.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(staged: Path, target: str, folder: Path, told: Path) -> None:
    warnings.simplefilter("ignore")  # exporters warn of their own insides
    sys.path.insert(0, str(staged))
    import handlers  # the staged copy; the other one, in ROOT, comes too late

    assert Path(handlers.__file__ or "").is_relative_to(staged)
    sys.path.insert(0, str(ROOT))
    import msgspec

    from handlers.errors import Refusal
    from scripts.exporting import told as telling
    from scripts.exporting import writing
    from scripts.exporting.targets import NAMES, named

    name = next(one for one in NAMES if one == target)
    chosen = named(name)  # imports it, as long as it can be
    _forget("scripts", ROOT)  # the model's folder may have a `scripts` of its own, or miss one
    try:
        found: object = telling.Written(writing.write(staged, folder, name, chosen))
    except Refusal as error:
        found = telling.Refused(error.message, error.hint)
    told.write_bytes(msgspec.json.encode(found))


def _forget(package: str, root: Path) -> None:
    """As if the package had never been imported, nor could be from there."""
    sys.path.remove(str(root))
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


if __name__ == "__main__":
    staged, folder, told = (Path(word).resolve() for word in (sys.argv[1], *sys.argv[3:5]))
    main(staged, sys.argv[2], folder, told)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that the model's code left may never end
