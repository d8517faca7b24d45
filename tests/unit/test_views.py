"""What others are told of a node: the gateway its routes, commands the observed state."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from handlers import execution, word
from handlers.execution import Execution
from handlers.recipe import Recipe
from scripts.gateway.routing import Canary, Mirror, Routing
from scripts.places import Places
from scripts.processes.scratch import Scratch
from scripts.serving import life, node, pauses, views
from scripts.serving.life import Life
from scripts.serving.management import QueueSeen, Registered
from scripts.serving.node import Node
from scripts.state.observed import Phase, SeenShare, State
from scripts.state.wanted import Wanted, WantedCanary, WantedMirror
from tests.fakes import Clock, Pool, Server, dead, ready, stop_time, with_process
from tests.states import model, recipe_of, state


class Scene:
    """A node whose lives a test makes up."""

    def __init__(self, folder: Path) -> None:
        self.active: int | None = 0
        self.node = Node(Places(store=folder), Server(folder), lambda *_: self.active, print)  # type: ignore[arg-type]

    def life(self, version: str, as_state: State, name: str = "a", *, workers: int = 1) -> Life:
        one = Life(name, version, Path("x.mar"))
        one.recipe = msgspec.convert(recipe_of(name, version, workers=workers), Recipe)
        one.state, one.told = as_state, workers
        if one.registered:
            alive = [ready(9000 + index) for index in range(workers)]
            one.see(Registered(version, alive, QueueSeen(0)), with_process(alive))
        self.node.lives[name, version] = one
        return one

    def routing(self, wanted: Wanted, phase: Phase = "serving", *, alive: bool = True) -> Routing:
        return views.routing(self.node, wanted, phase, alive=alive, wait=0.25, queue=200)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return stop_time(monkeypatch, life, node, pauses, views)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Scene:
    monkeypatch.setattr(node, "ThreadPoolExecutor", lambda *_, **__: Pool())
    return Scene(tmp_path)


def test_the_gateway_gives_up_before_torchserve_kills_the_worker(scene: Scene) -> None:
    one = scene.life("1.0", "ready")
    assert one.recipe is not None
    assert views.deadline(one.recipe) == pytest.approx(27)
    assert scene.routing(state(a=model("1.0"))).models["a"].versions["1.0"].deadline == pytest.approx(27)


def test_a_model_is_ready_when_its_default_is(scene: Scene) -> None:
    scene.life("1.0", "ready")
    scene.life("2.0", "failed")
    scene.node.defaults["a"] = "1.0"
    found = scene.routing(state(a=model("1.0", "2.0")))
    assert (found.ready, found.healthy, found.stopping) == (True, True, False)
    assert found.models["a"].default == "1.0"
    assert {number: one.unready for number, one in found.models["a"].versions.items()} == {
        "1.0": "",
        "2.0": "can't be loaded",
    }


@pytest.mark.parametrize("as_state", ["waiting", "loading", "recovering", "failed"])
def test_one_model_that_cant_answer_makes_the_whole_not_ready_and_no_other_model(
    scene: Scene, as_state: State
) -> None:
    scene.life("1.0", as_state)
    scene.life("1.0", "ready", "b")
    if as_state == "recovering":
        one = scene.node.lives["a", "1.0"]
        one.see(Registered("1.0", [dead(9000)], QueueSeen(0)), set())
    scene.node.defaults.update(a="1.0", b="1.0")
    found = scene.routing(state(a=model("1.0"), b=model("1.0")))
    assert found.models["a"].versions["1.0"].unready
    assert not found.models["b"].versions["1.0"].unready
    assert (found.ready, found.healthy) == (False, True)


def test_a_wanted_model_that_isnt_there_yet_makes_the_whole_not_ready(scene: Scene) -> None:
    assert not scene.routing(state(a=model("1.0"))).ready
    assert scene.routing(state(a=model("1.0", paused=True))).ready


def test_without_torchserve_every_model_is_restarting_and_nothing_is_healthy(scene: Scene) -> None:
    scene.life("1.0", "ready")
    scene.life("1.0", "failed", "b")
    scene.node.defaults.update(a="1.0", b="1.0")
    found = scene.routing(state(a=model("1.0"), b=model("1.0")), alive=False)
    assert {one.versions["1.0"].unready for one in found.models.values()} == {"is restarting"}
    assert (found.ready, found.healthy) == (False, False)


@pytest.mark.parametrize(("phase", "stopping"), [("starting", False), ("stopping", True)])
def test_only_a_node_that_serves_is_ready(scene: Scene, phase: Phase, stopping: bool) -> None:
    scene.life("1.0", "ready")
    scene.node.defaults["a"] = "1.0"
    found = scene.routing(state(a=model("1.0")), phase)
    assert (found.ready, found.healthy, found.stopping) == (False, True, stopping)


@pytest.mark.parametrize(
    "wanted",
    [
        state(a=model("2.0")),
        state(a=model("2.0", "1.0", leaving=("1.0",))),
        state(a=model("2.0", "1.0", paused=True)),
        state(),
    ],
    ids=["replaced", "leaving", "paused", "unknown"],
)
def test_no_route_leads_to_what_isnt_wanted_though_its_cluster_stays(scene: Scene, wanted: Wanted) -> None:
    scene.life("1.0", "ready")
    scene.life("2.0", "ready")
    scene.node.defaults["a"] = "2.0"
    found = scene.routing(wanted).models["a"]
    assert found.versions["1.0"].leaving
    assert not found.versions["2.0"].leaving


def test_the_old_default_keeps_its_route_although_only_the_new_one_is_wanted(scene: Scene) -> None:
    scene.life("1.0", "ready")
    scene.life("2.0", "loading")
    scene.node.defaults["a"] = "1.0"
    found = scene.routing(state(a=model("2.0"))).models["a"]
    assert (found.default, found.versions["1.0"].leaving) == ("1.0", False)
    assert found.versions["2.0"].unready == "is loading"


def test_a_model_that_leaves_has_no_default(scene: Scene) -> None:
    scene.life("1.0", "leaving")
    found = scene.routing(state(a=model("1.0", leaving=("1.0",))))
    assert found.models["a"].default == ""


def test_a_model_that_is_being_unregistered_leaves_the_node_ready(scene: Scene) -> None:
    scene.life("1.0", "leaving")
    assert scene.routing(state(a=model("1.0", leaving=("1.0",)))).ready


def test_nobody_is_led_to_a_version_that_is_being_taken_away(scene: Scene) -> None:
    scene.life("1.0", "leaving").call = Future()
    scene.node.defaults["a"] = "1.0"
    found = scene.routing(state(a=model("1.0"))).models["a"]  # wanted again, a moment too late
    assert found.versions["1.0"].unready


def test_what_is_seen_has_workers_queue_and_requests_in_flight(scene: Scene) -> None:
    one = scene.life("1.0", "ready", workers=3)
    workers = [ready(9000), ready(9001), dead(9002)]
    one.see(Registered("1.0", workers, QueueSeen(4)), with_process(workers))
    one.ask(7)
    scene.node.defaults["a"] = "1.0"
    scene.active = 5
    found = views.seen(scene.node, state(7, a=model("1.0", workers=3)))["a"]
    assert found.default == "1.0"
    shown = found.versions["1.0"]
    assert (shown.state, shown.ready, shown.wanted, shown.asked) == ("ready", 2, 3, 7)
    assert (shown.queue, shown.active, shown.device) == (4, 5, "cpu")
    assert shown.memory > 2**20


def test_without_a_gateway_nobody_counts_requests(scene: Scene) -> None:
    scene.life("1.0", "ready")
    scene.active = None
    assert views.seen(scene.node, state(a=model("1.0")))["a"].versions["1.0"].active is None


def test_what_its_workers_execute_is_seen(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.life("1.0", "ready")
    monkeypatch.setenv(word.FOLDER, str(scene.node.told))
    execution.leave("a", "1.0", Execution("openvino", "", ""))
    shown = views.seen(scene.node, state(a=model("1.0")))["a"].versions["1.0"]
    assert shown.runtime == "openvino"


def test_a_failure_is_seen_with_its_reason_and_the_seconds_to_the_next_try(
    scene: Scene, clock: Clock
) -> None:
    one = scene.life("1.0", "waiting")
    one.fail("SampleMismatch: seven is 9", "Traceback")
    clock.now += 1.04
    shown = views.seen(scene.node, state(a=model("1.0")))["a"].versions["1.0"]
    assert (shown.state, shown.reason, shown.traceback) == (
        "failed",
        "SampleMismatch: seven is 9",
        "Traceback",
    )
    assert (shown.attempts, shown.retry_in, shown.active) == (1, 4, None)
    clock.now += 100
    assert views.seen(scene.node, state(a=model("1.0")))["a"].versions["1.0"].retry_in == 0


def test_what_leaves_is_seen_with_the_workers_that_it_was_given(scene: Scene) -> None:
    scene.life("1.0", "leaving", workers=2)
    assert views.seen(scene.node, state())["a"].versions["1.0"].wanted == 2


@pytest.mark.parametrize("as_state", ["loading", "failed"])
def test_samples_havent_passed_before_a_worker_was_ready(scene: Scene, as_state: State) -> None:
    one = scene.life("1.0", as_state)
    sample = {"input": "x.npy", "expect": [1.0]}
    one.recipe = msgspec.convert(recipe_of("a", "1.0", handler={"samples": [sample]}), Recipe)
    assert "passed" not in views.seen(scene.node, state(a=model("1.0")))["a"].versions["1.0"].samples


@pytest.mark.parametrize(("sample", "left"), [({}, ("input", "output")), ({"expect": [1.0]}, ())])
def test_what_is_assumed_is_seen_until_a_sample_proves_it(
    scene: Scene, sample: dict[str, object], left: tuple[str, ...]
) -> None:
    one = scene.life("1.0", "ready")
    handler = {"assumed": ["input", "output"], "samples": [{"input": "a.json", **sample}]}
    one.recipe = msgspec.convert(recipe_of("a", "1.0", handler=handler), Recipe)
    assert views.seen(scene.node, state(a=model("1.0")))["a"].versions["1.0"].assumed == left
    one.recipe = None
    assert views.seen(scene.node, state(a=model("1.0")))["a"].versions["1.0"].assumed == ()


@pytest.fixture
def lock() -> Iterator[str]:
    """A socket of somebody who lives."""
    with Scratch("test-") as folder:
        yield str(folder / "socket")


def beside(socket: str) -> Wanted:
    """With 2.0 as the canary of a, and compared with its default."""
    found = model("1.0", "2.0", canary=WantedCanary("2.0", 5.0), mirror=WantedMirror("2.0", 50.0, socket))
    return state(a=found)


def test_canary_and_mirror_are_told_while_their_version_answers(scene: Scene, lock: str) -> None:
    scene.life("1.0", "ready")
    scene.life("2.0", "ready")
    scene.node.defaults["a"] = "1.0"
    found = scene.routing(beside(lock)).models["a"]
    assert (found.default, found.canary, found.mirror) == ("1.0", Canary("2.0", 5.0), Mirror(lock, 50.0))
    shown = views.seen(scene.node, beside(lock))["a"]
    assert (shown.canary, shown.shadow) == (SeenShare("2.0", 5.0), SeenShare("2.0", 50.0))
    away = scene.routing(beside(lock), alive=False).models["a"]
    assert away.canary is away.mirror is None


@pytest.mark.parametrize("as_state", ["waiting", "loading", "recovering", "failed"])
def test_while_it_doesnt_answer_all_go_to_the_default(scene: Scene, as_state: State, lock: str) -> None:
    scene.life("1.0", "ready")
    scene.life("2.0", as_state).state = as_state
    scene.node.defaults["a"] = "1.0"
    found = scene.routing(beside(lock)).models["a"]
    assert found.canary is found.mirror is None
    shown = views.seen(scene.node, beside(lock))["a"]
    assert shown.canary is shown.shadow is None


def test_what_isnt_wanted_any_more_or_is_the_default_has_no_share(scene: Scene, lock: str) -> None:
    scene.life("1.0", "recovering")
    scene.life("2.0", "ready")
    scene.node.defaults["a"] = "2.0"
    found = scene.routing(beside(lock)).models["a"]
    assert found.canary is found.mirror is None
    scene.node.defaults["a"] = "1.0"
    assert scene.routing(state(a=model("1.0"))).models["a"].canary is None
    assert scene.routing(state()).models["a"].canary is None
