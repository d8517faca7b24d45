"""One thread for torch: on tensors this small, threads that wait for each other take most of the time.

And for tests of commands, which bring `places` of their own: time that stands still until it is waited for,
a supervisor that follows what they ask for, and a console that is read.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import pytest
from rich.console import Console

from scripts.places import Places
from scripts.state import asking, durable
from tests.fakes import Clock, stop_time
from tests.states import Follower

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, which nothing above does


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return stop_time(monkeypatch, asking)


@pytest.fixture
def follower(places: Places, clock: Clock) -> Iterator[Follower]:
    with durable.locked(places.supervisor_lock):
        found = Follower(places)
        clock.each = found.step
        found.step()
        yield found


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)
