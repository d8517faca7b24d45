"""One Chromium and one fake gateway for the session; a page that complains fails its test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.fake_gateway import FakeGateway, serving
from tests.browser.visiting import Visits, chromium

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def running_fake() -> Iterator[FakeGateway]:
    with serving() as fake:
        yield fake


@pytest.fixture
def fake(running_fake: FakeGateway) -> FakeGateway:
    """As it was at the start."""
    running_fake.forget()
    return running_fake


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visits]:
    visits = Visits(browser)
    yield visits
    visits.end()
    assert not visits.complaints
