"""The same bytes through local, unpacked archive and REST give equal answers, for every model."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from handlers.handler import Handler
from handlers.wire import Row
from scripts import catalog
from scripts.packing import mar
from tests.answers import largest_difference
from tests.server.running import Running

pytestmark = pytest.mark.server

TRAINED = pytest.param("parity_resnet18", marks=pytest.mark.trained)
MODELS = ["digits_mlp", "digits_cnn", "diabetes", "diabetes_risk", "mobilenet_v2", TRAINED]


@pytest.fixture(scope="module", params=MODELS)
def name(request: pytest.FixtureRequest, server: Running) -> str:
    chosen = str(request.param)
    if catalog.find(server.places, chosen).needs_training:
        pytest.skip(f"{chosen} needs training: scripts/pthserve train {chosen}")
    return chosen


@pytest.fixture(scope="module")
def bodies(name: str, server: Running) -> list[bytes]:
    """The samples, and inputs that nothing here was made with."""
    entry = catalog.find(server.places, name)
    samples = [(entry.folder / sample.input).read_bytes() for sample in entry.recipe.handler.samples]
    if entry.recipe.handler.image_input() is not None:
        return samples + list(_photos())
    rng = np.random.default_rng(0)
    return samples + [json.dumps({"input": rng.normal(0, 0.05, 10).tolist()}).encode() for _ in range(5)]


def _photos() -> Iterator[bytes]:
    for picture in (data.astronaut(), data.coffee()[:, :300], data.camera()):
        for kind, options in (("JPEG", {"quality": 85}), ("PNG", {}), ("WEBP", {"quality": 80})):
            stream = io.BytesIO()
            Image.fromarray(picture).save(stream, kind, **options)
            yield stream.getvalue()


@pytest.fixture(scope="module")
def local(name: str, server: Running, bodies: list[bytes]) -> list[Any]:
    handler = Handler.open(server.places.models / name)
    return [_answer(handler, body) for body in bodies]


def _answer(handler: Handler, body: bytes) -> Any:
    (response,) = handler.predict([Row({"body": body})])
    assert response.status == 200, response.body
    return json.loads(response.body)


def _rest(server: Running, name: str, body: bytes) -> tuple[int, Any]:
    reply = server.inference.predict(name, body, content_type="application/octet-stream")
    assert reply.content_type == "application/json"
    return reply.status, reply.json()


def test_an_unpacked_archive_answers_like_the_recipe_folder(
    name: str, server: Running, bodies: list[bytes], local: list[Any], tmp_path: Path
) -> None:
    with zipfile.ZipFile(mar.path_of(catalog.find(server.places, name), server.places)) as archive:
        archive.extractall(tmp_path)
    handler = Handler.open(tmp_path)
    assert [_answer(handler, body) for body in bodies] == local


def test_rest_answers_like_the_recipe_folder(
    name: str, server: Running, bodies: list[bytes], local: list[Any]
) -> None:
    answers = [_rest(server, name, body) for body in bodies]
    assert {status for status, _ in answers} == {200}
    worst = max(largest_difference(a, b) for a, (_, b) in zip(local, answers, strict=True))
    print(f"{name}: largest difference between local and REST over {len(bodies)} inputs: {worst:.3g}")
    assert worst < 1e-5


def test_good_requests_answer_the_same_beside_corrupt_ones(
    name: str, server: Running, bodies: list[bytes], local: list[Any]
) -> None:
    before = server.worker_pids(name)
    bad = [b"\xff\xd8\xff\xe0 no picture", b'{"input": "no numbers"}', b"", b"\x93NUMPY cut"]
    sent = [(bodies[i % len(bodies)], True) if i % 3 else (bad[i % len(bad)], False) for i in range(48)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda one: _rest(server, name, one[0]), sent))
    for index, ((_, good), (status, answer)) in enumerate(zip(sent, answers, strict=True)):
        if good:
            assert status == 200, answer
            assert largest_difference(local[index % len(bodies)], answer) < 1e-5
        else:
            assert 400 <= status < 500, answer
            assert answer["error"]["code"]
    assert server.worker_pids(name) == before


def test_a_cat_is_an_egyptian_cat(server: Running) -> None:
    photo = (server.places.models / "mobilenet_v2" / "samples" / "cat.jpg").read_bytes()
    _, answer = _rest(server, "mobilenet_v2", photo)
    assert answer["predictions"][0]["label"] == "Egyptian cat"
