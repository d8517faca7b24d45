"""The page for everyone: by keyboard, on a phone, in the dark, with a key, and under its policy."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import contrast
from tests.browser.fake_gateway import BAD_IMAGE, NOT_READY, SEVEN, Answer, FakeGateway, card, numbers
from tests.browser.visiting import Visits

KEY = "a-key-of-twenty-characters"
FOCUSED = "() => document.activeElement.id || document.activeElement.innerText.trim().split('\\n')[0]"
WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"

ANSWERS = {
    "classes": Answer(200, SEVEN, {"x-model-version": "1.0"}),
    "error": Answer(400, {"error": BAD_IMAGE}),
    "dead": Answer(503, {"error": NOT_READY}, {"retry-after": "5"}),
}


def asked(page: Page) -> Page:
    """With an answer in it."""
    page.locator("#samples button").first.click()
    expect(page.locator("#answer .meta")).to_be_visible()
    return page


def tab(page: Page, times: int = 1) -> str:
    for _ in range(times):
        page.keyboard.press("Tab")
    found: str = page.evaluate(FOCUSED)
    return found


def test_all_of_it_by_keyboard_in_the_order_of_reading(fake: FakeGateway, visit: Visits) -> None:
    page = visit(fake.url)
    expect(page.locator("#title")).to_have_text("digits_cnn")
    names = [tab(page) for _ in range(8)]
    assert names[:4] == ["Skip to the endpoint", "digits_cnn", "diabetes", "parity_resnet18"]
    assert names[4:] == ["version", "seven.png", "file", "json"]
    page.locator("#list a").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text("diabetes")
    expect(page.locator("#list a").nth(1)).to_have_attribute("aria-current", "true")
    assert tab(page, 2) == "patient1.json"
    page.keyboard.press("Enter")
    expect(page.locator("#answer .bars")).to_be_visible()
    assert page.evaluate(FOCUSED) == "patient1.json"
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_skip_link_leads_past_the_list(fake: FakeGateway, visit: Visits) -> None:
    page = visit(fake.url)
    expect(page.locator("#title")).to_be_visible()
    tab(page)
    page.keyboard.press("Enter")
    assert tab(page) == "version"
    expect(page.locator("#title")).to_have_text("digits_cnn")


def test_every_control_and_region_has_a_name(fake: FakeGateway, visit: Visits) -> None:
    page = asked(visit(fake.url))
    for role in ("button", "link", "textbox", "combobox", "region", "navigation", "img"):
        for one in page.get_by_role(role).all():
            snapshot = one.aria_snapshot().split("\n")[0]
            assert re.search(r"""- '?\w+ "[^"]""", snapshot), snapshot
    assert page.get_by_role("status").count() == 1
    assert page.get_by_role("heading", level=1).all_inner_texts() == ["digits_cnn"]
    expect(page.get_by_role("row", name="digits_cnn ready 1,204 2 6.1 ms 8.8 ms 9.1 ms")).to_have_count(1)


@pytest.mark.parametrize("answer", list(ANSWERS))
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(
    fake: FakeGateway, visit: Visits, scheme: str, answer: str
) -> None:
    fake.answer = ANSWERS[answer]
    fake.cards[0] |= {"assumed": ["input.mean"]}
    page = asked(visit(fake.url, color_scheme=scheme))
    page.locator("summary").last.click()
    assert len(contrast.measured(page)) > 60
    assert contrast.faint(page) == []


@pytest.mark.parametrize("answer", list(ANSWERS))
def test_nothing_overflows_on_a_narrow_phone(fake: FakeGateway, visit: Visits, answer: str) -> None:
    long = "a_name_that_is_as_long_as_nobody_should_ever_give_to_an_endpoint_of_theirs"
    fake.cards = [card(long, description="W" * 200), numbers("diabetes", labels=["x" * 300])]
    fake.answer = ANSWERS[answer]
    page = asked(visit(fake.url, width=320, height=640, has_touch=True))
    assert page.evaluate(WIDE) == 0
    expect(page.locator("#answer-title")).to_be_in_viewport()


def test_nothing_moves_for_those_who_ask_for_that(fake: FakeGateway, visit: Visits) -> None:
    page = asked(visit(fake.url, reduced_motion="reduce"))
    for one in page.locator("#answer .fill").all():
        assert one.evaluate("node => getComputedStyle(node).transitionDuration") in ("0s", "1e-06s")


def test_a_key_is_asked_for_sent_and_forgotten(fake: FakeGateway, visit: Visits) -> None:
    fake.key = KEY
    page = visit(fake.url)
    field = page.get_by_label("API key")
    expect(field).to_be_focused()
    field.fill("another-key-of-somebody")
    page.keyboard.press("Enter")
    expect(page.locator("#key-told")).to_contain_text("No caller has this key")
    field.fill(KEY)
    page.keyboard.press("Enter")
    asked(page)
    assert fake.seen[0].headers["x-api-key"] == KEY
    for code in ("#curl", "#python"):
        assert "PTHSERVE_KEY" in page.locator(code).inner_text()
    assert KEY not in page.content()
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_label("API key")).to_be_visible()
    expect(page.locator("#frame")).to_be_hidden()


def test_health_and_latency_follow_the_gateway(fake: FakeGateway, visit: Visits) -> None:
    page = visit(fake.url)
    states = page.locator("#live td:nth-child(2)")
    expect(states.nth(2)).to_have_text("not ready: 1.0 is loading")
    expect(states.first).to_have_text("ready")
    fake.reasons = {"digits_cnn": "1.0 has no worker"}
    expect(states.first).to_have_text("not ready: 1.0 has no worker", timeout=10_000)
    expect(states.nth(2)).to_have_text("ready")
    fake.cards = [*fake.cards, card("brand_new")]
    expect(page.locator("#list")).to_contain_text("brand_new", timeout=20_000)
    expect(page.locator("#title")).to_have_text("digits_cnn")


def test_the_policy_holds_off_what_is_smuggled_in(fake: FakeGateway, visit: Visits) -> None:
    page = visit(fake.url)
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'smuggled'";
          document.body.append(script);
        }"""
    )
    assert page.title() != "smuggled"
    assert (
        page.evaluate("() => fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')") == "refused"
    )
    assert any("script-src" in text for text in visit.complaints)
    assert any("connect-src" in text for text in visit.complaints)
    visit.complaints.clear()
