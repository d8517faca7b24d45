"""How many processor cores this process may really use."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cores(root: Path = CGROUP) -> int:
    """Cores by affinity and by the cgroup's CPU quota, at least 1."""
    allowed = len(os.sched_getaffinity(0))
    quota = _quota(root)
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def threads(most_workers: int) -> int:
    """Threads for one of a model's workers, so that all of them together fill the cores once."""
    return max(1, cores() // most_workers)


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
