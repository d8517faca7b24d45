"""The observed state is there while a supervisor lives, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.places import Places
from scripts.state import durable, observed
from scripts.state.observed import SeenModel, SeenVersion
from tests.states import seen

STATE = seen(
    7,
    a=SeenModel("2.0", {"1.0": SeenVersion("leaving", 1), "2.0": SeenVersion("ready", 2, 2, active=3)}),
)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(state=tmp_path / "state")


@pytest.fixture
def supervised(places: Places) -> Iterator[None]:
    with durable.locked(places.supervisor_lock):
        yield


@pytest.mark.usefixtures("supervised")
def test_what_is_published_is_read(places: Places) -> None:
    observed.publish(places, STATE)
    assert observed.load(places) == STATE


def test_what_a_supervisor_left_that_has_ended_counts_for_nothing(places: Places) -> None:
    observed.publish(places, STATE)
    assert observed.load(places) is None


@pytest.mark.usefixtures("supervised")
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe"])
def test_without_a_whole_file_nothing_is_seen(places: Places, content: bytes | None) -> None:
    if content is not None:
        (places.state / "observed.json").write_bytes(content)
    assert observed.load(places) is None


def test_a_version_is_found_by_model_and_number() -> None:
    found = STATE.version("a", "2.0")
    assert found is not None
    assert found.active == 3
    assert STATE.version("a", "3.0") is None
    assert STATE.version("b", "2.0") is None
