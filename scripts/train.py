"""train: run a model's own train.py, which knows nothing of pthserve."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from scripts import catalog
from scripts.errors import CommandError
from scripts.places import Places, shown


def train(places: Places, name: str, options: Sequence[str]) -> int:
    """The script's exit status; raises CommandError when there is no such script."""
    script = catalog.find(places, name).folder / "train.py"
    if not script.is_file():
        raise CommandError(f"{shown(script)} is not there", hint="only models with a train.py can be trained")
    return subprocess.run([sys.executable, str(script), *options], check=False).returncode
