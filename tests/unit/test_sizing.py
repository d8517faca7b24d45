"""Workers times threads are the machine's cores, within its memory."""

import pytest

from scripts.recipes.sizing import Sizing, sizing

GIB = 2**30


@pytest.mark.parametrize(
    ("cores", "memory", "expected"),
    [
        (1, 64 * GIB, Sizing(1, 1)),
        (2, 64 * GIB, Sizing(2, 1)),
        (6, 64 * GIB, Sizing(3, 2)),
        (7, 64 * GIB, Sizing(1, 7)),
        (16, 64 * GIB, Sizing(4, 4)),
        (16, 3 * GIB, Sizing(2, 8)),
        (16, GIB, Sizing(1, 16)),
    ],
)
def test_workers_and_threads_fill_the_cores_once(cores: int, memory: int, expected: Sizing) -> None:
    assert sizing(cores, memory) == expected


def test_this_machine_gets_at_least_one_worker() -> None:
    found = sizing()
    assert found.workers >= 1
    assert found.threads >= 1
