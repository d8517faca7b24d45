"""How many processor cores this process may really use."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import UNSET

from handlers.recipe import Recipe

CGROUP = Path("/sys/fs/cgroup")


def cores(root: Path = CGROUP) -> int:
    """Cores by affinity and by the cgroup's CPU quota, at least 1."""
    allowed = len(os.sched_getaffinity(0))
    quota = _quota(root)
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def threads(recipe: Recipe) -> int:
    """Threads for one of a model's workers: as the recipe says, else all of them fill the cores once."""
    asked = recipe.handler.threads
    return max(1, cores() // recipe.most_workers) if asked is UNSET else asked


def _quota(root: Path) -> float | None:
    """Cores' worth of CPU time for each period; None without a limit (cgroup v2, then v1)."""
    try:
        limit, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if limit in ("max", "-1"):
        return None
    return int(limit) / int(period)
