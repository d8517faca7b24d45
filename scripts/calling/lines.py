"""What `predict` prints for each file: a line of JSON, or rows of a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from scripts.calling.refused import Refused
from scripts.calling.scoring import Scored
from scripts.errors import CommandError


class Lines(Protocol):
    """Turns what was scored into bytes for standard output."""

    def write(self, one: Scored) -> bytes:
        """Raises CommandError for an answer that has no place in this form."""
        ...

    def end(self) -> bytes: ...


class JsonLines:
    """{"file": "a.jpg", ...} with the answer as it was served, or with "error"."""

    def write(self, one: Scored) -> bytes:
        name = msgspec.json.encode(_printable(one.name))
        return b'{"file":' + name + b"," + _members(one.answer) + b"}\n"

    def end(self) -> bytes:
        return b""


class Table:
    """CSV with a header that the first answer decides: file, the task's own columns, error.

    A file that holds many items has a row for each, in their order.
    """

    def __init__(self) -> None:
        self._columns: tuple[str, ...] | None = None
        self._early: list[Scored] = []  # what failed before the header was known

    def write(self, one: Scored) -> bytes:
        if not isinstance(one.answer, bytes):
            if self._columns is None:
                self._early.append(one)
                return b""
            return self._failed(one)
        items = [dict(_cells(item)) for item in _items(one.answer)]
        header = b""
        if self._columns is None:
            self._columns = tuple(items[0])
            header = self._head()
        if any(tuple(item) != self._columns for item in items):
            raise CommandError(
                f"its answer has not the columns {', '.join(self._columns)}", hint="leave out --csv"
            )
        return header + b"".join(_row([one.name, *item.values(), ""]) for item in items)

    def end(self) -> bytes:
        """What was held back: failures, of files that all failed."""
        if self._columns is not None:
            return b""
        self._columns = ()
        return self._head()

    def _head(self) -> bytes:
        early, self._early = self._early, []
        return _row(["file", *(self._columns or ()), "error"]) + b"".join(map(self._failed, early))

    def _failed(self, one: Scored) -> bytes:
        assert isinstance(one.answer, CommandError)
        blank = [""] * len(self._columns or ())
        return _row([one.name, *blank, f"{one.answer.code}: {one.answer.message}"])


def _members(answer: bytes | CommandError) -> bytes:
    """What stands beside "file": the answer's own members, in the server's bytes."""
    if isinstance(answer, CommandError):
        error = answer.error if isinstance(answer, Refused) else _encoded(answer)
        known_by = msgspec.json.encode(answer.request_id) if isinstance(answer, Refused) else b'""'
        # the same refusal looks the same every time, but for our own faults: those are looked up by their id
        return b'"error":' + error + (b',"request_id":' + known_by if answer.status >= 500 else b"")
    try:
        names = msgspec.json.decode(answer, type=dict[str, Raw]).keys()
    except msgspec.DecodeError:  # no object: the folder's own task can answer with anything
        return b'"answer":' + answer
    if not names or "file" in names:
        return b'"answer":' + answer
    return answer.strip()[1:-1]


def _encoded(error: CommandError) -> bytes:
    return msgspec.json.encode({"code": error.code, "message": error.message, "hint": error.hint})


def _items(answer: bytes) -> list[Any]:
    """One answer, or those of a list, with numbers as the text that was served."""
    decoded = json.loads(answer, parse_float=str, parse_int=str)
    if isinstance(decoded, dict) and decoded.keys() == {"answers"} and decoded["answers"]:
        return list(decoded["answers"])
    return [decoded]


def _cells(item: Any) -> Iterator[tuple[str, str]]:
    """(column, value) of one answer: the best class, values by their names, raw outputs in a row."""
    match item:
        case {"predictions": [{"label": label, "score": score}, *_]}:
            yield from (("label", str(label)), ("score", str(score)))
        case {"values": [*values], "names": [*names]}:
            yield from zip(map(str, names), map(str, values), strict=True)
        case {"values": [*values]}:
            yield from _numbered("value", values)
        case {"output": output, "shape": _}:
            yield from _numbered("output", list(_flat(output)))
        case _:
            yield "answer", json.dumps(item)


def _numbered(column: str, values: Sequence[Any]) -> Iterator[tuple[str, str]]:
    if len(values) == 1:
        yield column, str(values[0])
        return
    for index, value in enumerate(values):
        yield f"{column}_{index}", str(value)


def _flat(values: Any) -> Iterator[Any]:
    if isinstance(values, list):
        for value in values:
            yield from _flat(value)
    else:
        yield values


def _row(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([_printable(cell) for cell in cells])
    return text.getvalue().encode("utf-8")


def _printable(name: str) -> str:
    """A file's name that is no UTF-8 with question marks in it."""
    return name.encode("utf-8", "replace").decode("utf-8")
