"""The supervisor's loop: Java and the gateway are kept alive, callers are told first, and stopping waits."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from scripts import up
from scripts.errors import CommandError
from scripts.gateway.envoy import DRAIN_TIME
from scripts.gateway.routing import Mirror
from scripts.places import Places
from scripts.processes import scratch
from scripts.processes.scratch import Scratch
from scripts.serving import gatekeeper, life, node, pauses, registering, supervisor, views
from scripts.serving.supervisor import LONGEST_PAUSE, POLL, SILENCE, START_TIMEOUT, Supervisor
from scripts.state import durable, observed, wanted
from scripts.state.observed import Observed
from scripts.state.wanted import WantedMirror
from tests.fakes import Gateway, Pool, Server, dead, stop_time
from tests.states import model, pack, seen, settings, store


class Scene:
    """A supervisor with a TorchServe and a gateway that start at once."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = stop_time(monkeypatch, gatekeeper, life, node, pauses, registering, supervisor, views)
        self.pool = Pool()
        monkeypatch.setattr(node, "ThreadPoolExecutor", lambda *_, **__: self.pool)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        self.places = Places(store=folder / "store", state=folder / "state")
        self.server = Server(folder)
        self.gateway = Gateway()
        self.said: list[str] = []
        self.made: list[Supervisor] = []
        self.supervisor = self.make(self.gateway)

    def make(self, gateway: Gateway | None) -> Supervisor:
        made = Supervisor(self.places, self.server, gateway, settings(), self.said.append)  # type: ignore[arg-type]
        self.made.append(made)
        return made

    def want(self, name: str = "a", **keys: int) -> None:
        pack(self.places.store, name, **keys)
        store(self.places, **{**wanted.load(self.places).models, name: model("1.0")})

    def turn(self) -> Observed:
        """One turn; what it began has ended when the next one starts."""
        self.pool.run()
        shown = self.supervisor.step()
        self.clock.now += POLL
        return shown

    def settle(self, turns: int = 8) -> Observed:
        for _ in range(turns):
            shown = self.turn()
        return shown

    def kill(self, version: str) -> None:
        """Its workers die as often as they are started."""
        self.server.management.broken["a", version] = "the disk is gone"
        self.server.management.workers["a", version] = [dead(0)]
        self.supervisor.node.lives["a", version].restarts = node.RESTARTS

    def serve(self) -> None:
        """Everything wanted is up."""
        self.supervisor.start()
        self.settle()
        self.supervisor.serving()
        self.turn()
        assert self.gateway.published[-1].ready
        self.said.clear()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    found = Scene(tmp_path, monkeypatch)
    yield found
    for made in found.made:
        made.stop()


def test_what_is_wanted_comes_up_and_is_published(scene: Scene) -> None:
    scene.want()
    scene.supervisor.start()
    with durable.locked(scene.places.supervisor_lock):
        first = observed.load(scene.places)
    assert first is not None
    assert (first.phase, first.torchserve, first.gateway) == ("starting", False, True)
    assert scene.gateway.published[0].models["a"].versions["1.0"].unready == "is restarting"
    shown = scene.settle()
    assert shown.models["a"].versions["1.0"].state == "ready"
    assert (shown.revision, shown.torchserve, shown.phase) == (1, True, "starting")
    assert (shown.url, shown.grpc) == ("http://127.0.0.1:8000", "127.0.0.1:8000")
    assert not scene.gateway.published[-1].ready
    scene.supervisor.serving()
    assert scene.turn().phase == "serving"
    assert scene.gateway.published[-1].ready
    assert (scene.server.starts, scene.gateway.starts) == (1, 1)


def test_without_a_gateway_torchserves_own_addresses_are_published(scene: Scene) -> None:
    bare = scene.make(None)
    bare.start()
    shown = bare.step()
    assert (shown.gateway, shown.url, shown.grpc) == (False, "http://127.0.0.1:8080", "127.0.0.1:7070")


def test_a_change_of_what_is_wanted_is_taken_in_at_the_next_turn(scene: Scene) -> None:
    scene.want()
    scene.serve()
    scene.want("b")
    assert scene.turn().revision == 2
    assert scene.settle().models["b"].versions["1.0"].state == "ready"


def test_a_torchserve_that_never_comes_up_ends_it_with_its_own_words(scene: Scene) -> None:
    scene.supervisor.start()
    scene.server.lives = False
    with pytest.raises(CommandError, match="its own last words"):
        scene.turn()


def test_before_torchserve_answers_nothing_is_asked_of_it(scene: Scene) -> None:
    scene.want()
    scene.server.replies = False
    scene.supervisor.start()
    assert not scene.settle(40).torchserve
    assert (scene.server.management.calls, scene.server.starts) == ([], 1)


def test_a_torchserve_that_doesnt_answer_in_time_is_started_again(scene: Scene) -> None:
    scene.server.replies = False
    scene.supervisor.start()
    scene.settle(int(START_TIMEOUT / POLL) + 2)
    assert scene.server.starts == 2


def test_when_java_ends_callers_are_told_before_it_is_started_again(scene: Scene) -> None:
    scene.want()
    scene.serve()
    told = []
    scene.server.starting = lambda: told.append(scene.gateway.published[-1])
    scene.server.lives = False
    shown = scene.turn()
    assert [(one.healthy, one.ready) for one in told] == [(False, False)]
    assert told[0].models["a"].versions["1.0"].unready == "is restarting"
    assert (shown.torchserve, shown.models["a"].versions["1.0"].state) == (False, "waiting")
    assert scene.said == ["TorchServe has ended"]
    scene.settle()
    assert scene.gateway.published[-1].ready
    assert scene.server.management.done("register") == [("a", "1.0")] * 2


def test_a_java_that_lives_and_is_silent_is_started_again(scene: Scene) -> None:
    scene.want()
    scene.serve()
    scene.server.management.answering = False
    scene.server.starting = lambda: setattr(scene.server.management, "answering", True)
    scene.settle(int(SILENCE / POLL) - 2)
    assert scene.server.starts == 1
    scene.settle(4)
    assert scene.server.starts == 2
    assert "TorchServe doesn't answer" in scene.said
    assert scene.settle().models["a"].versions["1.0"].state == "ready"


def test_a_short_silence_is_no_end(scene: Scene) -> None:
    scene.want()
    scene.serve()
    for _ in range(5):
        scene.server.management.answering = False
        scene.settle(int(SILENCE / POLL) - 4)
        scene.server.management.answering = True
        scene.turn()
    assert scene.server.starts == 1


def test_a_java_that_ends_again_and_again_is_started_ever_more_seldom(scene: Scene) -> None:
    scene.want()
    scene.serve()
    starts = []

    def fail() -> None:
        starts.append(scene.clock.now)
        raise CommandError("can't listen on 127.0.0.1:8080")

    scene.server.starting = fail
    scene.server.lives = False
    scene.settle(800)
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert [round(pause) for pause in pauses[:6]] == [1, 2, 4, 8, 16, 30]
    assert all(pause <= LONGEST_PAUSE + 2 * POLL for pause in pauses)
    assert scene.said[:2] == [
        "TorchServe has ended",
        "starting TorchServe: can't listen on 127.0.0.1:8080",
    ]
    scene.server.starting = lambda: None
    scene.settle(200)
    assert scene.gateway.published[-1].ready


def test_a_java_that_ends_for_hours_is_started_still(scene: Scene) -> None:
    scene.want()
    scene.serve()
    scene.server.lives = False
    scene.turn()
    scene.server.lives = False
    scene.supervisor._starts.tries = 1100
    scene.clock.now += 100
    scene.turn()
    assert scene.server.starts == 3


def test_a_java_that_was_up_may_end_twice_while_models_still_load(scene: Scene) -> None:
    scene.want()
    scene.supervisor.start()
    scene.turn()
    scene.server.lives = False
    scene.turn()
    scene.server.lives = False
    scene.settle(12)
    assert scene.server.starts == 3


def test_a_gateway_that_ends_is_started_again_with_all_that_is_so(scene: Scene) -> None:
    scene.want()
    scene.serve()
    scene.gateway.lives = False
    shown = scene.turn()
    assert (scene.gateway.starts, shown.gateway) == (2, True)
    assert scene.gateway.published[-1].ready
    assert scene.said == ["the gateway has ended; starting it again"]
    assert scene.server.starts == 1


def test_a_gateway_that_cant_be_started_is_tried_at_every_turn(scene: Scene) -> None:
    scene.want()
    scene.serve()
    scene.gateway.lives = False
    scene.gateway.refusal = CommandError("can't listen on 127.0.0.1:8000")
    assert not scene.settle(3).gateway
    assert scene.gateway.starts == 4
    assert "the gateway: can't listen on 127.0.0.1:8000" in scene.said
    scene.gateway.refusal = None
    assert scene.turn().gateway


def test_a_gateway_that_lives_and_doesnt_answer_ends_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.want()
    scene.serve()

    def silent(*_: object) -> int:
        raise CommandError("the gateway doesn't answer (timed out)")

    monkeypatch.setattr(scene.gateway, "active", silent)
    assert scene.turn().torchserve


def test_what_leaves_is_held_until_the_gateway_could_be_told(scene: Scene) -> None:
    scene.want()
    scene.serve()
    scene.gateway.refusal = CommandError("didn't take its routes")
    store(scene.places, a=model("1.0", leaving=("1.0",)))
    scene.settle(40)
    assert scene.server.management.done("unregister") == []
    scene.gateway.refusal = None
    scene.settle()
    assert scene.server.management.done("unregister") == [("a", "1.0")]


def test_a_damaged_state_is_mended_and_said_while_all_serve_on(scene: Scene) -> None:
    scene.want()
    scene.serve()
    wanted.path(scene.places).write_bytes(b"{")
    scene.settle(3)
    assert scene.said == [f"{wanted.path(scene.places)} was damaged: back to revision 1, the last good one"]
    assert scene.gateway.published[-1].ready


@pytest.mark.parametrize("content", [None, b"{"])
def test_a_state_lost_on_disk_takes_nothing_away_that_serves(scene: Scene, content: bytes | None) -> None:
    scene.want()
    scene.serve()
    for path in (wanted.path(scene.places), wanted.copy(scene.places)):
        path.unlink() if content is None else path.write_bytes(content)
    scene.settle(20)
    assert scene.server.management.done("unregister") == []


@pytest.mark.parametrize("where", ["publish", "start"])
def test_a_full_disk_ends_nothing_that_serves(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    scene.want()
    scene.serve()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if where == "publish":
        monkeypatch.setattr(observed, "publish", full)
    else:
        scene.server.starting, scene.server.lives = full, False
    scene.settle(3)


def test_what_the_last_supervisor_saw_isnt_shown_as_this_ones(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    observed.publish(scene.places, seen(9))
    looked: list[Observed | None] = []

    def look() -> list[str]:
        looked.append(observed.load(scene.places))
        raise KeyboardInterrupt

    monkeypatch.setattr(scratch, "clear", look)
    with pytest.raises(KeyboardInterrupt):
        up.up(Places(state=scene.places.state), [], None, True, console=None)  # type: ignore[arg-type]
    assert looked == [None]


@pytest.mark.parametrize("where", ["gateway", "queue"])
def test_draining_waits_for_what_was_accepted(scene: Scene, where: str) -> None:
    scene.want()
    scene.serve()
    scene.gateway.others = 2 if where == "gateway" else 0
    scene.server.management.pending["a", "1.0"] = 2 if where == "queue" else 0
    begun = scene.clock.now

    def answer() -> None:
        assert scene.gateway.published[-1].stopping
        if scene.clock.now > begun + 3:
            scene.gateway.others = 0
            scene.server.management.pending.clear()

    scene.clock.each = answer
    scene.supervisor.drain()
    assert 3 < scene.clock.now - begun < 4
    assert scene.server.lives, "it is `stop` that ends it"


def test_draining_is_bounded_by_the_longest_deadline(scene: Scene) -> None:
    scene.want()
    scene.want("slow", responseTimeout=100)
    scene.serve()
    scene.gateway.others = 1
    begun = scene.clock.now
    scene.supervisor.drain()
    assert 95 <= scene.clock.now - begun < 96, "90 % of its 100 s, and 5 to spare"


def test_draining_waits_for_what_comes_while_the_gateway_still_listens(scene: Scene) -> None:
    scene.want()
    scene.serve()
    begun = scene.clock.now

    def come_and_go() -> None:
        scene.gateway.others = int(DRAIN_TIME / 2 < scene.clock.now - begun < 4)

    scene.clock.each = come_and_go
    scene.supervisor.drain()
    assert scene.gateway.draining
    assert 4 <= scene.clock.now - begun < 5


def test_draining_tells_callers_and_commands_at_once(scene: Scene) -> None:
    scene.want()
    scene.serve()
    told = []
    scene.gateway.drain = lambda: told.append(scene.gateway.published[-1])  # type: ignore[method-assign]
    begun = scene.clock.now
    scene.supervisor.drain()
    assert scene.clock.now - begun < DRAIN_TIME + 1
    assert [(one.stopping, one.ready) for one in told] == [(True, False)]
    with durable.locked(scene.places.supervisor_lock):
        shown = observed.load(scene.places)
    assert shown is not None
    assert shown.phase == "stopping"


@pytest.mark.parametrize("ended", ["java", "gateway"])
def test_draining_doesnt_wait_for_the_dead(scene: Scene, ended: str) -> None:
    scene.want()
    scene.serve()
    scene.gateway.others = 2
    begun = scene.clock.now

    def end() -> None:
        if ended == "java":
            scene.server.lives = False
        else:
            scene.gateway.lives = False

    scene.clock.each = end
    scene.supervisor.drain()
    assert scene.clock.now - begun < DRAIN_TIME + 1


def test_stopping_ends_everything_and_leaves_no_folder(scene: Scene, tmp_path: Path) -> None:
    scene.supervisor.start()
    assert list(tmp_path.glob("pthserve-gateway-*"))
    scene.supervisor.stop()
    assert (scene.server.stopped, scene.gateway.lives) == (True, False)
    assert list(tmp_path.glob("pthserve-*")) == []


def test_a_revision_counts_when_the_gateway_has_taken_it(scene: Scene) -> None:
    """A command that waits for it mustn't return while callers are still led as before."""
    scene.want()
    pack(scene.places.store, "a", "2.0")
    scene.serve()
    store(scene.places, a=model("1.0", "2.0"))
    scene.settle()
    scene.kill("1.0")  # so that it goes at once when it isn't wanted
    scene.settle(200)
    scene.gateway.refusal = CommandError("didn't take its routes")
    revision = store(scene.places, a=model("2.0")).revision
    shown = scene.settle()
    assert shown.models["a"].default == "2.0"
    assert shown.revision < revision
    scene.gateway.refusal = None
    assert scene.turn().revision == revision


def test_a_gateway_that_is_silent_is_asked_once_a_turn(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question takes five seconds, and the loop has other things to do."""
    for name in "abcde":
        scene.want(name)
    scene.serve()
    scene.settle()
    asked: list[object] = []

    def silent(*of: object) -> int:
        asked.append(of)
        raise CommandError("the gateway doesn't answer (timed out)")

    monkeypatch.setattr(scene.gateway, "active", silent)
    store(scene.places, **{name: model("1.0", leaving=("1.0",)) for name in "abcde"})
    scene.settle(10)
    assert len(asked) == 10
    assert scene.server.management.done("unregister") == [], "anything may be in flight"


def test_a_gateway_that_lives_and_is_silent_is_started_again(scene: Scene) -> None:
    """Nothing that it is told reaches it; a moment's silence is no reason."""
    scene.want()
    scene.serve()
    scene.gateway.answering = False
    scene.settle(int(gatekeeper.SILENCE / POLL) - 1)
    scene.gateway.answering = True
    scene.turn()
    scene.gateway.answering = False
    scene.settle(int(gatekeeper.SILENCE / POLL))
    assert scene.gateway.starts == 1
    scene.settle(3)
    assert scene.gateway.starts == 2
    assert scene.said == ["the gateway doesn't answer; starting it again"]


def test_what_hasnt_changed_is_written_as_a_heartbeat_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.want()
    scene.serve()
    scene.settle()
    written: list[Observed] = []
    real = observed.publish

    def publish(places: Places, shown: Observed) -> None:
        written.append(shown)
        real(places, shown)

    monkeypatch.setattr(observed, "publish", publish)
    monkeypatch.setattr(life, "_resident", lambda pid: 7)
    scene.settle(int(60 / POLL))
    assert 4 <= len(written) <= 60 / supervisor.HEARTBEAT + 1, "in a minute"
    written.clear()
    scene.gateway.in_flight["a", "1.0"] = 2
    scene.turn()
    assert len(written) == 1


def test_a_shadow_whose_process_is_gone_is_forgotten_with_its_candidate(scene: Scene) -> None:
    pack(scene.places.store, "a", "2.0")
    with Scratch("test-") as folder:
        mirror = WantedMirror("2.0", 50.0, str(folder / "socket"))
        pack(scene.places.store, "a")
        store(scene.places, a=model("1.0", "2.0", mirror=mirror))
        scene.serve()
        assert scene.gateway.published[-1].models["a"].mirror == Mirror(mirror.socket, 50.0)
    scene.turn()
    assert scene.gateway.published[-1].models["a"].mirror is None
    scene.settle()
    assert list(scene.turn().models["a"].versions) == ["1.0"]
    assert wanted.load(scene.places).models["a"].mirror is not None, "a command clears the file"
