"""The page at GET /, in headless Chromium: a real prediction, an error, a dead model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, FilePayload, expect

from scripts.calling.inference import Inference
from tests.browser.visiting import Visits, chromium
from tests.server.running import Running

pytestmark = [pytest.mark.server, pytest.mark.browser]

NAME = "digits_cnn"
SOON = 15_000  # ms; what the page looks at every two seconds
BACK = 90_000  # ms; TorchServe and all its models, on two busy cores


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visits]:
    visits = Visits(browser)
    yield visits
    visits.end()
    assert not visits.complaints


def test_it_comes_with_its_policy(server: Running) -> None:
    with requests.Session() as session:
        session.trust_env = False
        response = session.get(server.config.gateway.url + "/", timeout=10)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.text.startswith("<!doctype html>")


def test_a_sample_is_answered_as_over_rest(server: Running, visit: Visits) -> None:
    folder = server.places.models / NAME
    sent = (folder / "samples" / "seven.png").read_bytes()
    best = server.inference.predict(NAME, sent, content_type="image/png").json()["predictions"][0]
    page = visit(f"{server.config.gateway.url}/#/{NAME}")
    page.get_by_role("button", name="seven.png").click()
    first = page.locator("#answer .bars li").first
    expect(first).to_contain_text(best["label"])
    expect(first).to_contain_text(f"{best['score'] * 100:.1f} %")
    expect(page.locator("#answer .meta div", has_text="version").locator("dd")).to_have_text("1.0")
    digest = hashlib.sha256((folder / "weights.pth").read_bytes()).hexdigest()
    expect(page.locator("#card")).to_contain_text(digest)
    row = page.locator("#live tr", has=page.get_by_role("rowheader", name=NAME, exact=True))
    expect(row).to_contain_text("ready", timeout=SOON)
    expect(row).to_contain_text("ms", timeout=SOON)


def test_numbers_are_answered_too(server: Running, visit: Visits) -> None:
    page = visit(f"{server.config.gateway.url}/#/diabetes")
    page.get_by_role("button", name="patient3.json").click()
    expect(page.locator("#answer .values")).to_contain_text("progression")
    expect(page.locator("#answer .values dd")).to_have_text("160.73")


def test_a_text_in_place_of_a_picture_is_refused_in_the_server_s_words(
    server: Running, visit: Visits
) -> None:
    refused = server.inference.predict(NAME, b"no picture", content_type="application/octet-stream")
    error = refused.json()["error"]
    page = visit(f"{server.config.gateway.url}/#/{NAME}")
    expect(page.locator("#title")).to_have_text(NAME)
    file = FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"no picture")
    page.locator("#file").set_input_files(file)
    told = page.locator("#answer .told")
    expect(told).to_contain_text(f"{refused.status} · {error['code']}")
    expect(told).to_contain_text(error["message"], ignore_case=True)
    expect(told).to_contain_text(error["hint"], ignore_case=True)


def test_a_dead_model_is_told_and_found_again(server: Running, visit: Visits) -> None:
    page = visit(f"{server.config.gateway.url}/#/{NAME}")
    expect(page.locator("#list a[aria-current]")).to_contain_text("ready")
    server.child("java").kill()
    server.wait(lambda: _refused(server.inference), 20)
    page.get_by_role("button", name="seven.png").click()
    told = page.locator("#answer .told")
    expect(told).to_contain_text(f"{NAME} can't answer just now")
    expect(told).to_contain_text("503 · not_ready")
    expect(page.locator("#list a[aria-current]")).to_contain_text("not ready", timeout=SOON)
    expect(told).to_contain_text("It can answer again", timeout=BACK)
    page.get_by_role("button", name="Send it again").click()
    expect(page.locator("#answer .bars li").first).to_contain_text("seven")
    server.wait_ready()


def _refused(inference: Inference) -> bool:
    """Whether the gateway knows by now; until then it tries, and says `unavailable`."""
    answer = inference.predict(NAME, b"{}", content_type="application/json")
    return answer.status == 503 and answer.json()["error"]["code"] == "not_ready"
