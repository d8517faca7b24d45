"""What the page makes of answers, errors and silence."""

from __future__ import annotations

import re

from playwright.sync_api import FilePayload, Page, expect

from tests.browser.fake_gateway import (
    BAD_IMAGE,
    NOT_READY,
    PNG,
    SMUGGLED,
    Answer,
    FakeGateway,
    card,
)
from tests.browser.visiting import Visits

BACK = 15_000  # ms; for what the page looks at every two seconds


def take_sample(page: Page) -> None:
    page.locator("#samples button").first.click()


def test_classes_are_bars_beside_the_picture(fake: FakeGateway, visit: Visits) -> None:
    page = visit(fake.url)
    take_sample(page)
    rows = page.locator("#answer .bars li")
    expect(rows).to_have_count(3)
    assert rows.first.inner_text().split("\n") == ["seven", "98.1 %"]
    widths = [fill.evaluate("node => node.style.width") for fill in page.locator("#answer .fill").all()]
    assert widths == ["98.12%", "1.31%", "0.34%"]
    picture = page.get_by_alt_text("The picture that was sent: seven.png")
    assert picture.evaluate("node => node.decode().then(() => node.naturalWidth)") > 0
    expect(page.locator("#said")).to_contain_text("seven, 98.1 %")
    facts = [each.inner_text() for each in page.locator("#answer .meta dd").all()]
    assert (facts[0], facts[2:]) == ("seven.png", ["1.0", "r-17"])
    assert fake.seen[0].path == "/predictions/digits_cnn"
    assert (fake.seen[0].body, fake.seen[0].headers["content-type"]) == (PNG, "image/png")


def test_values_have_their_names(fake: FakeGateway, visit: Visits) -> None:
    fake.answer = Answer(200, {"values": [152.30711, -3.0], "names": ["progression", "change"]})
    page = visit(fake.url + "/#/diabetes")
    take_sample(page)
    found = page.locator("#answer .values div")
    expect(found).to_have_count(2)
    assert [each.inner_text().split("\n") for each in found.all()] == [
        ["progression", "152.307"],
        ["change", "-3"],
    ]
    expect(page.locator("#json")).to_have_value(re.compile(r'\{"input": \['))


def test_many_answers_are_listed_in_their_order(fake: FakeGateway, visit: Visits) -> None:
    fake.answer = Answer(200, {"answers": [{"values": [float(at)]} for at in range(60)]})
    page = visit(fake.url + "/#/diabetes")
    page.get_by_label("JSON", exact=True).fill("[[1], [2]]")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#answer .many > li")).to_have_count(50)
    assert page.locator("#answer .many > li").nth(7).inner_text().split() == ["item", "7", "value", "7"]
    expect(page.locator("#answer")).to_contain_text("and 10 items more")
    assert fake.seen[0].body == b"[[1], [2]]"
    assert fake.seen[0].headers["content-type"] == "application/json"


def test_another_form_is_shown_raw(fake: FakeGateway, visit: Visits) -> None:
    fake.answer = Answer(200, {"output": [[1, 2]], "shape": [1, 2]})
    page = visit(fake.url)
    take_sample(page)
    expect(page.locator("#answer pre")).to_contain_text('"shape"')
    expect(page.locator("#answer pre")).to_be_visible()


def test_an_error_tells_all_that_it_knows(fake: FakeGateway, visit: Visits) -> None:
    fake.answer = Answer(400, {"error": BAD_IMAGE})
    page = visit(fake.url)
    file = FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"no picture")
    page.locator("#file").set_input_files(file)
    told = page.locator("#answer .told")
    expect(told).to_contain_text("The body is no image that can be read")
    expect(told).to_contain_text("Send the bytes of a JPEG, PNG or WebP file")
    expect(told).to_contain_text("400 · bad_image")
    expect(page.locator("#answer .meta")).to_contain_text("r-17")
    expect(page.locator("#resend")).to_have_count(0)
    assert fake.seen[0].body == b"no picture"


def test_errors_of_single_items_and_of_other_protocols_are_told(fake: FakeGateway, visit: Visits) -> None:
    item = {"index": 1, "code": "wrong_shape", "message": "has the shape [9]", "hint": "send [10]"}
    error = {
        "code": "bad_items",
        "message": "1 of 2 items failed: 1",
        "hint": "send the others",
        "items": [item],
    }
    fake.answer = Answer(400, {"error": error})
    page = visit(fake.url)
    take_sample(page)
    expect(page.locator("#answer .told")).to_contain_text("item 1: has the shape [9]")
    fake.answer = Answer(500, {"error": "a text alone"})
    take_sample(page)
    expect(page.locator("#answer .told")).to_contain_text("A text alone")


def test_a_dead_model_is_looked_after_until_it_is_back(fake: FakeGateway, visit: Visits) -> None:
    fake.answer = Answer(503, {"error": NOT_READY}, {"retry-after": "5"})
    fake.reasons = {"digits_cnn": "1.0 is being restarted"}
    page = visit(fake.url)
    expect(page.locator("#list a").first).to_contain_text("not ready: 1.0 is being restarted")
    take_sample(page)
    told = page.locator("#answer .told")
    expect(told).to_contain_text("digits_cnn can't answer just now")
    expect(told).to_contain_text("503 · not_ready · Retry-After: 5 s")
    expect(told).to_contain_text("It isn't back yet")
    fake.forget()
    expect(told).to_contain_text("It can answer again", timeout=BACK)
    expect(page.locator("#said")).to_have_text("digits_cnn can answer again")
    page.get_by_role("button", name="Send it again").click()
    expect(page.locator("#answer .bars li")).to_have_count(3)
    assert [seen.body for seen in fake.seen] == [PNG]


def test_a_gateway_that_is_gone_is_told_and_found_again(fake: FakeGateway, visit: Visits) -> None:
    page = visit(fake.url)
    expect(page.locator("#title")).to_have_text("digits_cnn")
    page.get_by_label("JSON", exact=True).fill("[1]")
    fake.stop()
    try:
        page.get_by_role("button", name="Send JSON").click()
        expect(page.locator("#answer .told")).to_contain_text("No answer came")
        expect(page.locator("#silence")).to_be_visible(timeout=BACK)
        expect(page.locator("#list a").first).to_contain_text("not known")
    finally:
        fake.start()
    expect(page.locator("#silence")).to_be_hidden(timeout=BACK)
    expect(page.locator("#answer .told")).to_contain_text("It can answer again")


def test_what_is_too_large_is_not_even_sent(fake: FakeGateway, visit: Visits) -> None:
    fake.cards[0] |= {"limits": {"max_items": 8, "max_bytes": 1000, "deadline_seconds": 27.0}}
    page = visit(fake.url)
    expect(page.locator("#title")).to_have_text("digits_cnn")
    file = FilePayload(name="large.png", mimeType="image/png", buffer=bytes(1001))
    page.locator("#file").set_input_files(file)
    expect(page.locator("#answer .told")).to_contain_text("large.png is too large")
    expect(page.locator("#answer .told")).to_contain_text("It has 1,001 bytes; at most 1,000 are taken")
    assert fake.seen == []


def test_a_late_answer_to_another_endpoint_is_not_shown(fake: FakeGateway, visit: Visits) -> None:
    fake.delay = 0.5
    page = visit(fake.url)
    take_sample(page)
    expect(page.locator("#said")).to_have_text("Waiting for the answer")
    page.locator("#list a", has_text="diabetes").click()
    expect(page.locator("#title")).to_have_text("diabetes")
    page.wait_for_timeout(800)
    expect(page.locator("#answer .bars")).to_have_count(0)


def test_nothing_that_others_say_becomes_markup(fake: FakeGateway, visit: Visits) -> None:
    fake.cards = [card("digits_cnn", description=SMUGGLED, labels=[SMUGGLED], assumed=[SMUGGLED])]
    fake.reasons = {"digits_cnn": SMUGGLED}
    fake.answer = Answer(200, {"predictions": [{"label": SMUGGLED, "index": 0, "score": 1.0}]})
    page = visit(fake.url)
    take_sample(page)
    expect(page.locator("#answer .label")).to_have_text(SMUGGLED)
    fake.answer = Answer(400, {"error": {"code": SMUGGLED, "message": SMUGGLED, "hint": SMUGGLED}})
    take_sample(page)
    expect(page.locator("#answer .told h3")).to_have_text(SMUGGLED)
    assert page.locator("img[onerror]").count() == 0
    assert page.title() == "digits_cnn · pthserve"
