"""A node makes TorchServe's registrations what is wanted: step by step, and each version for itself."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future
from pathlib import Path

import pytest

from scripts.errors import CommandError
from scripts.places import Places
from scripts.serving import life, node, pauses, registering
from scripts.serving.life import Life
from scripts.serving.management import NoAnswer
from scripts.serving.node import Node
from scripts.state.wanted import Wanted, WantedModel, WantedVersion
from tests.fakes import Management, Pool, Server, booting, dead, ready, stop_time
from tests.states import model, pack, state

ENCRYPTED = 1  # a flag of a zip entry


class Scene:
    """A node with a TorchServe beside it; `turn` is one of the supervisor's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = stop_time(monkeypatch, life, node, pauses, registering)
        self.pool = Pool()
        monkeypatch.setattr(node, "ThreadPoolExecutor", lambda *_, **__: self.pool)
        self.places = Places(store=folder / "store", state=folder / "state")
        self.server = Server(folder)
        self.active: dict[tuple[str, str], int] = {}
        self.gateway = True
        self.said: list[str] = []
        self.node = Node(self.places, self.server, self._active, self.said.append)  # type: ignore[arg-type]

    @property
    def torchserve(self) -> Management:
        return self.server.management

    def pack(self, name: str, *versions: str, **keys: int) -> None:
        for version in versions:
            pack(self.places.store, name, version, **keys)

    def turn(self, wanted: Wanted) -> None:
        """One turn; what it began has ended when the next one starts."""
        self.pool.run()
        self.node.reconcile(wanted)
        self.node.unrouted()
        self.clock.now += 0.25

    def settle(self, wanted: Wanted, turns: int = 8) -> None:
        """Long enough for everything that needs no more than time."""
        for _ in range(turns):
            self.turn(wanted)

    def life(self, version: str, name: str = "a") -> Life:
        return self.node.lives[name, version]

    def states(self) -> dict[str, str]:
        return {f"{name} {version}": one.state for (name, version), one in self.node.lives.items()}

    def registered(self) -> list[str]:
        return [f"{name} {version}" for name, version in self.torchserve.workers]

    def kill_workers(self, version: str = "1.0", name: str = "a") -> None:
        workers = self.torchserve.workers[name, version]
        workers[:] = [dead(int(worker.id)) for worker in workers]

    def _active(self, name: str, version: str) -> int | None:
        return self.active.get((name, version), 0) if self.gateway else None


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def test_what_is_wanted_is_registered_once_with_as_many_workers(scene: Scene) -> None:
    scene.pack("a", "1.0", workers=2)
    scene.pack("b", "3.1")
    wanted = state(a=model("1.0", workers=2), b=model("3.1", workers=4))
    scene.settle(wanted)
    assert scene.states() == {"a 1.0": "ready", "b 3.1": "ready"}
    assert (scene.life("1.0").ready, scene.life("3.1", "b").ready) == (2, 4)
    assert scene.torchserve.done("register") == [("a", "1.0"), ("b", "3.1")]
    assert scene.node.defaults == {"a": "1.0", "b": "3.1"}


def test_what_is_paused_or_unregistered_is_not_registered(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.settle(state(a=model("1.0", paused=True), b=WantedModel("1.0")))
    assert scene.torchserve.calls == []
    assert scene.node.lives == {}


def test_a_model_that_loads_is_not_ready(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.turn(state(a=model("1.0")))
    assert scene.states() == {"a 1.0": "loading"}
    scene.turn(state(a=model("1.0")))
    assert scene.states() == {"a 1.0": "ready"}


def test_the_old_default_answers_until_the_new_one_is_ready(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0")
    scene.settle(state(a=model("1.0")))
    wanted = state(a=model("2.0"))
    scene.turn(wanted)
    assert scene.states() == {"a 1.0": "ready", "a 2.0": "loading"}
    assert scene.node.defaults == {"a": "1.0"}
    scene.turn(wanted)
    assert scene.states() == {"a 1.0": "leaving", "a 2.0": "ready"}
    assert scene.node.defaults == {"a": "2.0"}
    assert scene.torchserve.done("set_default") == [("a", "1.0"), ("a", "2.0")]
    scene.settle(wanted)
    assert scene.registered() == ["a 2.0"]
    assert scene.states() == {"a 2.0": "ready"}


def test_the_old_default_stays_when_the_new_one_fails(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0")
    scene.settle(state(a=model("1.0")))
    scene.torchserve.broken["a", "2.0"] = "its samples differ"
    scene.settle(state(a=model("2.0")))
    assert scene.states() == {"a 1.0": "ready", "a 2.0": "failed"}
    assert scene.node.defaults == {"a": "1.0"}


def test_a_version_beside_the_default_doesnt_take_its_place(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0")
    scene.torchserve.broken["a", "1.0"] = "its samples differ"
    scene.settle(state(a=model("1.0", "2.0")))
    assert scene.states() == {"a 1.0": "failed", "a 2.0": "ready"}
    assert scene.node.defaults == {"a": "1.0"}


def test_torchserves_default_is_the_wanted_one_whichever_came_first(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0")
    scene.settle(state(a=WantedModel("2.0", {"1.0": WantedVersion(1), "2.0": WantedVersion(1)})))
    assert scene.torchserve.defaults == {"a": "2.0"}


@pytest.mark.parametrize("busy", ["active", "pending"])
def test_what_leaves_stays_registered_while_requests_are_in_flight(scene: Scene, busy: str) -> None:
    scene.pack("a", "1.0", "2.0")
    scene.settle(state(a=model("1.0")))
    counted = scene.active if busy == "active" else scene.torchserve.pending
    counted["a", "1.0"] = 1
    scene.settle(state(a=model("2.0")), 400)
    assert scene.registered() == ["a 1.0", "a 2.0"]
    counted.clear()
    scene.settle(state(a=model("2.0")))
    assert scene.registered() == ["a 2.0"]


def test_what_leaves_stays_registered_for_a_while_after_its_route_has_gone(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0")
    scene.settle(state(a=model("1.0")))
    scene.turn(state(a=model("2.0")))
    scene.pool.run()
    for _ in range(20):
        scene.clock.now += 10
        scene.node.reconcile(state(a=model("2.0")))  # the gateway couldn't be told
    assert scene.pool.waiting == []
    scene.node.unrouted()
    scene.clock.now += life.HOLD - 0.01
    scene.node.reconcile(state(a=model("2.0")))
    assert scene.pool.waiting == []
    scene.clock.now += 0.02
    scene.node.reconcile(state(a=model("2.0")))
    assert len(scene.pool.waiting) == 1


def test_without_a_gateway_what_leaves_stays_for_as_long_as_an_answer_may_take(scene: Scene) -> None:
    scene.gateway = False
    scene.pack("a", "1.0", "2.0")
    scene.settle(state(a=model("1.0")))
    scene.settle(state(a=model("2.0")), 3)
    begun = scene.clock.now
    while "a 1.0" in scene.registered() and scene.clock.now < begun + 100:
        scene.turn(state(a=model("2.0")))
    assert 28 < scene.clock.now - begun < 32, "its responseTimeout is 30 s"


def test_a_model_that_leaves_has_no_default_and_is_gone_in_the_end(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.settle(state(a=model("1.0")))
    wanted = state(a=model("1.0", leaving=("1.0",)))
    scene.turn(wanted)
    assert (scene.states(), scene.node.defaults) == ({"a 1.0": "leaving"}, {})
    scene.settle(wanted)
    assert (scene.node.lives, scene.registered()) == ({}, [])
    scene.settle(wanted)
    assert len(scene.torchserve.done("register")) == 1, "what leaves isn't registered again"


def test_what_was_to_leave_serves_on_when_it_is_wanted_again(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.settle(state(a=model("1.0")))
    scene.active["a", "1.0"] = 1
    scene.settle(state(a=model("1.0", leaving=("1.0",))))
    assert scene.states() == {"a 1.0": "leaving"}
    scene.settle(state(a=model("1.0")))
    assert (scene.states(), scene.node.defaults) == ({"a 1.0": "ready"}, {"a": "1.0"})
    assert scene.torchserve.done("unregister") == []
    scene.active.clear()
    scene.settle(state(a=model("1.0")))
    assert scene.registered() == ["a 1.0"]


def test_what_is_wanted_again_while_it_is_taken_away_is_registered_anew(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.settle(state(a=model("1.0")))
    for _ in range(4):
        scene.node.reconcile(state(a=model("1.0", leaving=("1.0",))))
        scene.node.unrouted()
        scene.clock.now += 0.25
    assert len(scene.pool.waiting) == 1
    scene.settle(state(a=model("1.0")))
    assert scene.states() == {"a 1.0": "ready"}
    assert scene.registered() == ["a 1.0"]
    assert len(scene.torchserve.done("register")) == 2


def test_a_model_with_two_versions_can_leave_as_a_whole(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0")
    scene.settle(state(a=model("1.0", "2.0")))
    scene.settle(state(a=model("1.0", "2.0", leaving=("1.0", "2.0"))), 40)
    assert scene.registered() == []


def test_what_leaves_without_a_living_worker_leaves_although_its_queue_is_not_empty(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0")
    scene.settle(state(a=model("1.0")))
    scene.settle(state(a=model("2.0")), 2)
    scene.kill_workers("1.0")
    scene.torchserve.pending["a", "1.0"] = 3
    scene.settle(state(a=model("2.0")), 1000)
    assert scene.registered() == ["a 2.0"]


def test_more_workers_are_asked_for_at_once(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.settle(state(a=model("1.0")))
    scene.active["a", "1.0"] = 9
    scene.settle(state(a=model("1.0", workers=3)))
    assert scene.torchserve.done("scale") == [("a", "1.0", 3)]
    assert scene.life("1.0").ready == 3


@pytest.mark.parametrize("busy", ["active", "pending"])
def test_fewer_workers_are_asked_for_when_it_is_idle(scene: Scene, busy: str) -> None:
    scene.pack("a", "1.0", workers=3)
    scene.settle(state(a=model("1.0", workers=3)))
    counted = scene.active if busy == "active" else scene.torchserve.pending
    counted["a", "1.0"] = 1
    scene.settle(state(a=model("1.0", workers=1)), 100)
    assert scene.torchserve.done("scale") == []
    counted.clear()
    scene.settle(state(a=model("1.0", workers=1)))
    assert scene.torchserve.done("scale") == [("a", "1.0", 1)]


def test_a_killed_worker_is_left_to_torchserve(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.settle(state(a=model("1.0")))
    before = list(scene.torchserve.calls)
    scene.kill_workers()
    scene.settle(state(a=model("1.0")), 4)
    assert scene.states() == {"a 1.0": "recovering"}
    scene.torchserve.workers["a", "1.0"] = [booting(9000)]
    scene.settle(state(a=model("1.0")), 400)
    assert scene.states() == {"a 1.0": "recovering"}
    scene.torchserve.workers["a", "1.0"] = [ready(9000)]
    scene.settle(state(a=model("1.0")), 1)
    assert scene.states() == {"a 1.0": "ready"}
    assert scene.torchserve.calls == before
    assert scene.said == ["a 1.0: ready -> recovering", "a 1.0: recovering -> ready"]


def test_workers_without_a_process_for_seconds_are_started_anew(scene: Scene) -> None:
    scene.pack("a", "1.0", workers=2)
    wanted = state(a=model("1.0", workers=2))
    scene.settle(wanted)
    scene.kill_workers()
    scene.torchserve.pending["a", "1.0"] = 3
    scene.settle(wanted, 20)
    assert scene.torchserve.done("scale") == [("a", "1.0", 0), ("a", "1.0", 2)]
    assert (scene.states(), scene.life("1.0").ready) == ({"a 1.0": "ready"}, 2)
    assert scene.torchserve.done("unregister") == [], "what waits in its queue is answered"


def test_workers_that_end_again_and_again_make_it_fail_with_their_reason(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.pack("a", "1.0")
    scene.pack("b", "1.0")
    wanted = state(a=model("1.0"), b=model("1.0"))
    scene.settle(wanted)
    scene.kill_workers()
    monkeypatch.setattr("tests.fakes.ready", dead)
    (scene.torchserve.failures / "a-1.0.txt").write_text("OSError: no disk\n\nTraceback\n  in read")
    scene.settle(wanted, 60)
    failed = scene.life("1.0")
    assert (failed.state, failed.reason, failed.traceback) == (
        "failed",
        "OSError: no disk",
        "Traceback\n  in read",
    )
    assert scene.torchserve.done("scale") == [("a", "1.0", 0), ("a", "1.0", 1)] * node.RESTARTS
    assert scene.torchserve.done("unregister")[0] == ("a", "1.0")
    assert scene.node.lives["b", "1.0"].state == "ready"


def test_a_model_that_failed_so_comes_back_when_its_workers_live(scene: Scene) -> None:
    scene.pack("a", "1.0")
    wanted = state(a=model("1.0"))
    scene.settle(wanted)
    scene.life("1.0").restarts = node.RESTARTS
    scene.kill_workers()
    scene.settle(wanted, 16)
    assert scene.states() == {"a 1.0": "failed"}
    scene.settle(wanted, 30)
    assert scene.states() == {"a 1.0": "ready"}
    assert scene.torchserve.defaults == {"a": "1.0"}


def test_a_model_whose_new_workers_couldnt_be_asked_for_gets_them_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.pack("a", "1.0")
    wanted = state(a=model("1.0"))
    scene.settle(wanted)
    scene.kill_workers()
    real = scene.torchserve.scale

    def only_to_none(name: str, version: str, workers: int) -> None:
        real(name, version, workers)
        scene.torchserve.unscalable.add(name)

    monkeypatch.setattr(scene.torchserve, "scale", only_to_none)
    for _ in range(20):
        with contextlib.suppress(CommandError):
            scene.turn(wanted)
        if scene.torchserve.unscalable:
            break
    assert scene.torchserve.workers["a", "1.0"] == []
    scene.torchserve.unscalable.clear()
    monkeypatch.setattr(scene.torchserve, "scale", real)
    scene.settle(wanted, 400)
    assert scene.states() == {"a 1.0": "ready"}


def test_a_default_with_another_version_beside_it_is_registered_anew_as_well(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0")
    wanted = state(a=model("1.0", "2.0"))
    scene.settle(wanted)
    scene.life("1.0").restarts = node.RESTARTS
    scene.kill_workers("1.0")
    scene.settle(wanted, 200)
    assert scene.states() == {"a 1.0": "ready", "a 2.0": "ready"}


def test_a_worker_that_boots_is_not_ended_for_another_that_was_given_up(scene: Scene) -> None:
    scene.pack("a", "1.0", workers=2)
    wanted = state(a=model("1.0", workers=2))
    scene.settle(wanted)
    scene.torchserve.workers["a", "1.0"] = [dead(0), booting(1)]
    scene.settle(wanted, 100)
    assert scene.torchserve.done("scale") == []


def test_a_worker_that_was_given_up_gets_a_successor(scene: Scene) -> None:
    scene.pack("a", "1.0", workers=2)
    wanted = state(a=model("1.0", workers=2))
    scene.settle(wanted)
    scene.torchserve.workers["a", "1.0"][0] = dead(9000)
    scene.settle(wanted, 30)
    assert scene.torchserve.done("scale") == [], "while TorchServe tries"
    scene.settle(wanted, 60)
    assert scene.torchserve.done("scale") == [("a", "1.0", 3)]
    assert (scene.states(), scene.life("1.0").ready) == ({"a 1.0": "ready"}, 2)
    scene.settle(wanted, 60)
    assert len(scene.torchserve.done("scale")) == 1


def test_a_version_that_fails_is_backed_off_and_disturbs_no_other(scene: Scene) -> None:
    scene.pack("bad", "1.0")
    scene.pack("good", "1.0")
    scene.torchserve.broken["bad", "1.0"] = "SampleMismatch: seven is 9\n\nTraceback\n  in predict"
    wanted = state(bad=model("1.0"), good=model("1.0"))
    scene.settle(wanted, 60)  # 15 s: tries at 0, 5 and 15
    failed = scene.life("1.0", "bad")
    assert (failed.state, failed.reason.partition(";")[0]) == ("failed", "SampleMismatch: seven is 9")
    assert failed.traceback == "Traceback\n  in predict"
    assert scene.torchserve.done("register").count(("bad", "1.0")) == 2
    assert scene.torchserve.done("register").count(("good", "1.0")) == 1
    assert scene.node.lives["good", "1.0"].state == "ready"
    scene.torchserve.broken.clear()
    scene.settle(wanted, 60)
    assert scene.states() == {"bad 1.0": "ready", "good 1.0": "ready"}


def test_a_version_that_failed_is_tried_at_once_when_it_is_asked_for_anew(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.torchserve.broken["a", "1.0"] = "no weights"
    scene.settle(state(a=model("1.0")), 3)
    scene.torchserve.broken.clear()
    scene.settle(state(2, a=WantedModel("1.0", {"1.0": WantedVersion(1, asked=2)})), 2)
    assert scene.states() == {"a 1.0": "ready"}
    assert scene.life("1.0").asked == 2


def test_a_version_that_failed_and_isnt_wanted_any_more_is_forgotten(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0")
    scene.torchserve.broken["a", "2.0"] = "no weights"
    scene.settle(state(a=model("1.0", "2.0")))
    assert scene.states()["a 2.0"] == "failed"
    scene.settle(state(a=model("1.0")), 1)
    assert scene.states() == {"a 1.0": "ready"}


def test_a_version_that_isnt_wanted_any_more_while_it_loads_is_taken_away_after_it(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0")
    scene.settle(state(a=model("1.0")))
    scene.turn(state(a=model("1.0", "2.0")))
    scene.settle(state(a=model("1.0")))
    assert (scene.states(), scene.registered()) == ({"a 1.0": "ready"}, ["a 1.0"])


def test_two_versions_of_one_model_are_never_registered_at_the_same_time(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0", "3.0")
    scene.pack("b", "1.0")
    wanted = state(a=model("1.0", "2.0", "3.0"), b=model("1.0"))
    under_way = []
    for _ in range(8):
        scene.node.reconcile(wanted)
        under_way.append(sorted(name for (name, _), one in scene.node.lives.items() if one.call is not None))
        scene.pool.run()
    assert under_way[:4] == [["a", "b"], ["a"], ["a"], []]
    assert set(scene.states().values()) == {"ready"}


def test_a_version_is_not_taken_away_while_another_one_loads(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0", "3.0")
    scene.settle(state(a=model("1.0", "2.0")))
    for _ in range(8):
        scene.node.reconcile(state(a=model("1.0", "3.0")))  # 2.0 leaves, 3.0 loads for two seconds
        scene.node.unrouted()
        scene.clock.now += 0.25
    assert len(scene.pool.waiting) == 1
    scene.settle(state(a=model("1.0", "3.0")))
    assert scene.registered() == ["a 1.0", "a 3.0"]


def test_after_javas_end_everything_wanted_is_registered_again(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0")
    scene.pack("b", "1.0")
    scene.settle(state(a=model("1.0", "2.0"), b=model("1.0")))
    wanted = state(a=model("1.0"), b=model("1.0", workers=3))
    scene.turn(wanted)
    assert scene.states()["a 2.0"] == "leaving"
    scene.torchserve.forget()
    scene.node.reset()
    assert scene.states() == {"a 1.0": "waiting", "b 1.0": "waiting"}
    scene.settle(wanted)
    assert scene.states() == {"a 1.0": "ready", "b 1.0": "ready"}
    assert scene.life("1.0", "b").ready == 3
    assert scene.torchserve.defaults == {"a": "1.0", "b": "1.0"}


def test_after_javas_end_its_default_is_the_wanted_one_again(scene: Scene) -> None:
    scene.pack("a", "1.0", "2.0")
    wanted = state(a=WantedModel("2.0", {"1.0": WantedVersion(1), "2.0": WantedVersion(1)}))
    scene.settle(wanted)
    scene.torchserve.forget()
    scene.node.reset()
    scene.settle(wanted)
    assert scene.torchserve.defaults == {"a": "2.0"}


def test_after_javas_end_what_failed_waits_for_its_next_try_still(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.torchserve.broken["a", "1.0"] = "no weights"
    scene.settle(state(a=model("1.0")), 3)
    scene.node.reset()
    scene.settle(state(a=model("1.0")), 3)
    assert scene.life("1.0").retries.tries == 1
    assert len(scene.torchserve.done("register")) == 1


def test_an_archive_that_is_gone_is_a_reason(scene: Scene) -> None:
    scene.pack("b", "1.0")
    scene.settle(state(a=model("1.0"), b=model("1.0")))
    assert scene.states() == {"a 1.0": "failed", "b 1.0": "ready"}
    assert "a-1.0.mar" in scene.life("1.0").reason
    assert "No such file" in scene.life("1.0").reason
    assert scene.torchserve.done("register") == [("b", "1.0")]


def test_a_damaged_archive_is_a_reason_as_well(scene: Scene) -> None:
    scene.pack("a", "1.0")
    path = scene.places.store / "a-1.0.mar"
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= ENCRYPTED
    path.write_bytes(content)
    scene.settle(state(a=model("1.0")))
    assert scene.states() == {"a 1.0": "failed"}


def test_an_archive_under_another_versions_name_takes_nothing_away(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.settle(state(a=model("1.0")))
    pack(scene.places.store, "a", "1.0", called="2.0")
    scene.settle(state(a=model("1.0", "2.0")), 3)
    assert scene.states() == {"a 1.0": "ready", "a 2.0": "failed"}
    assert scene.registered() == ["a 1.0"]


def test_a_version_that_torchserve_has_lost_is_registered_again(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.settle(state(a=model("1.0")))
    scene.torchserve.forget()
    scene.settle(state(a=model("1.0")))
    assert scene.registered() == ["a 1.0"]


def test_a_version_that_cant_be_scaled_disturbs_no_other(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.pack("b", "1.0")
    scene.settle(state(a=model("1.0")))
    scene.torchserve.unscalable.add("a")
    scene.settle(state(a=model("1.0", workers=2), b=model("1.0")))
    assert scene.states() == {"a 1.0": "ready", "b 1.0": "ready"}


def test_a_torchserve_that_doesnt_answer_is_told(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.settle(state(a=model("1.0")))
    scene.torchserve.answering = False
    with pytest.raises(CommandError, match="doesn't answer"):
        scene.turn(state(a=model("1.0")))
    scene.torchserve.answering = True
    scene.turn(state(a=model("1.0")))
    assert scene.states() == {"a 1.0": "ready"}


def test_a_torchserve_that_ends_while_it_registers_is_a_reason(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.turn(state(a=model("1.0")))
    scene.torchserve.answering = False
    scene.pool.run()
    scene.torchserve.answering = True
    scene.turn(state(a=model("1.0")))
    assert scene.states() == {"a 1.0": "failed"}
    assert "doesn't answer" in scene.life("1.0").reason


def test_workers_that_never_become_ready_are_a_reason_and_taken_away(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.pack("a", "1.0")
    monkeypatch.setattr("tests.fakes.ready", booting)
    scene.settle(state(a=model("1.0")), 3)
    assert scene.life("1.0").reason.startswith("its workers weren't READY after 120 s; see")
    assert scene.clock.now > 1120, "the recipe's startupTimeout"
    assert scene.registered() == []


def test_closing_leaves_nothing_to_begin(scene: Scene) -> None:
    scene.pack("a", "1.0")
    scene.turn(state(a=model("1.0")))
    assert isinstance(scene.pool.waiting[0][0], Future)
    scene.node.close()
    assert scene.pool.waiting == []


def test_a_default_that_torchserve_doesnt_take_disturbs_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.pack("a", "1.0")
    scene.pack("b", "1.0")
    real = scene.torchserve.set_default

    def refuse(name: str, version: str) -> None:
        if name == "a":
            raise CommandError("TorchServe can't make 1.0 the default of a: status 500")
        real(name, version)

    monkeypatch.setattr(scene.torchserve, "set_default", refuse)
    scene.settle(state(a=model("1.0"), b=model("1.0", workers=3)))
    assert scene.states() == {"a 1.0": "ready", "b 1.0": "ready"}
    assert scene.life("1.0", "b").ready == 3
    assert scene.said == ["a 1.0: TorchServe can't make 1.0 the default of a: status 500"]


def test_what_leaves_doesnt_wait_for_what_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are as many threads for each as cores, and a model may load for minutes."""
    scene, pools = Scene(tmp_path, monkeypatch), []
    monkeypatch.setattr(node, "ThreadPoolExecutor", lambda *_, **__: pools.append(Pool()) or pools[-1])
    scene.node = Node(scene.places, scene.server, scene._active, scene.said.append)  # type: ignore[arg-type]
    registering_pool, leaving_pool = pools
    scene.pack("a", "1.0")
    scene.pack("b", "1.0")
    scene.node.reconcile(state(a=model("1.0")))
    registering_pool.run()
    for _ in range(8):
        scene.node.reconcile(state(a=model("1.0", leaving=("1.0",)), b=model("1.0")))
        scene.node.unrouted()
        scene.clock.now += 0.25
    assert (len(registering_pool.waiting), len(leaving_pool.waiting)) == (1, 1)
    leaving_pool.run()
    assert scene.registered() == []
    scene.node.close()
    assert registering_pool.waiting == []


def test_the_machines_processes_are_looked_at_once_a_turn(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = state(**{name: model("1.0") for name in "abcd"})
    for name in "abcd":
        scene.pack(name, "1.0")
    scene.settle(wanted)
    looks: list[None] = []
    real = scene.server.running
    monkeypatch.setattr(scene.server, "running", lambda: looks.append(None) or real())
    scene.turn(wanted)
    assert looks == [], "while all are READY"
    for name in "abcd":
        scene.kill_workers(name=name)
    scene.turn(wanted)
    assert len(looks) == 1


def test_a_worker_that_never_comes_up_is_replaced_ever_more_seldom(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one fits on the GPU and a second doesn't, say: it counts among TorchServe's for ever."""
    scene.pack("a", "1.0", workers=2)
    wanted = state(a=model("1.0", workers=2))
    scene.settle(wanted)
    scene.torchserve.workers["a", "1.0"][0] = dead(9000)
    monkeypatch.setattr("tests.fakes.ready", dead)
    scene.settle(wanted, 4 * 3600)
    assert len(scene.torchserve.done("scale")) < 20, "in an hour"
    assert scene.life("1.0").state == "ready"
    monkeypatch.setattr("tests.fakes.ready", ready)
    scene.settle(wanted, 4 * 400)
    assert scene.life("1.0").ready == 2, "once it can"


def test_a_version_that_goes_leaves_torchserves_default_where_it_is(scene: Scene) -> None:
    """For those who ask it without our gateway."""
    scene.pack("a", "1.0", "2.0", "3.0")
    wanted = WantedModel("2.0", {number: WantedVersion(1) for number in ("1.0", "2.0", "3.0")})
    scene.settle(state(a=wanted))
    before = len(scene.torchserve.done("set_default"))
    leaving = {**wanted.versions, "3.0": WantedVersion(1, leaving=True)}
    scene.settle(state(a=WantedModel("2.0", leaving)))
    assert scene.registered() == ["a 1.0", "a 2.0"]
    assert set(scene.torchserve.done("set_default")[before:]) <= {("a", "2.0")}


def test_a_version_whose_registering_got_no_answer_is_taken_away(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its workers come up for nobody, and it is in the way of the next try."""
    scene.pack("a", "1.0")
    real = scene.torchserve.version

    def silent_once(name: str, version: str) -> None:
        monkeypatch.setattr(scene.torchserve, "version", real)
        raise NoAnswer("TorchServe's management API doesn't answer (ReadTimeout)")

    monkeypatch.setattr(scene.torchserve, "version", silent_once)
    scene.settle(state(a=model("1.0")), 2)
    assert "ReadTimeout" in scene.life("1.0").reason
    assert scene.registered() == []
    scene.settle(state(a=model("1.0")), 30)
    assert scene.states() == {"a 1.0": "ready"}


def test_a_reason_is_read_before_the_other_workers_are_ended(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.pack("a", "1.0", workers=2)
    scene.torchserve.broken["a", "1.0"] = "OSError: no disk\n\nTraceback\n  in read"
    left = scene.torchserve.failures / "a-1.0.txt"
    real = scene.torchserve.unregister

    def end_while_it_writes(name: str, version: str) -> None:
        left.write_text("")
        real(name, version)

    monkeypatch.setattr(scene.torchserve, "unregister", end_while_it_writes)
    scene.settle(state(a=model("1.0", workers=2)), 2)
    assert scene.life("1.0").reason.startswith("OSError: no disk")
