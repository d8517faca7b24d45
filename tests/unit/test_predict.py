"""predict on the command line: a recipe folder without a server, and servers that are slow, full or gone."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.calling.refused import Refused
from scripts.errors import CommandError
from scripts.places import ROOT, Places
from scripts.predict import Asked, predict
from tests import tiny_models

SUM = "return x.sum(1, keepdim=True) * self.scale"


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "scripts.cli", *map(str, words)]


def run(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(*words), cwd=ROOT, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_models.write(folder / "tiny", SUM, task="regress")
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "more").mkdir(parents=True)
    (folder / "b.json").write_text("[1.5, 2]")
    (folder / "a.json").write_text("[3, 4]")
    (folder / "more" / "bad.json").write_text("[3]")
    (folder / ".hidden").write_text("[3]")
    return folder


def test_one_file_gives_the_answer_as_one_line(models: Path, files: Path) -> None:
    done = run("--models", models, "predict", "tiny", files / "a.json", "--local")
    assert (done.returncode, done.stdout, done.stderr) == (0, b'{"values":[7.0]}\n', b"")


def test_stdin_is_a_file_too(
    models: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[1, 2]")))
    assert predict(Places(models=models), "tiny", "-", Asked(way="local", table=True)) == 0
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == b"file,value,error\n-,3.0,\n"


def test_a_folder_gives_a_line_for_each_file_and_its_failures_at_the_end(models: Path, files: Path) -> None:
    done = run("--models", models, "predict", "tiny", files, "--local")
    first, second, third = done.stdout.splitlines()
    assert (first, second) == (b'{"file":"a.json","values":[7.0]}', b'{"file":"b.json","values":[3.5]}')
    assert json.loads(third)["error"]["code"] == "wrong_shape"
    assert done.returncode == 1
    assert done.stderr.decode().startswith("1 of 3 files failed:\n  more/bad.json: the input's shape is [1]")


def test_a_fault_of_the_model_is_told_with_its_cause(models: Path, files: Path) -> None:
    tiny_models.write(models / "broken", 'raise ValueError("the reason")', name="broken")
    with pytest.raises(Refused) as caught:
        predict(Places(models=models), "broken", str(files / "a.json"), Asked(way="local"))
    assert "the reason" in str(caught.value)
    assert b"the reason" not in caught.value.error


NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("name", "source", "asked", "told"),
    [
        ("nothing", "a.json", Asked(way="local"), "there is no model 'nothing'"),
        ("tiny", "nothing.json", Asked(way="local"), "nothing.json: not found; give a file, a folder"),
        ("tiny", "", Asked(way="local"), "'': not found; give a file, a folder"),
        (
            "tiny",
            "a.json",
            Asked(way="local", version="9"),
            "tiny is version 1.0, not 9; leave out --version",
        ),
        ("../tiny", "a.json", Asked(way="local"), "'../tiny' is no model"),
        ("tiny", "a.json", Asked(version="1/../2"), "'1/../2' is no version"),
        ("tiny", "a.json", Asked(url=NOWHERE), f"no server answers at {NOWHERE}"),
        ("tiny", "a.json", Asked(way="grpc", url=NOWHERE), f"no server answers at {NOWHERE}"),
        ("tiny", ".", Asked(url=NOWHERE), f"no server answers at {NOWHERE}"),
        ("tiny", "a.json", Asked(url="nonsense"), "'nonsense' is no address; give one like http"),
    ],
)
def test_what_cannot_be_done_is_told_with_its_remedy(
    models: Path,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    source: str,
    asked: Asked,
    told: str,
) -> None:
    monkeypatch.chdir(files)
    with pytest.raises(CommandError, match=re.escape(told)):
        predict(Places(models=models), name, source, asked)


def test_the_default_address_is_the_gateway_s(tmp_path: Path) -> None:
    config = tmp_path / "config.properties"
    config.write_text(f"gateway_address={NOWHERE}\n")
    done = run("--config", config, "--state", tmp_path, "predict", "tiny", "README.md")
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"pthserve: no server answers at {NOWHERE} (ConnectionError); ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("closed", ["0<&-", "1>&-"])
def test_a_closed_stdin_or_stdout_is_told(models: Path, closed: str) -> None:
    words = " ".join(command("--models", models, "predict", "tiny", "-", "--local"))
    done = subprocess.run(
        ["sh", "-c", f"exec {words} {closed}"], cwd=ROOT, capture_output=True, input=b"[1,2]"
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"pthserve: standard input or output is closed; ")


Reply = tuple[int, dict[str, str], bytes]


class Server(ThreadingHTTPServer):
    """Answers each body as the test says."""

    daemon_threads = True
    reply: Callable[[bytes], Reply]


@pytest.fixture
def http() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, headers, content = server.reply(body)
            self.send_response(status)
            for key, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_a_server_that_is_loading_is_asked_again(http: Server, files: Path) -> None:
    asked: list[bytes] = []

    def reply(body: bytes) -> Reply:
        asked.append(body)
        if asked.count(body) < 3:
            return 503, {"Retry-After": "0"}, b""
        return 200, {}, b'{"values":[1]}'

    http.reply = reply
    done = run("predict", "tiny", files, "--url", url(http))
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == 3
    assert len(asked) == 9


def test_a_server_that_is_full_for_one_file_is_told(http: Server, files: Path) -> None:
    http.reply = lambda body: (503, {"Retry-After": "1"}, b'{"code": 503, "type": "X", "message": "full"}')
    done = run("predict", "tiny", files / "a.json", "--url", url(http))
    assert done.returncode == 1
    assert done.stderr.decode().startswith("pthserve: full; try again")


def test_a_model_that_goes_away_in_the_middle_ends_it(http: Server, files: Path) -> None:
    answers = iter([(200, {}, b'{"values":[1]}')])
    http.reply = lambda body: next(answers, (404, {}, b'{"code": 404, "type": "X", "message": "gone"}'))
    done = run("predict", "tiny", files, "--url", url(http), "--jobs", "1")
    assert (done.returncode, done.stdout) == (1, b'{"file":"a.json","values":[1]}\n')
    told = done.stderr.decode().split("\n")
    assert told[1] == "stopped after 1 of 3 files"
    assert told[2].startswith("pthserve: gone; ")


def test_ctrl_c_ends_it_at_once_and_says_how_far_it_came(http: Server, files: Path) -> None:
    waiting = threading.Event()

    def reply(body: bytes) -> Reply:
        if body.startswith(b"[1.5"):
            waiting.set()
            threading.Event().wait(60)
        return 200, {}, b'{"values":[1]}'

    http.reply = reply
    words = command("predict", "tiny", files, "--url", url(http), "--jobs", "1")
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()  # printed before the folder is done
        assert waiting.wait(30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert first + out == b'{"file":"a.json","values":[1]}\n'
    assert err.decode().strip() == "stopped after 1 of 3 files"
