"""Many files in flight: order, bounds, patience, and what ends it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.calling import scoring
from scripts.calling.refused import NoServer, Refused
from scripts.calling.scoring import Input, Scored
from scripts.errors import CommandError


class Way:
    """Answers as the test says."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer

    def answer(self, body: bytes, request_id: str) -> bytes:
        return self._answer(body)


@pytest.fixture
def files(tmp_path: Path) -> list[Input]:
    for index in range(40):
        (tmp_path / f"{index:02}.txt").write_text(str(index))
    return scoring.inputs(tmp_path)


def scored(files: list[Input], answer: Callable[[bytes], bytes], jobs: int = 8) -> list[Scored]:
    return list(scoring.score(files, Way(answer), jobs))


def test_every_file_below_is_taken_but_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a.txt", ".hidden", ".git/config", "a/.DS_Store"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert [one.name for one in scoring.inputs(tmp_path)] == ["a.txt", "a/z.txt", "b.txt"]


def test_a_link_to_nothing_fails_and_a_pipe_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    (one,) = scored(scoring.inputs(tmp_path), lambda body: body)
    assert (one.name, str(one.answer)) == ("gone", "can't be read (No such file or directory)")


def test_a_folder_without_files_is_told(tmp_path: Path) -> None:
    (tmp_path / ".hidden").touch()
    with pytest.raises(CommandError, match="holds no files"):
        scoring.inputs(tmp_path)


def test_the_order_is_that_of_the_files_whoever_is_first(files: list[Input]) -> None:
    others = threading.Event()

    def answer(body: bytes) -> bytes:
        if body == b"0":
            assert others.wait(10)
        elif body == b"7":
            others.set()
        return body

    assert [one.answer for one in scored(files, answer)] == [str(index).encode() for index in range(40)]


def test_no_more_are_in_flight_than_asked_for(files: list[Input]) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def answer(body: bytes) -> bytes:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.005)
        with lock:
            now[0] -= 1
        return body

    scored(files, answer, jobs=3)
    assert most == [3]


def test_files_are_read_when_they_are_sent(files: list[Input]) -> None:
    """While the first waits, no more than the window lies in memory; the rest can still be changed."""
    first = threading.Event()

    def answer(body: bytes) -> bytes:
        if body == b"0":
            first.wait(10)
        return body

    answers = scoring.score(files, Way(answer), 2)
    release = threading.Timer(0.2, first.set)
    release.start()
    assert next(answers).answer == b"0"
    files[-1].path.write_text("changed")
    assert [one.answer for one in answers][-1] == b"changed"


def test_a_bad_file_fails_alone(files: list[Input]) -> None:
    files[5].path.unlink()

    def answer(body: bytes) -> bytes:
        if body == b"3":
            raise Refused("no picture", status=400)
        return body

    failed = {one.name: one.answer for one in scored(files, answer) if not isinstance(one.answer, bytes)}
    assert {name: str(error) for name, error in failed.items()} == {
        "03.txt": "no picture",
        "05.txt": "can't be read (No such file or directory)",
    }


def test_a_server_that_asks_for_patience_is_asked_again(files: list[Input]) -> None:
    asked: dict[bytes, int] = {}

    def answer(body: bytes) -> bytes:
        asked[body] = asked.get(body, 0) + 1
        if asked[body] < 3 or body == b"9":
            raise Refused("loading", status=503, retry_after=0)
        return body

    answers = scored(files, answer)
    assert [one.name for one in answers if not isinstance(one.answer, bytes)] == ["09.txt"]
    assert asked[b"9"] == scoring.TRIES


def test_a_refusal_that_asks_for_nothing_is_final(files: list[Input]) -> None:
    asked: list[bytes] = []

    def answer(body: bytes) -> bytes:
        asked.append(body)
        raise Refused("busy", status=503)

    scored(files[:1], answer)
    assert len(asked) == 1


@pytest.mark.parametrize("status", scoring.FOR_ALL)
def test_what_holds_for_all_ends_it(files: list[Input], status: int) -> None:
    def answer(body: bytes) -> bytes:
        raise Refused("no such model", status=status)

    with pytest.raises(Refused, match="no such model"):
        scored(files, answer)


def test_no_server_at_all_ends_it_at_once(files: list[Input]) -> None:
    asked: list[bytes] = []

    def answer(body: bytes) -> bytes:
        asked.append(body)
        raise NoServer("nobody")

    with pytest.raises(NoServer):
        scored(files, answer, jobs=1)
    assert asked[0] == b"0"
    assert len(set(asked)) == len(asked)  # none is asked twice


def test_a_server_that_was_there_a_moment_ago_is_waited_for(
    files: list[Input], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "RECONNECT", 0.001)
    tries = iter(range(100))

    def answer(body: bytes) -> bytes:
        if body == b"20" and next(tries) < 3:
            raise NoServer("restarting")
        return body

    assert all(isinstance(one.answer, bytes) for one in scored(files, answer, jobs=1))


def test_a_mistake_of_ours_is_no_failure_of_a_file(files: list[Input]) -> None:
    def answer(body: bytes) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        scored(files, answer)


def test_an_interruption_that_a_finalizer_swallowed_is_noticed(tmp_path: Path) -> None:
    held = threading.Event()

    class Slow:
        def answer(self, body: bytes, request_id: str) -> bytes:
            held.wait(60)
            return b"1"

    (tmp_path / "a.json").write_bytes(b"1")
    interrupted = threading.Event()
    interrupted.set()
    with pytest.raises(KeyboardInterrupt):
        next(scoring.score(scoring.inputs(tmp_path), Slow(), 1, interrupted))
    held.set()


def test_a_crowd_takes_none_of_the_tries(tmp_path: Path) -> None:
    """A slow model takes a few requests at once, and we send more: each gets its turn."""
    refusals = iter([Refused("full", status=503, code="overloaded", retry_after=0)] * (scoring.TRIES * 3))

    class Full:
        def answer(self, body: bytes, request_id: str) -> bytes:
            if (refusal := next(refusals, None)) is not None:
                raise refusal
            return b"1"

    (tmp_path / "a.json").write_bytes(b"1")
    (scored,) = scoring.score(scoring.inputs(tmp_path), Full(), 1)
    assert scored.answer == b"1"
