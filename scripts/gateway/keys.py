"""The file of who may call -> Routing.callers. It is read again whenever it changes:

callers:
  mobile-app: {key: "...", models: [digits_cnn], rate: 50, burst: 100}    # requests a second, and at once
  nightly: {keys: ["...", "..."]}    # either will do; all models, at any rate
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from handlers.recipe import UniqueKeyLoader
from handlers.recipe.structs import Name
from scripts.errors import CommandError
from scripts.gateway.routing import Caller
from scripts.places import shown

SHORTEST = 16
"""Characters of a key: fewer could be guessed."""

HOW = "write `callers: {NAME: {key: KEY}}`, with a KEY as `openssl rand -hex 16` makes one"
MAY = "a caller has key or keys, and may have models, rate and burst"

Rate = Annotated[float, Meta(ge=1, le=1_000_000)]
Burst = Annotated[int, Meta(ge=1, le=1_000_000)]


class Written(Struct, frozen=True, forbid_unknown_fields=True):
    """A caller as the file has him."""

    key: str = ""
    keys: tuple[str, ...] = ()
    models: Literal["all"] | tuple[Name, ...] = "all"
    rate: Rate | None = None
    burst: Burst | None = None


class Listed(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    callers: dict[Name, Any]


class KeyFile:
    """What one file says of callers: the last time that it was right."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path = path
        self.callers: tuple[Caller, ...] = ()
        self._say = say
        self._read: tuple[int, ...] | None = None  # what the file looked like when it was right last
        self._warned = False

    def refresh(self) -> bool:
        """Read it where it has changed; whether it had. While wrong: CommandError, the last stays."""
        try:
            looks = _looks(self.path)
            if looks == self._read:
                return False
            text = self.path.read_bytes()
        except OSError as error:
            raise CommandError(f"{shown(self.path)}: can't be read ({error.strerror})", hint=HOW) from None
        self.callers = parsed(text, self.path)
        self._read = looks
        self._warn()
        return True

    def _warn(self) -> None:
        open_to_others = bool(self.path.stat().st_mode & 0o004)
        if open_to_others and not self._warned:
            self._say(f"{shown(self.path)}: every user of this machine can read the keys; chmod 600 it")
        self._warned = open_to_others


def parsed(text: bytes, path: Path) -> tuple[Caller, ...]:
    """By name; raises CommandError, which says nothing of a key."""
    try:
        listed = msgspec.convert(yaml.load(text, Loader=UniqueKeyLoader), Listed)
    except msgspec.ValidationError as error:
        raise CommandError(f"{shown(path)}: {error}", hint=HOW) from None
    except (yaml.YAMLError, ValueError) as error:
        twice = "has a name twice" if "is given twice" in str(error) else "is no YAML"
        raise CommandError(f"{shown(path)} {twice}{_line(error)}", hint=HOW) from None
    callers = tuple(_caller(name, given, path) for name, given in sorted(listed.callers.items()))
    whose: dict[str, str] = {}
    for caller in callers:
        for key in caller.keys:
            if key in whose:
                raise _wrong(path, caller.name, f"its key is {whose[key]}'s, too", "give each its own")
            whose[key] = caller.name
    return callers


def _caller(name: str, given: object, path: Path) -> Caller:
    try:
        one = msgspec.convert(given, Written)
    except msgspec.ValidationError as error:
        raise _wrong(path, name, str(error), f"{_value(given, error)}{MAY}") from None
    if bool(one.key) == bool(one.keys):
        raise _wrong(path, name, "has both key and keys" if one.key else "has no key", MAY)
    keys = one.keys or (one.key,)
    for problem in (problem for key in keys for problem in _problems(key)):
        raise _wrong(path, name, problem, "`openssl rand -hex 16` makes a good one")
    if one.models == ():
        raise _wrong(path, name, "models is []", "name some, or write all")
    if one.burst is not None and one.rate is None:
        raise _wrong(path, name, f"burst is {one.burst} without a rate", "give rate: requests a second")
    rate = one.rate or 0.0
    models = () if one.models == "all" else one.models
    return Caller(name, keys, models, rate, one.burst or max(1, round(rate)))


def _problems(key: str) -> Iterator[str]:
    if len(key) < SHORTEST:
        yield f"a key has {len(key)} characters; must have at least {SHORTEST}"
    if not re.fullmatch("[!-~]*", key):
        yield "a key has a space, or a character that no header can carry"


def _wrong(path: Path, name: str, problem: str, hint: str) -> CommandError:
    return CommandError(f"{shown(path)}: callers.{name}: {problem}", hint=hint)


def _value(given: object, error: msgspec.ValidationError) -> str:
    """What stands there, unless it is a key: "rate is -1; "."""
    place = re.search(r"\$\.(models|rate|burst)\b", str(error))
    return f"{place[1]} is {given[place[1]]!r}; " if place and isinstance(given, dict) else ""


def _line(error: Exception) -> str:
    """Where it is wrong; YAML's own message would quote the line, with its key."""
    found = re.search(r"line \d+", str(error))
    return f" ({found[0]})" if found else ""


def _looks(path: Path) -> tuple[int, ...]:
    """Changes whenever its content does: an inode's ctime can't be set."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
