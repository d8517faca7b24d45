"""The worst of what differs, kept for a look: a folder each, with the request and both answers."""

from __future__ import annotations

import heapq
import shutil
import threading
from pathlib import Path
from typing import get_args

import msgspec
from msgspec import Struct

from scripts.calling.inference import Reply
from scripts.shadowing import reading
from scripts.shadowing.collector import Mirrored
from scripts.shadowing.difference import Difference, Kind

LARGE = 5_000_000
"""Bytes of a request with its two answers; of one beyond them only the difference is kept."""

RANKS: dict[Kind, int] = {kind: rank for rank, kind in enumerate(get_args(Kind))}


class Look(Struct, frozen=True):
    """One request that is kept."""

    kind: Kind
    largest: float | None
    what: str
    folder: str
    """Its name, below the folder of all."""


class Kept:
    """At most `most` of them; a worse one takes the place of the mildest. Filled by several threads."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self._most = most
        self._lock = threading.Lock()
        self._heap: list[tuple[int, float, int, Look]] = []
        self._seen = 0

    def offer(self, one: Mirrored, serving: Reply | None, candidate: Reply | None, found: Difference) -> None:
        """Raises OSError, a full disk for instance."""
        with self._lock:
            self._seen += 1
            rank, apart = RANKS[found.kind], found.largest or 0.0
            if not self._most or (len(self._heap) >= self._most and (rank, apart) <= self._heap[0][:2]):
                return
            look = Look(found.kind, found.largest, found.what, f"{self._seen:06d}-{found.kind}")
            _write(self.folder / look.folder, one, serving, candidate, look)
            heapq.heappush(self._heap, (rank, apart, -self._seen, look))
            if len(self._heap) > self._most:
                shutil.rmtree(self.folder / heapq.heappop(self._heap)[3].folder, ignore_errors=True)

    def worst(self) -> list[Look]:
        """The worst first."""
        with self._lock:
            return [look for *_, look in sorted(self._heap, key=lambda entry: entry[:3], reverse=True)]


def _write(folder: Path, one: Mirrored, serving: Reply | None, candidate: Reply | None, look: Look) -> None:
    folder.mkdir(parents=True)
    replies = {"serving": serving, "candidate": candidate}
    answers = {name: reply for name, reply in replies.items() if reply is not None}
    bodies = {"request": one.body, **{name: reading.content(reply) for name, reply in answers.items()}}
    told = {
        **msgspec.to_builtins(look),
        "request_headers": dict(one.headers),
        **{
            name: {"status": reply.status, "content_type": reply.content_type}
            for name, reply in answers.items()
        },
        "bytes": {name: len(body) for name, body in bodies.items()},
    }
    (folder / "difference.json").write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    if sum(map(len, bodies.values())) <= LARGE:
        for name, body in bodies.items():
            (folder / f"{name}.body").write_bytes(body)
