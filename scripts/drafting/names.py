"""Names from a file, where they meet Python: nothing of them becomes code unless it is a plain identifier."""

from __future__ import annotations

import builtins
import keyword
import re

from torch import nn

from handlers.errors import BadCheckpoint

LONGEST = 1_000
"""Characters of a name; published networks stay below 150."""

TAKEN = frozenset(dir(builtins)) | {"Network", "Tensor", "F"}
"""What a drafted class can't be called."""


def refuse_unusable(name: str, deepest: int) -> list[str]:
    """The steps of a dotted name; raises BadCheckpoint where nn.Module could have none of that name."""
    if len(name) > LONGEST:
        raise BadCheckpoint(f"a tensor's name has {len(name)} characters: {quoted(name)}", hint=_HINT)
    steps = name.split(".")
    if len(steps) > deepest:
        raise BadCheckpoint(f"{quoted(name)} is nested {len(steps)} deep", hint=_HINT)
    for step in steps:
        if not step or hasattr(_PLAIN, step):
            reason = "is an attribute of every nn.Module" if step else "is no name"
            raise BadCheckpoint(f"{quoted(name)}: {quoted(step)} {reason}", hint=_HINT)
    return steps


def is_attribute(name: str) -> bool:
    """Whether `self.NAME` means just that: no keyword, no name that classes mangle or Unicode folds."""
    return (
        name.isascii() and name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")
    )


def quoted(name: str) -> str:
    """For a message: on one line, without control characters, at most 60 characters of it."""
    return ascii(name if len(name) <= 60 else f"{name[:40]}...{name[-17:]}")


def plain(name: str) -> str:
    """For a comment or docstring: only what can end neither, at most 60 characters."""
    kept = re.sub(r"[^A-Za-z0-9_.\-]", "?", name[:61])
    return kept if len(kept) <= 60 else f"{kept[:57]}..."


def class_name(path: str, used: set[str]) -> str:
    """A name for the class of the module at `path`, not among `used`: blocks.0 -> Block."""
    *_, last = path.split(".")
    if last.isdigit():
        named = [step for step in path.split(".") if not step.isdigit()]
        row = named[-1] if named else ""
        plural = re.search(r"(block|layer|stage)s$", row.lower())
        last = row[:-1] if plural else re.sub(r"\d+$", "", row) + "_block"
    words = re.findall(r"[A-Za-z][a-z0-9]*|[0-9]+", last)
    name = "".join(word[0].upper() + word[1:] for word in words)[:40]
    if not name or not name[0].isalpha():
        name = f"Block{name}"
    taken = used | TAKEN
    if name in taken or keyword.iskeyword(name):
        base = f"{name}v" if name[-1].isdigit() else name
        name = next(
            f"{base}{number}" for number in range(2, len(taken) + 3) if f"{base}{number}" not in taken
        )
    return name


_PLAIN = nn.Module()
_HINT = (
    "such a name was never a network's; choose the entry that holds its weights, or bring the training code"
)
