"""shadow: copies are taken or left, each is asked of both versions, and all is as before afterwards."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from queue import Queue
from typing import Any, get_args
from urllib.parse import quote

import msgspec
import pytest
from rich.console import Console

import scripts.shadow
from handlers.recipe import Tolerance
from handlers.serve import MODEL_VERSION
from handlers.wire.types import PROTOCOL
from scripts import canary, register
from scripts.calling.inference import Reply
from scripts.errors import CommandError
from scripts.places import Places
from scripts.processes.scratch import Scratch
from scripts.shadow import Asked, shadow
from scripts.shadowing import collector, kept, report
from scripts.shadowing.collector import Collector, Mirrored
from scripts.shadowing.comparing import compared
from scripts.shadowing.difference import Difference, Kind
from scripts.shadowing.kept import Kept
from scripts.shadowing.passes import VERSION
from scripts.shadowing.tally import Tally
from scripts.state import asking, wanted
from scripts.state.admission import Failed
from scripts.state.observed import SeenVersion
from scripts.state.wanted import WantedMirror, WantedModel
from tests.fakes import Clock
from tests.server.fake_torchserve import Answer, FakeTorchServe, Reset, Seen, torchserve_says
from tests.server.running import free_ports, private_places
from tests.states import Follower, model, pack, printed, store

LIMIT = 1000

ALL = Asked(100.0)


class Copying(http.client.HTTPConnection):
    """The gateway, to a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("mirror", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))

    def copy(self, body: Any = b"x", **headers: str) -> int:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        self.request("POST", "/predictions/a/1", body, named, encode_chunked="transfer-encoding" in named)
        answer = self.getresponse()
        answer.read()
        return answer.status


@contextmanager
def listening() -> Iterator[tuple[Collector, Copying]]:
    with Scratch("test-") as folder:
        found = Collector(folder / "socket", LIMIT)
        connection = Copying(folder / "socket")
        found.start()
        try:
            yield found, connection
        finally:
            connection.close()
            found.stop()


def test_a_copy_is_taken_with_the_headers_that_count() -> None:
    with listening() as (found, connection):
        told = {"content_type": "image/png", "authorization": "secret", "x_request_id": "1", "x_api_key": "k"}
        told |= {"x_pthserve_peer": "192.0.2.7", "x_pthserve_caller": "alice"}
        assert connection.copy(b"abc", **told, **{PROTOCOL.replace("-", "_"): "oip"}) == 202
        assert connection.copy(iter([b"ab", b"cd"]), transfer_encoding="chunked") == 202
        first, second = found.taken.get_nowait(), found.taken.get_nowait()
    assert first == Mirrored({"content-type": "image/png", PROTOCOL: "oip"}, b"abc")
    assert (first.protocol, second.protocol, second.body) == ("oip", "", b"abcd")


def test_more_than_may_wait_is_left_and_counted() -> None:
    with listening() as (found, connection):
        statuses = [connection.copy() for _ in range(collector.WAITING + 3)]
        assert statuses == [202] * collector.WAITING + [503] * 3
        assert (found.left, found.taken.qsize()) == (3, collector.WAITING)
        found.taken.get_nowait()
        assert connection.copy() == 202


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_no_caller_may_send_is_left(chunked: bool) -> None:
    with listening() as (found, connection):
        body = b"x" * (LIMIT + 1)
        with suppress(OSError, http.client.HTTPException):  # it is cut while it sends, perhaps
            assert connection.copy(*([iter([body])] if chunked else [body])) == 413
        assert found.left == 1


def test_a_copy_that_breaks_off_hurts_nobody() -> None:
    with listening() as (_, connection):
        connection.connect()
        connection.sock.sendall(b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc")
        connection.close()
        assert connection.copy() == 202


def test_a_path_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is too long for a socket; set TMPDIR to a shorter folder"):
        Collector(tmp_path / ("x" * 100), LIMIT)


def said(status: int, body: bytes = b"{}", **headers: str) -> Reply:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Reply(status, body, "application/json", {VERSION: "1", **named})


def torchserve_said(status: int) -> Reply:
    """In the version's place."""
    return Reply(status, b'{"code": 1}', "application/json", {})


def test_a_worker_tells_itself_from_torchserve_by_that_header() -> None:
    assert VERSION == MODEL_VERSION


@pytest.mark.parametrize(
    ("serving", "candidate", "kind"),
    [
        (said(200), said(200), "equal"),
        (said(200), said(500), "status"),
        (said(500), said(200), "status"),
        (said(400, b'{"request_id": "a"}'), said(400, b'{"request_id": "b"}'), "equal"),
        (said(400, b'{"error": "x"}'), said(400, b'{"error": "y"}'), "form"),
        (said(500), said(500), "unanswered"),
        (said(503), said(503), "unanswered"),
        (said(200), said(503), "status"),
        (said(503), said(200), "status"),
        (said(200), None, "candidate_silent"),
        (None, said(200), "serving_silent"),
        (None, None, "unanswered"),
        (said(200), torchserve_said(404), "candidate_silent"),
        (said(503), torchserve_said(503), "candidate_silent"),
        (torchserve_said(404), said(400), "serving_silent"),
        (torchserve_said(404), torchserve_said(404), "unanswered"),
        (torchserve_said(500), None, "unanswered"),
        (said(200, b"\xff"), said(200, b"\xff"), "equal"),
        (said(200, b"\xff"), said(200, b"\xfe"), "form"),
        (said(200, b"[1.0]"), said(200, b"[1.5]"), "numbers"),
    ],
)
def test_statuses_come_before_what_is_said(serving: Reply | None, candidate: Reply | None, kind: str) -> None:
    assert compared(serving, candidate, "", Tolerance()).kind == kind


@pytest.mark.parametrize(
    ("serving", "candidate", "kind"),
    [
        (
            '{"error": {"code": "a"}, "request_id": "1"}',
            '{"error": {"code": "a"}, "request_id": "2"}',
            "equal",
        ),
        ('{"error": {"code": "a"}}', '{"error": {"code": "b"}}', "form"),
        ("cut off {", "cut off [", "form"),
    ],
)
def test_refusals_over_grpc_differ_by_their_messages(serving: str, candidate: str, kind: str) -> None:
    replies = (said(400, b"", grpc_status="3", grpc_message=quote(one)) for one in (serving, candidate))
    assert compared(*replies, "oip_grpc", Tolerance()).kind == kind


def test_the_tally_has_the_largest_and_the_median_of_each_kind() -> None:
    tally = Tally()
    for apart in (0.0, 1e-6, 1e-5):
        tally.add(Difference("equal", apart))
    for apart in (0.5, 0.1, 0.2, 0.3):
        tally.add(Difference("numbers", apart))
    tally.add(Difference("status"))
    kinds = tally.kinds()
    assert {kind: one.requests for kind, one in kinds.items()} == {"equal": 3, "numbers": 4, "status": 1}
    assert (kinds["numbers"].largest, kinds["numbers"].median) == (0.5, 0.25)
    assert (kinds["status"].largest, kinds["status"].median) == (None, None)
    assert (tally.all().requests, tally.all().largest, tally.all().median) == (8, 0.5, 0.1)
    assert report.line(tally, 7) == "8 looked at, 3 equal, 5 differ, numbers by 0.5 at most, 7 not looked at"


def test_what_isnt_known_to_differ_isnt_said_to() -> None:
    tally = Tally()
    for kind in get_args(Kind):
        tally.add(Difference(kind))
    assert report.line(tally, 0) == (
        "9 looked at, 1 equal, 6 differ, 1 without an answer from either, 1 that couldn't be compared, "
        "0 not looked at"
    )


def test_the_worst_are_kept_and_the_milder_make_room(tmp_path: Path) -> None:
    found = Kept(tmp_path / "worst", 2)
    one = Mirrored({"content-type": "image/png"}, b"request")
    for difference in (
        Difference("numbers", 0.2, "a"),
        Difference("numbers", 0.5, "b"),
        Difference("numbers", 0.1, "c"),
        Difference("label", 0.3, "d"),
        Difference("status", None, "e"),
    ):
        found.offer(one, said(200, b"[1]"), said(200, b"[2]"), difference)
    worst = found.worst()
    assert [look.what for look in worst] == ["e", "d"]
    assert sorted(path.name for path in found.folder.iterdir()) == ["000004-label", "000005-status"]
    folder = found.folder / "000004-label"
    bodies = {path.name: path.read_bytes() for path in folder.glob("*.body")}
    assert bodies == {"request.body": b"request", "serving.body": b"[1]", "candidate.body": b"[2]"}
    told = json.loads((folder / "difference.json").read_bytes())
    assert (told["what"], told["largest"], told["request_headers"]) == (
        "d",
        0.3,
        {"content-type": "image/png"},
    )


def test_one_that_alone_is_silent_is_kept_and_makes_room_first(tmp_path: Path) -> None:
    found = Kept(tmp_path / "worst", 1)
    one = Mirrored({}, b"request")
    found.offer(one, said(200, b"[1]"), None, Difference("candidate_silent", what="a"))
    folder = found.folder / "000001-candidate_silent"
    assert sorted(path.name for path in folder.glob("*.body")) == ["request.body", "serving.body"]
    assert "candidate" not in json.loads((folder / "difference.json").read_bytes())
    found.offer(one, said(200, b"[1]"), said(200, b"[2]"), Difference("numbers", 0.1, "b"))
    found.offer(one, None, said(200, b"[2]"), Difference("serving_silent", what="c"))
    assert [look.what for look in found.worst()] == ["b"]


def test_of_a_refusal_over_grpc_its_message_is_kept(tmp_path: Path) -> None:
    found = Kept(tmp_path / "worst", 1)
    refused = said(400, b"", grpc_message=quote('{"error": "ö"}'))
    found.offer(Mirrored({}, b""), said(200), refused, Difference("status"))
    assert (found.folder / "000001-status" / "candidate.body").read_text() == '{"error": "ö"}'


def test_of_what_is_large_only_the_difference_is_kept(tmp_path: Path) -> None:
    found = Kept(tmp_path / "worst", 2)
    large = Mirrored({}, b"x" * (kept.LARGE - 3))
    found.offer(large, said(200), said(200), Difference("form", None, "too large"))
    assert [path.name for path in (found.folder / "000001-form").iterdir()] == ["difference.json"]


def test_nothing_is_kept_where_nothing_is_asked_to_be(tmp_path: Path) -> None:
    found = Kept(tmp_path / "worst", 0)
    found.offer(Mirrored({}, b""), said(200), said(200), Difference("form"))
    assert (found.worst(), found.folder.exists()) == ([], False)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = private_places(tmp_path, tmp_path / "models")
    for version in "123":
        pack(found.store, "a", version)
    store(found, a=model("1"))
    return found


def versions_say(**said: Any) -> Callable[[Seen], Answer | Reset]:
    """An answer of each version, "v1" and so on."""
    return lambda seen: answer_of(seen, said[f"v{seen.version}"])


def answer_of(seen: Seen, body: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(body).encode(), {VERSION: seen.version})


@pytest.fixture
def torchserve(places: Places) -> Iterator[FakeTorchServe]:
    from scripts import config

    (grpc,) = free_ports(1)
    found = FakeTorchServe(config.load(places.config).inference.port, grpc)
    found.says = versions_say(v1={"values": [1.0]}, v2={"values": [1.25]})
    found.start()
    yield found
    found.stop()


def mirror_of(places: Places) -> WantedMirror | None:
    return wanted.load(places).model("a").mirror


class Callers(threading.Thread):
    """Copies of what they ask, as the gateway sends them, as long as a mirror is wanted; then `after`."""

    def __init__(
        self, places: Places, after: Callable[[], object] = lambda: None, count: int = 10**6
    ) -> None:
        super().__init__(daemon=True)
        self._places = places
        self._after = after
        self._count = count
        self.statuses: Queue[int] = Queue()

    def run(self) -> None:
        deadline = time.monotonic() + 20
        while (mirror := mirror_of(self._places)) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert mirror is not None
        connection = Copying(Path(mirror.socket))
        with closing(connection), suppress(OSError, http.client.HTTPException):  # it may end at any time
            for _ in range(self._count):
                if mirror_of(self._places) is None or time.monotonic() > deadline:
                    break
                self.statuses.put(connection.copy(b"[1, 2]", content_type="application/json"))
                time.sleep(0.002)
        self._after()


@pytest.mark.usefixtures("follower")
def test_a_candidate_is_compared_reported_and_gone_again(
    places: Places, torchserve: FakeTorchServe, console: Console, tmp_path: Path
) -> None:
    before = wanted.load(places).models["a"]
    callers = Callers(places)
    callers.start()
    file = tmp_path / "out" / "report.json"
    assert shadow(places, "a", "2", Asked(100.0, requests=20, report=file, keep=3), console) == 0
    callers.join(20)
    assert wanted.load(places).models["a"] == before
    told = json.loads(file.read_bytes())
    assert (told["name"], told["serving"], told["candidate"], told["percent"]) == ("a", "1", "2", 100.0)
    assert told["ended"] == "requests"
    assert told["kinds"] == {"numbers": {"requests": 20, "largest": 0.25, "median": 0.25}}
    assert told["all"]["requests"] == 20
    assert told["worst"][0]["what"] == "values[0]: 1 and 1.25"
    assert len(list((tmp_path / "out" / "report.worst").iterdir())) == 3
    assert "looked at 20" in printed(console)
    assert "numbers differ  20        100%   0.25     0.25" in printed(console)
    assert len(torchserve.seen) == 40, "one pass on each version for each request, and none for the rest"
    assert {seen.version for seen in torchserve.seen} == {"1", "2"}
    assert {seen.headers["content-type"] for seen in torchserve.seen} == {"application/json"}
    assert all(seen.body == b"[1, 2]" for seen in torchserve.seen)


@pytest.mark.usefixtures("follower")
def test_equal_answers_keep_nothing(places: Places, torchserve: FakeTorchServe, console: Console) -> None:
    torchserve.says = versions_say(v1={"values": [1.0]}, v2={"values": [1.0000001]})
    Callers(places).start()
    assert shadow(places, "a", "2", Asked(50.0, requests=5), console) == 0
    (file,) = (places.state / "shadows").iterdir()
    told = json.loads(file.read_bytes())
    assert (told["kinds"].keys(), told["kept"], told["worst"]) == ({"equal"}, "", [])
    assert told["percent"] == 50.0


def silent(seen: Seen) -> Answer | Reset:
    return Reset()


def out_of_memory(seen: Seen) -> Answer:
    return answer_of(seen, {"error": {"code": "out_of_memory"}}, 503)


def unregistered(seen: Seen) -> Answer:
    return torchserve_says(404, "ModelVersionNotFoundException", "Model version: 2 does not exist")


def unreadable(seen: Seen) -> Answer:
    return answer_of(seen, {"values": [10**400]})


@pytest.mark.parametrize(
    ("says", "kind", "told"),
    [
        (silent, "candidate_silent", "no answer from the candidate alone"),
        (unregistered, "candidate_silent", "no answer from the candidate alone"),
        (out_of_memory, "status", "status differs"),
        (unreadable, "uncompared", "couldn't be compared"),
    ],
)
@pytest.mark.usefixtures("follower")
def test_a_candidate_that_never_answers_well_is_told(
    places: Places,
    torchserve: FakeTorchServe,
    console: Console,
    says: Callable[[Seen], Answer | Reset],
    kind: str,
    told: str,
) -> None:
    torchserve.says = lambda seen: says(seen) if seen.version == "2" else answer_of(seen, {"values": [1.0]})
    Callers(places).start()
    assert shadow(places, "a", "2", Asked(100.0, requests=5), console) == 0
    (file,) = (path for path in (places.state / "shadows").iterdir() if path.suffix == ".json")
    found = json.loads(file.read_bytes())
    assert {one: many["requests"] for one, many in found["kinds"].items()} == {kind: 5}
    assert {one["kind"] for one in found["worst"]} == {kind}
    assert told in printed(console)


@pytest.mark.parametrize("more", [2, 10**6], ids=["who looks waits for the last", "there is no last"])
@pytest.mark.usefixtures("follower", "torchserve")
def test_a_collector_that_has_died_ends_it(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    made: list[Collector] = []

    def making(path: Path, most: int) -> Collector:
        made.append(Collector(path, most))
        return made[0]

    monkeypatch.setattr(scripts.shadow, "Collector", making)
    Callers(places, after=lambda: made[0].stop(), count=3).start()
    assert shadow(places, "a", "2", Asked(100.0, seconds=20, requests=3 + more), console) == 1
    (file,) = (path for path in (places.state / "shadows").iterdir() if path.suffix == ".json")
    assert json.loads(file.read_bytes())["ended"] == "broken"
    assert "nothing could be looked at any more" in printed(console)
    assert mirror_of(places) is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.usefixtures("follower")
def test_nobody_left_who_looks_ends_it(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(scripts.shadow, "Passes", failing)
    assert shadow(places, "a", "2", Asked(100.0, seconds=20), console) == 1
    assert "nothing could be looked at any more" in printed(console)


@pytest.mark.usefixtures("follower")
def test_registered_during_it_a_candidate_stays(
    places: Places, torchserve: FakeTorchServe, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "archived", lambda *_: ("a", "2"))
    Callers(places, after=lambda: register.register(places, "a", console), count=3).start()
    assert shadow(places, "a", "2", Asked(100.0, seconds=3), console) == 0
    assert "a 2 is registered already" in printed(console)
    found = wanted.load(places).models["a"]
    assert (found.default, list(found.versions), found.mirror) == ("1", ["1", "2"], None)


@pytest.mark.usefixtures("follower")
def test_the_time_ends_it_and_nobody_need_have_asked(
    places: Places, torchserve: FakeTorchServe, console: Console
) -> None:
    begun = time.monotonic()
    assert shadow(places, "a", "2", Asked(5.0, seconds=0.3), console) == 0
    assert 0.3 <= time.monotonic() - begun < 10
    assert "looked at 0" in printed(console)
    assert mirror_of(places) is None


@pytest.mark.usefixtures("follower")
def test_ctrl_c_ends_it_with_a_report(places: Places, torchserve: FakeTorchServe, console: Console) -> None:
    Callers(places, after=lambda: os.kill(os.getpid(), signal.SIGINT), count=20).start()
    assert shadow(places, "a", "2", Asked(100.0), console) == 0
    (file,) = (path for path in (places.state / "shadows").iterdir() if path.suffix == ".json")
    assert json.loads(file.read_bytes())["ended"] == "interrupted"
    assert list(wanted.load(places).models["a"].versions) == ["1"]


@pytest.mark.usefixtures("follower")
def test_what_was_there_before_stays(places: Places, torchserve: FakeTorchServe, console: Console) -> None:
    store(places, a=model("1", "2"))
    asking.time.sleep(1)
    assert shadow(places, "a", "2", Asked(100.0, seconds=0.1), console) == 0
    found = wanted.load(places).models["a"]
    assert (list(found.versions), found.mirror) == (["1", "2"], None)


@pytest.mark.parametrize(
    ("after", "ended"),
    [
        (WantedModel("2", model("2").versions), "default moved"),
        (model("1"), "taken back"),
    ],
)
@pytest.mark.usefixtures("follower", "torchserve")
def test_another_command_ends_it(places: Places, console: Console, after: WantedModel, ended: str) -> None:
    Callers(places, after=lambda: store(places, a=after), count=3).start()
    assert shadow(places, "a", "2", Asked(100.0), console) == 0
    (file,) = (path for path in (places.state / "shadows").iterdir() if path.suffix == ".json")
    assert json.loads(file.read_bytes())["ended"] == ended
    assert wanted.load(places).models["a"] == after


@pytest.mark.usefixtures("follower", "torchserve")
def test_what_a_killed_one_left_is_cleared_by_the_next(places: Places, console: Console) -> None:
    store(places, a=model("1", "3", mirror=WantedMirror("3", 100.0, "/nowhere/at/all/socket")))
    assert shadow(places, "a", "2", Asked(100.0, seconds=0.1), console) == 0
    assert wanted.load(places).models["a"].versions.keys() == {"1"}


@pytest.mark.usefixtures("follower", "torchserve")
def test_what_cant_be_compared_is_refused_and_nothing_changes(
    places: Places, console: Console, tmp_path: Path
) -> None:
    def refused(name: str, version: str, asked: Asked = ALL) -> str:
        before = wanted.load(places)
        with pytest.raises(CommandError) as caught:
            shadow(places, name, version, asked, console)
        assert wanted.load(places) == before
        return str(caught.value)

    assert "1 is the default of a; name the version that you want to compare" in refused("a", "1")
    assert "b isn't registered" in refused("b", "1")
    (tmp_path / "r.worst").mkdir()
    assert "r.worst is there already" in refused("a", "2", Asked(100.0, report=tmp_path / "r.json"))
    with Scratch("test-") as folder:
        mirror = WantedMirror("3", 100.0, str(folder / "socket"))
        store(places, a=model("1", "3", mirror=mirror))
        asking.time.sleep(1)
        assert "a has a shadow already: 3" in refused("a", "2")


@pytest.mark.usefixtures("torchserve")
def test_a_candidate_that_fails_leaves_everything_as_it_was(
    places: Places, follower: Follower, console: Console
) -> None:
    def fail(name: str, number: str, one: SeenVersion | None) -> SeenVersion | None:
        if number != "2" or one is None:
            return one
        return SeenVersion("failed", 1, asked=one.asked, reason="seven is 9")

    before = wanted.load(places).models["a"]
    follower.tweak = fail
    with pytest.raises(Failed, match="a 2: seven is 9"):
        shadow(places, "a", "2", Asked(100.0), console)
    assert wanted.load(places).models["a"] == before


@pytest.mark.usefixtures("torchserve")
def test_an_interrupted_start_leaves_everything_as_it_was(
    places: Places, follower: Follower, console: Console, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = wanted.load(places).models["a"]
    real = canary.bring_up

    def interrupted(*given: Any) -> None:
        real(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(canary, "bring_up", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shadow(places, "a", "2", Asked(100.0), console)
    assert wanted.load(places).models["a"] == before


def test_the_report_is_one_object_for_programs() -> None:
    found = report.Report("a", "1", "2", 5.0, 1.5, "time", Tolerance(), 0, Tally().all(), {}, "", [])
    assert json.loads(found.encoded()) == msgspec.to_builtins(found)
