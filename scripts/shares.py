"""How much of the traffic, and how long, as people type them."""

from __future__ import annotations

import re

from scripts.errors import CommandError

LEAST = 0.01
"""Percent; the gateway counts in these."""

SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def percent(text: str, option: str, *, whole: bool) -> float:
    """ "5%" or "5", in hundredths; raises CommandError. `whole`: whether 100 % is a share, too."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*%?\s*", text)
    share = round(float(found[1]), 2) if found else 0.0
    if share < LEAST or share > 100 or (share == 100 and not whole):
        most = "at most 100%" if whole else "below 100%"
        raise CommandError(f"{option} is {text!r}", hint=f"give a share from {LEAST}%, {most}: 5%, 0.5%")
    return share


def seconds(text: str, option: str) -> float:
    """ "90", "90s", "10m", "1.5h"; raises CommandError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([smh]?)\s*", text)
    length = float(found[1]) * SECONDS[found[2]] if found else 0.0
    if length <= 0:
        raise CommandError(f"{option} is {text!r}", hint="give a time above 0: 30s, 10m, 1h")
    return length
