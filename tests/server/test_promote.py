"""promote, rollback, register, scale and unregister, under load where it matters; nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import endpoints
from tests.server.endpoints import BODY, answer
from tests.server.load import Load, Sent
from tests.server.running import Running, private_places, serving, temporary

pytestmark = pytest.mark.server

PROMOTED_OVER = 2000  # requests that a promotion is tested with


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lifecycle") / "models"
    endpoints.write(folder, "steady", "return x")
    endpoints.write(folder, "other", "return x")
    endpoints.write(folder, "slow", "__import__('time').sleep(0.5); return x", batchSize=1, jobQueueSize=30)
    return folder


@pytest.fixture(scope="module")
def node(models: Path) -> Iterator[Running]:
    with serving(private_places(models.parent / "private", models)) as running:
        yield running


@pytest.fixture(autouse=True)
def others_are_undisturbed(node: Running) -> Iterator[None]:
    """Whatever is done to one model, another answers every request meanwhile."""
    with Load(node.url("other"), BODY, clients=1, pause=0.05) as load:
        yield
    assert not load.bad(), load.summary()


def values(one: Sent) -> list[float]:
    found: list[float] = one.json()["output"]
    return found


def test_a_promotion_under_load_loses_nothing_and_mixes_nothing(node: Running, models: Path) -> None:
    endpoints.write(models, "steady", "return x + 10", version="1.1")
    with Load(node.url("steady"), BODY, clients=6, pause=0.005) as load:
        load.reach(PROMOTED_OVER // 2)
        done = node.command("promote", "steady")
        returned = len(load.sent)
        load.reach(PROMOTED_OVER // 2)
    print(f"promote under load: {load.summary()}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not load.bad()
    assert len(load.sent) >= PROMOTED_OVER
    assert {tuple(values(one)) for one in load.sent} == {tuple(answer(0)), tuple(answer(10))}
    began_after = [
        one for one in load.sent[returned:] if one.began > max(s.ended for s in load.sent[:returned])
    ]
    assert began_after
    assert all(values(one) == answer(10) for one in began_after), "an old answer after promote returned"
    assert list(node.seen().models["steady"].versions) == ["1.1"]
    reply = node.inference.predict("steady", BODY, content_type="application/json", version="1.0")
    assert reply.status == 404
    assert reply.json()["error"]["code"] == "unknown_version"
    assert "1.1" in reply.json()["error"]["hint"]


def test_going_back_and_forth_under_load(node: Running) -> None:
    with Load(node.url("steady"), BODY, clients=4) as load:
        load.reach(100)
        back = node.command("rollback", "steady")
        load.reach(100)
        assert values(load.sent[-1]) == answer(0)
        again = node.command("rollback", "steady")
        forth = node.command("promote", "steady", "1.1")
        load.reach(100)
        assert values(load.sent[-1]) == answer(10)
    assert (back.returncode, forth.returncode) == (0, 0), back.stderr + forth.stderr
    assert again.returncode == 1
    assert "no former version" in again.stderr
    assert not load.bad(), load.summary()


@pytest.mark.parametrize(
    ("forward", "handler", "why"),
    [
        (f"return x + (100 if {endpoints.IN_A_WORKER} else 0)", {"samples": "with"}, "expected"),
        (
            "raise ValueError('not on this machine')",
            {"samples": "with"},
            "not on this machine",
        ),
    ],
    ids=["its sample fails in the worker", "its forward pass raises everywhere"],
)
def test_a_version_that_fails_leaves_the_old_one_serving(
    node: Running, models: Path, forward: str, handler: dict[str, str], why: str
) -> None:
    folder = endpoints.write(models, "steady", forward, version="2.0")
    endpoints.with_sample(folder, answer(0))
    before = node.seen().models["steady"]
    with Load(node.url("steady"), BODY, clients=4) as load:
        load.reach(50)
        done = node.command("promote", "steady")
        load.reach(50)
    assert done.returncode == 1, done.stdout
    assert why in done.stdout + done.stderr
    assert not load.bad(), load.summary()
    after = node.seen().models["steady"]
    assert (after.default, list(after.versions)) == (before.default, list(before.versions))
    for archive in node.places.store.glob("steady-2.0.mar"):
        archive.unlink()


def test_a_handler_that_raises_in_the_worker_is_told_with_its_traceback(node: Running, models: Path) -> None:
    folder = endpoints.write(models, "steady", "return x", version="2.1")
    with (folder / "model.py").open("a", encoding="utf-8") as model:
        model.write(f"\n\nif {endpoints.IN_A_WORKER}:\n    raise LookupError('no licence on this machine')\n")
    done = node.command("register", "steady")
    assert done.returncode == 1
    assert "no licence on this machine" in done.stderr
    assert "Worker died" not in done.stdout + done.stderr
    assert "Traceback (most recent call last)" in done.stdout
    assert "model.py" in done.stdout
    assert "2.1" not in node.seen().models["steady"].versions
    assert "2.1" not in (node.places.state / "wanted.json").read_text()
    node.wait(lambda: len(node.management.describe("steady")) == 1, 20)


def test_register_brings_a_version_up_beside_and_says_what_is_there_already(
    node: Running, models: Path, tmp_path: Path
) -> None:
    endpoints.write(models, "steady", "return x + 30", version="3.0")
    first, second = node.command("register", "steady"), node.command("register", "steady")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "stays the default" in first.stdout
    assert "registered already" in second.stdout
    reply = node.inference.predict("steady", BODY, content_type="application/json", version="3.0")
    assert reply.json()["output"] == answer(30)
    elsewhere = tmp_path / "copy.mar"
    shutil.copyfile(node.places.store / "steady-3.0.mar", elsewhere)
    third = node.command("register", str(elsewhere))
    assert "registered already" in third.stdout
    gone = node.command("unregister", "steady", "3.0")
    assert gone.returncode == 0, gone.stderr
    reply = node.inference.predict("steady", BODY, content_type="application/json", version="3.0")
    assert reply.status == 404


def test_scaling_up_and_down_under_load_loses_nothing(node: Running) -> None:
    with Load(node.url("steady"), BODY, clients=4) as load:
        load.reach(50)
        up = node.command("scale", "steady", "2")
        load.reach(50)
        assert node.seen().version("steady", "1.1").ready == 2  # type: ignore[union-attr]
        busy = node.command("scale", "steady", "1", "--deadline", "2")
    idle = node.command("scale", "steady", "1")
    print(f"scale under load: {load.summary()}")
    assert not load.bad(), load.summary()
    assert (up.returncode, idle.returncode) == (0, 0), up.stderr + idle.stderr
    assert busy.returncode in (0, 1)  # whether it was idle for a moment is not ours to say
    assert "never idle" in busy.stderr or busy.returncode == 0
    node.wait(lambda: len(node.worker_pids("steady", "1.1")) == 1, 20)


def test_unregister_with_a_full_queue_refuses_in_time_and_then_drains(node: Running) -> None:
    with Load(node.url("slow"), BODY, clients=20) as load:
        load.wait(lambda _: node.seen().version("slow", "1.0").queue > 5)  # type: ignore[union-attr]
        refused = node.command("unregister", "slow", "--deadline", "1")
        assert refused.returncode == 1
        assert "serves on" in refused.stderr
        load.reach(3)
        gone = node.command("unregister", "slow")
        assert gone.returncode == 0, gone.stderr
    print(f"unregister with a full queue: {load.summary()}")
    assert {one.status for one in load.sent} <= {200, 404}, load.summary()
    assert load.sent[-1].status == 404
    assert load.sent[-1].json()["error"]["code"] == "unknown_model"
    assert "slow" not in node.seen().models
    back = node.command("register", "slow")
    assert back.returncode == 0, back.stderr


def test_list_and_status_tell_what_is(node: Running) -> None:
    listed = node.command("list")
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith("other")]
    assert line.split()[:7] == ["other", "1.0", "yes", "ready", "1", "of", "1"]
    status = node.command("status")
    assert status.returncode == 0, status.stdout
    assert "all that is wanted answers" in status.stdout
    assert node.command("status", "--ready", "steady").returncode == 0
    unknown = node.command("status", "--ready", "stedy")
    assert unknown.returncode == 1
    assert "stedy isn't registered" in unknown.stdout


def test_commands_without_a_supervisor_say_so(tmp_path: Path, models: Path) -> None:
    from tests.server.running import run

    places = private_places(tmp_path, models)
    for words in (("register", "steady"), ("promote", "steady"), ("list",), ("scale", "steady", "2")):
        done = run(places, *words)
        assert done.returncode == 1
        assert "no supervisor runs" in done.stderr
    shutil.rmtree(temporary(places))
