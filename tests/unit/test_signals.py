"""A signal that asks us to end is remembered, however often it comes."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from scripts.processes import signals


@pytest.fixture
def hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize(("given", "stops"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
def test_a_hangup_stops_it_unless_nohup_started_it(given: signal.Handlers, stops: bool) -> None:
    signal.signal(signal.SIGHUP, given)
    with signals.stop_requested() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert stop.is_set() == stops
    assert signal.getsignal(signal.SIGHUP) == given


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_may_come_as_often_as_it_likes(number: signal.Signals) -> None:
    with signals.stop_requested() as stop:
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert stop.is_set()
