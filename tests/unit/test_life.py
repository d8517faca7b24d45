"""The life of one version: what facts make of its state, and when it is tried again."""

from __future__ import annotations

import os
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from handlers import execution, word
from handlers.execution import Execution
from handlers.recipe import Recipe
from scripts.serving import life, pauses
from scripts.serving.life import Life
from scripts.serving.management import QueueSeen, Registered, WorkerSeen
from scripts.state.observed import State
from tests.fakes import NO_PROCESS, Clock, booting, dead, ready, stop_time, with_process
from tests.states import recipe_of

RETRY = 10  # s; the recipe's


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return stop_time(monkeypatch, life, pauses)


@pytest.fixture
def one(clock: Clock) -> Life:
    found = Life("a", "1.0", Path("a-1.0.mar"))
    found.recipe = msgspec.convert(recipe_of("a", "1.0", maxRetryTimeoutInSec=RETRY), Recipe)
    return found


def look(one: Life, *workers: WorkerSeen, pending: int = 0) -> None:
    """TorchServe has these workers, and so many requests wait for one."""
    one.see(Registered("1.0", list(workers), QueueSeen(pending)), with_process(workers))


def test_a_new_one_is_due_at_once(one: Life) -> None:
    assert one.due()
    assert not one.registered


def test_what_fails_is_tried_again_after_5_10_20_and_at_most_300_seconds(one: Life, clock: Clock) -> None:
    pauses = []
    for attempt in range(1, 10):
        one.fail("a reason", "a traceback")
        assert (one.state, one.retries.tries, one.reason) == ("failed", attempt, "a reason")
        begun = clock.now
        while not one.due():
            clock.now += 5
        pauses.append(clock.now - begun)
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_what_fails_for_days_is_tried_still(one: Life) -> None:
    one.retries.tries = 1024  # three and a half days, a try every 300 s
    one.fail("a reason", "")
    assert one.retries.until == 1300


def test_success_forgets_the_failures(one: Life) -> None:
    one.fail("a reason", "a traceback")
    one.fail("a reason", "a traceback")
    one.succeed(2)
    assert (one.state, one.told, one.retries.tries, one.reason, one.traceback) == ("ready", 2, 0, "", "")
    one.fail("another", "")
    assert one.retries.tries == 1


def test_what_failed_is_tried_at_once_when_it_is_asked_for_anew(one: Life) -> None:
    one.ask(3)
    one.fail("a reason", "")
    one.ask(3)
    assert (one.state, one.due()) == ("failed", False)
    one.ask(4)
    assert (one.state, one.due(), one.asked, one.reason) == ("waiting", True, 4, "")


@pytest.mark.parametrize("state", ["loading", "ready", "recovering", "leaving"])
def test_asking_anew_disturbs_nothing_that_works(one: Life, state: State) -> None:
    one.state, one.told = state, 2
    one.ask(9)
    assert (one.state, one.told, one.asked) == (state, 2, 9)


def test_what_is_under_way_is_not_due(one: Life) -> None:
    one.call = Future()
    assert not one.due()


def test_without_a_ready_worker_it_recovers_until_one_is(one: Life) -> None:
    one.succeed(2)
    look(one, ready(0), dead(1))
    assert (one.state, one.ready, one.unready) == ("ready", 1, "")
    look(one, dead(0), dead(1), pending=3)
    assert (one.state, one.ready, one.pending) == ("recovering", 0, 3)
    assert "recovering" in one.unready
    look(one, dead(0), booting(1))
    assert one.state == "recovering"
    look(one, dead(0), ready(1))
    assert (one.state, one.pending) == ("ready", 0)


def test_what_leaves_goes_on_leaving_and_can_answer_what_it_has(one: Life) -> None:
    one.state = "leaving"
    look(one, dead(0))
    assert (one.state, one.unready, one.registered) == ("leaving", "", True)


@pytest.mark.parametrize(
    ("state", "words"), [("waiting", "is loading"), ("loading", "is loading"), ("failed", "can't be loaded")]
)
def test_callers_are_told_why_it_cant_answer(one: Life, state: State, words: str) -> None:
    one.state = state
    assert one.unready == words


def test_a_worker_is_given_up_once_it_has_no_process_for_longer_than_torchserve_tries(
    one: Life, clock: Clock
) -> None:
    one.succeed(2)
    look(one, ready(0), ready(1))
    clock.now += 1000  # READY all the while
    begun = clock.now
    while clock.now <= begun + RETRY + life.LOST:
        look(one, dead(0), ready(1))
        assert one.given_up() == 0
        clock.now += 0.5
    look(one, dead(0), ready(1))
    assert one.given_up() == 1


def test_where_no_worker_has_a_process_it_is_abandoned_within_seconds(one: Life, clock: Clock) -> None:
    one.succeed(2)
    look(one, dead(0), dead(1))
    clock.now += life.LOST
    assert not one.abandoned
    clock.now += 0.1
    assert one.abandoned


def test_a_worker_that_boots_for_long_is_not_given_up(one: Life, clock: Clock) -> None:
    one.succeed(1)
    look(one, booting(0))
    clock.now += 10_000
    look(one, booting(0))
    assert one.given_up() == 0


def test_a_worker_that_torchserve_tries_again_and_again_is_not_given_up(one: Life, clock: Clock) -> None:
    one.succeed(2)
    for _ in range(20):
        look(one, ready(0), dead(1))
        clock.now += RETRY
        look(one, ready(0), booting(1))
        assert one.given_up() == 0


def test_where_the_recipe_has_no_limit_torchserves_own_counts(one: Life, clock: Clock) -> None:
    one.recipe = None
    look(one, ready(0), dead(1))
    clock.now += life.TORCHSERVE_RETRY + life.LOST
    assert one.given_up() == 0
    clock.now += 1
    assert one.given_up() == 1


def test_a_life_that_begins_anew_knows_nothing_of_its_dead_workers(one: Life, clock: Clock) -> None:
    one.succeed(1)
    look(one, dead(0))
    clock.now += 1000
    assert one.given_up() == 1
    one.forget("waiting")
    assert one.given_up() == 0
    look(one, dead(0))
    assert one.given_up() == 0


def test_restarts_count_until_it_has_answered_for_a_while(one: Life, clock: Clock) -> None:
    one.succeed(1)
    one.restarts = 2
    look(one, dead(0))
    look(one, ready(1))
    clock.now += life.STEADY
    look(one, ready(1))
    assert one.restarts == 2
    clock.now += 1
    look(one, ready(1))
    assert one.restarts == 0


def test_memory_is_that_of_the_living(one: Life) -> None:
    look(one, ready(0), dead(1), WorkerSeen("9002", "READY", NO_PROCESS))
    assert os.getpid() == one.workers[0].pid
    assert one.memory() > 2**20
    look(one, dead(0))
    assert one.memory() == 0


def test_one_worker_on_a_gpu_makes_it_the_device(one: Life) -> None:
    look(one, ready(0))
    assert one.device() == "cpu"
    look(one, ready(0), WorkerSeen("9001", "READY", os.getpid(), gpu=True))
    assert one.device() == "gpu"


def test_memory_is_measured_once_in_a_while(one: Life, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    monkeypatch.setattr(life, "_resident", lambda pid: measured.append(pid) or 7)
    for _ in range(40):
        look(one, ready(0), ready(1))
        assert one.memory() == 14
        clock.now += 0.25
    assert len(measured) == 2 * 2, "in ten seconds"
    look(one, ready(0))
    assert one.memory() == 7, "at once, when a worker has gone"


def test_what_executes_is_what_its_workers_left_word_of(
    one: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(word.FOLDER, str(tmp_path))
    look(one, ready(0))
    assert one.runtime(tmp_path) == "", "those of older archives leave none"
    execution.leave(one.name, one.version, Execution("openvino"))
    look(one, ready(0), ready(1))
    assert one.runtime(tmp_path) == "openvino"
    execution.leave(one.name, one.version, Execution("eager", "openvino", "library"))
    assert one.runtime(tmp_path) == "openvino", "the file isn't read at every turn"
    look(one, ready(0))
    assert one.runtime(tmp_path) == "eager (not openvino: library)"
    look(one, dead(0))
    assert one.runtime(tmp_path) == ""
    assert one.execution(tmp_path) == Execution("eager", "openvino", "library"), "a limit outlasts a restart"


def test_replacements_are_forgotten_when_the_last_one_lives(one: Life, clock: Clock) -> None:
    one.succeed(2)
    for _ in range(3):
        one.replacements.begin()
    assert not one.replacements.over()
    clock.now = one.replacements.until + life.STEADY + 1
    look(one, ready(0), ready(1))
    assert one.replacements.tries == 0
