"""A recipe's text with other values: just those lines change, comments and order stay."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from handlers import recipe
from handlers.errors import BadRecipe
from handlers.recipe import Recipe
from scripts.errors import CommandError
from scripts.places import shown
from scripts.tuning.setting import Setting, applied, of

TOP = {
    "minWorkers": "min_workers",
    "maxWorkers": "max_workers",
    "batchSize": "batch_size",
    "maxBatchDelay": "max_batch_delay",
}
"""Keys beside `handler`, with their names in the struct."""

HANDLER = ("name", "runtime", "threads")

AFTER = "version"
"""The key of `handler` behind which a new one is put: it is always there, and one line."""


def edited(text: str, path: Path, setting: Setting, name: str | None = None) -> str:
    """The text with the setting, and another handler.name if one is given.

    It reads back as just that. Raises CommandError for a recipe whose lines are written too unusually.
    """
    before = recipe.parse(text, path)
    wanted = applied(before, setting)
    if name is not None:
        wanted = replace(wanted, handler=replace(wanted.handler, name=name))
    lines = text.splitlines(keepends=True)
    for key, value in _changes(before, wanted):
        _put(lines, key, value, inside=key in HANDLER)
    after = "".join(lines)
    if not _reads_as(after, path, wanted):
        told = ", ".join(f"{key}: {_word(value)}" for key, value in _changes(before, wanted))
        raise CommandError(
            f"{shown(path)} isn't written with a key a line, so it can't be changed here",
            hint=f"write it so, or set by hand {told}",
        )
    return after


def require_editable(text: str, path: Path) -> None:
    """Raises CommandError for a recipe in which not every value could be changed."""
    own = of(recipe.parse(text, path))
    other = "eager" if own.runtime == "auto" else "auto"
    changed = Setting(own.workers + 1, own.threads + 1, own.batch + 1, own.delay + 1, other)
    edited(text, path, changed, "other")


def diff(before: str, after: str, path: Path) -> str:
    """The unified diff of two texts of one file; empty where they are alike."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), shown(path), shown(path)
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def _changes(before: Recipe, wanted: Recipe) -> Iterator[tuple[str, object]]:
    """(key, new value) of what differs; UNSET where the key goes."""
    for key, attribute in TOP.items():
        if getattr(before, attribute) != getattr(wanted, attribute):
            yield key, getattr(wanted, attribute)
    for key in HANDLER:
        if getattr(before.handler, key) != getattr(wanted.handler, key):
            yield key, getattr(wanted.handler, key)


def _put(lines: list[str], key: str, value: object | UnsetType, *, inside: bool) -> None:
    """Set the value on the key's own line, or a new one; without a value the line goes."""
    index = _find(lines, key, inside=inside)
    if index is not None and value is UNSET:
        del lines[index]
    elif index is not None:
        lines[index] = _with_value(lines[index], _word(value))
    elif value is not UNSET:
        _insert(lines, f"{key}: {_word(value)}", inside=inside)


def _word(value: object) -> str:
    """A name is quoted: it may look like a number."""
    return f'"{value}"' if isinstance(value, str) and not value.isalpha() else str(value)


def _find(lines: list[str], key: str, *, inside: bool) -> int | None:
    """Where `key: VALUE` stands at the top, or as a direct child of `handler:`."""
    indent, members = ("", range(len(lines))) if not inside else _children(lines)
    line = re.compile(rf"{indent}{key}\s*:\s")
    return next((index for index in members if line.match(lines[index])), None)


def _children(lines: list[str]) -> tuple[str, range]:
    """(their indentation, the lines of the block) of `handler:`; no lines where it isn't a block."""
    start = next((index for index, line in enumerate(lines) if re.match(r"handler\s*:\s*(#|$)", line)), None)
    if start is None:
        return "", range(0)
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][0] in " #"):
        end += 1
    first = next(
        (line for line in lines[start + 1 : end] if line.strip() and not line.lstrip().startswith("#")), ""
    )
    return first[: len(first) - len(first.lstrip())], range(start + 1, end)


def _with_value(line: str, value: str) -> str:
    """The line with another value; a comment behind it keeps its column if it can."""
    found = re.match(r"(?P<key>[^:]+:\s*)(?P<old>\"[^\"]*\"|'[^']*'|[^\s#]+)(?P<rest>.*)", line, re.DOTALL)
    if found is None:
        return line  # what reads back otherwise is told
    rest = found["rest"]
    if rest.lstrip(" ").startswith("#"):
        blanks = len(rest) - len(rest.lstrip(" ")) + len(found["old"]) - len(value)
        rest = " " * max(1, blanks) + rest.lstrip(" ")
    return f"{found['key']}{value}{rest}"


def _insert(lines: list[str], line: str, *, inside: bool) -> None:
    """Before `handler:`, or in it behind AFTER."""
    if inside:
        indent, _ = _children(lines)
        after = _find(lines, AFTER, inside=True)
        if after is not None:
            lines.insert(after + 1, f"{indent}{line}\n")
        return
    start = next((index for index, one in enumerate(lines) if one.startswith("handler")), len(lines))
    lines.insert(start, line + "\n")


def _reads_as(text: str, path: Path, wanted: Recipe) -> bool:
    try:
        return recipe.parse(text, path) == wanted
    except BadRecipe:
        return False
