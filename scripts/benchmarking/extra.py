"""The extra `bench`: packages that only measuring needs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from scripts.errors import CommandError

LOADING = ("uvloop", "httptools", "matplotlib")
"""Of the client, and of plots."""

BASELINES = ("flask", "fastapi", "uvicorn", "captum")
"""Of what an endpoint is measured beside."""


def require(packages: Sequence[str]) -> None:
    """Raises CommandError where one of them isn't installed."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise CommandError(
            f"{', '.join(missing)} isn't installed",
            hint="run `scripts/pthserve setup bench`, then this again",
        )
