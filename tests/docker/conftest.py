"""One project, built and brought up by the commands that users type."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.composed import Composed, require_engine


@pytest.fixture(scope="module")
def composed() -> Iterator[Composed]:
    """Every model that has its weights (or can fetch them) answers."""
    project = Composed(require_engine())
    try:
        project.build()
        project.up()
        yield project
    except BaseException:
        if project.container():
            print(project.said()[-6000:], project.log()[-6000:], sep="\n")
        raise
    finally:
        project.down()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failing test shows what the container said, and the end of the server's log."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    project = getattr(item, "funcargs", {}).get("composed")
    if report.failed and isinstance(project, Composed):
        report.sections.append(("docker-compose logs", project.said()[-6000:]))
        report.sections.append(("TorchServe's log", project.log()[-6000:]))
