"""Which requests a route is for, as Envoy's RouteMatch and HeaderMatcher."""

from __future__ import annotations

from scripts.gateway.replies import Document


def pattern(path: str) -> Document:
    """Paths that match a regular expression wholly."""
    return {"safe_regex": {"regex": path}}


def exactly(name: str, value: str) -> Document:
    return {"name": name, "string_match": {"exact": value}}


def method(regex: str) -> Document:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": regex}}}


def length(least: int, most: int) -> Document:
    return {"name": "content-length", "range_match": {"start": least, "end": most + 1}}


def present(name: str) -> Document:
    return {"name": name, "present_match": True}


def absent(name: str) -> Document:
    return {"name": name, "present_match": False}


def share(percent: float) -> Document:
    """Of the requests that match otherwise, so many in a hundred."""
    return {"default_value": {"numerator": round(percent * 10_000), "denominator": "MILLION"}}
