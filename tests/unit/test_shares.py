"""Shares and times as people type them."""

from __future__ import annotations

import pytest

from scripts import shares
from scripts.errors import CommandError


@pytest.mark.parametrize(
    ("text", "share"),
    [("5%", 5), ("5", 5), (" 12.5 % ", 12.5), ("0.01%", 0.01), (".5", 0.5), ("99.99%", 99.99)],
)
def test_a_share_is_a_number_of_percent(text: str, share: float) -> None:
    assert shares.percent(text, "--canary", whole=False) == share


@pytest.mark.parametrize(
    "text", ["0%", "0", "100%", "100", "99.999", "101%", "-5%", "abc", "", "5%%", "0.001"]
)
def test_another_share_is_refused_with_what_to_give(text: str) -> None:
    with pytest.raises(CommandError) as caught:
        shares.percent(text, "--canary", whole=False)
    assert str(caught.value) == f"--canary is {text!r}; give a share from 0.01%, below 100%: 5%, 0.5%"


def test_all_of_it_is_a_share_where_that_makes_sense() -> None:
    assert shares.percent("100%", "--share", whole=True) == 100
    with pytest.raises(CommandError, match="at most 100%"):
        shares.percent("100.5%", "--share", whole=True)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("30s", 30), ("10m", 600), ("1.5h", 5400)])
def test_a_time_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert shares.seconds(text, "--for") == seconds


@pytest.mark.parametrize("text", ["0", "0s", "-1m", "10 min", "m", "", "1d"])
def test_another_time_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match=r"--for is .*; give a time above 0: 30s, 10m, 1h"):
        shares.seconds(text, "--for")
