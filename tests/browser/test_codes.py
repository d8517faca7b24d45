"""The curl and the Python that the page shows: run as they stand, they send what the page has sent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from scripts.places import ROOT
from tests.browser.fake_gateway import PATIENT, PNG, FakeGateway, Seen
from tests.browser.visiting import Visits

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

KEY = "a-key-of-twenty-characters"
TEN = json.dumps([0.5 * at for at in range(10)])
INLINE = {
    "one item": TEN,
    "wrapped": f'{{"input": {TEN}}}',
    "many": f"[{TEN}, {TEN}]",
    "longer than a line": json.dumps([[0.125] * 10] * 300),
    "what a shell would read": '{"image": "it\'s $HOME `id` \\\\ \\"!\\" ü"}',
    "no JSON": "@nonsense 'here'",
}
FILES = ["seven.png", "it's [1] {a,b} $HOME.png", "-seven ü.png"]


def run(fake: FakeGateway, command: list[str], folder: Path) -> Seen:
    """What arrived of it."""
    fake.seen.clear()
    plain = {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}
    environment = plain | {"PYTHONPATH": str(ROOT), "PTHSERVE_KEY": fake.key}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(fake.seen) == 1, done.stdout
    return fake.seen[0]


def shown(page: Page, which: str) -> str:
    found = page.locator(f"#{which}").text_content()
    assert found is not None
    return found


def as_sent(page: Page, fake: FakeGateway, folder: Path) -> tuple[Seen, Seen, Seen]:
    """What the page sent, and what its two programs send."""
    expect(page.locator("#answer .meta")).to_be_visible()
    sent = fake.seen[0]
    curl = run(fake, ["bash", "-c", shown(page, "curl")], folder)
    python = run(fake, [sys.executable, "-c", shown(page, "python")], folder)
    assert sent.path == curl.path == python.path
    return sent, curl, python


@pytest.mark.parametrize("name", FILES)
def test_of_a_file(fake: FakeGateway, visit: Visits, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PNG)
    page = visit(fake.url)
    expect(page.locator("#title")).to_be_visible()
    page.locator("#file").set_input_files(tmp_path / name)
    assert {seen.body for seen in as_sent(page, fake, tmp_path)} == {PNG}


@pytest.mark.parametrize("form", list(INLINE))
def test_of_json(fake: FakeGateway, visit: Visits, tmp_path: Path, form: str) -> None:
    text = INLINE[form]
    if "many" in form or "longer" in form:
        fake.answer = fake.answer.__class__(200, {"answers": [{"values": [1.0]}] * len(json.loads(text))})
    page = visit(fake.url + "/#/diabetes")
    expect(page.locator("#title")).to_have_text("diabetes")
    page.get_by_label("JSON", exact=True).fill(text)
    page.get_by_role("button", name="Send JSON").click()
    if "longer" in form:
        expect(page.locator("#answer .meta")).to_be_visible()
        curl = run(fake, ["bash", "-c", shown(page, "curl")], tmp_path)
        assert curl.body.decode().strip() == text
        assert "predict_many" in shown(page, "python")
        return
    sent, curl, python = as_sent(page, fake, tmp_path)
    assert sent.body == curl.body == text.encode()
    assert curl.headers["content-type"] == "application/json"
    if form != "no JSON":
        found, expected = json.loads(python.body), json.loads(text)
        assert found in (expected, {"input": expected})
        assert python.headers["content-type"] == "application/json"
    else:
        assert python.body == text.encode()


@pytest.mark.parametrize("name", ["digits_cnn", "diabetes"])
def test_of_a_sample_and_a_version_with_a_key(
    fake: FakeGateway, visit: Visits, tmp_path: Path, name: str
) -> None:
    fake.key = KEY
    fake.cards[1] |= {"versions": ["1.0", "2.0"]}
    page = visit(f"{fake.url}/#/{name}")
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    page.get_by_label("Version").select_option("2.0")
    page.locator("#samples button").first.click()
    found = as_sent(page, fake, tmp_path)
    assert {seen.path for seen in found} == {f"/predictions/{name}/2.0"}
    assert {seen.headers["x-api-key"] for seen in found} == {KEY}
    assert {seen.body for seen in found} == {PNG if name == "digits_cnn" else PATIENT}


def test_they_are_copied(fake: FakeGateway, visit: Visits) -> None:
    page = visit(fake.url, permissions=["clipboard-read", "clipboard-write"])
    page.locator("#samples button").first.click()
    expect(page.locator("#answer .meta")).to_be_visible()
    for button, which in (("Copy the curl command", "curl"), ("Copy the Python code", "python")):
        page.get_by_role("button", name=button).click()
        expect(page.locator("#said")).to_have_text("Copied")
        assert page.evaluate("() => navigator.clipboard.readText()") == shown(page, which)
        page.locator("#said").evaluate("node => { node.textContent = '' }")
