"""How many cores this process may use: by affinity, and by the cgroup's quota."""

import os
from pathlib import Path

import pytest
from msgspec import UNSET, UnsetType

from handlers.cores import cores, threads
from handlers.recipe import Model, Recipe, TensorInput


@pytest.fixture
def _eight_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def v2(root: Path, limit: str) -> Path:
    (root / "cpu.max").write_text(f"{limit}\n")
    return root


def v1(root: Path, quota: str, period: str = "100000") -> Path:
    (root / "cpu").mkdir()
    (root / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (root / "cpu" / "cpu.cfs_period_us").write_text(f"{period}\n")
    return root


def test_without_a_cgroup_the_affinity_counts(tmp_path: Path) -> None:
    assert cores(tmp_path) == len(os.sched_getaffinity(0))


@pytest.mark.usefixtures("_eight_allowed")
@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("150000 50000", 3),
        ("50000 100000", 1),
        ("1600000 100000", 8),
        ("nonsense", 8),
        ("", 8),
    ],
)
def test_a_quota_of_cgroup_v2_lowers_it(tmp_path: Path, limit: str, wanted: int) -> None:
    assert cores(v2(tmp_path, limit)) == wanted


@pytest.mark.usefixtures("_eight_allowed")
@pytest.mark.parametrize(("quota", "wanted"), [("-1", 8), ("300000", 3), ("50000", 1), ("9900000", 8)])
def test_a_quota_of_cgroup_v1_lowers_it(tmp_path: Path, quota: str, wanted: int) -> None:
    assert cores(v1(tmp_path, quota)) == wanted


@pytest.mark.usefixtures("_eight_allowed")
def test_a_limit_of_cgroup_v2_goes_before_one_of_v1(tmp_path: Path) -> None:
    assert cores(v1(v2(tmp_path, "500000 100000"), "200000")) == 5


def test_the_workers_of_a_model_share_the_cores() -> None:
    assert threads(recipe_of()) == cores()
    assert threads(recipe_of(cores())) == threads(recipe_of(1024)) == 1
    assert threads(recipe_of(2, threads=7)) == 7


def recipe_of(workers: int = 1, threads: int | UnsetType = UNSET) -> Recipe:
    model = Model("m", "1", "tensor", "w.pth", TensorInput([1]), threads=threads)
    return Recipe(model, min_workers=workers, max_workers=workers)
