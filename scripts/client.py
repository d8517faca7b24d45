"""The client for Python callers: files, pictures, arrays and numbers in, typed answers or errors out.

    from scripts.client import Client

    with Client("http://127.0.0.1:8000") as client:
        best = client.predict("digits_cnn", "seven.png").predictions[0]

It needs httpx, msgspec and numpy, and is the same in AsyncClient with `await`. What can go wrong:

    PredictionError        code, message, hint, status, request_id, items, retry_after
    ├── BadRequest         4xx: what is sent has to change
    │   ├── Unauthorized   401
    │   ├── Forbidden      403
    │   └── NotFound       404
    ├── Overloaded         429, or 503 with Retry-After: the same may succeed after `retry_after` seconds
    ├── ServerFailed       any other 5xx
    ├── Unreachable        no connection, TLS included, or one that broke off
    └── TimedOut           no answer in time

An input that can't be sent at all is a TypeError, ValueError or OSError, as anywhere in Python.
What is sent a second time, and what never is, stands in calling/course.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, TypeVar

import httpx

from handlers.answers import Classification, Prediction, Regression, Values
from scripts.calling import bodies, caller, deadline, typed
from scripts.calling.caller import Asked, Caller
from scripts.calling.course import Course
from scripts.calling.failures import (
    BadRequest,
    Forbidden,
    NotFound,
    Overloaded,
    PredictionError,
    Received,
    ServerFailed,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from scripts.calling.many import Many
from scripts.calling.typed import Answer

__all__ = [
    "Answer",
    "AsyncClient",
    "BadRequest",
    "Classification",
    "Client",
    "Forbidden",
    "NotFound",
    "Overloaded",
    "Prediction",
    "PredictionError",
    "Regression",
    "ServerFailed",
    "TimedOut",
    "Unauthorized",
    "Unreachable",
    "Values",
]

CHUNK = 64
"""Items in one request of predict_many, as most recipes take them."""

C = TypeVar("C", bound="Client")
A = TypeVar("A", bound="AsyncClient")


class Client(Caller):
    """For any number of threads; keeps its connections until it is closed."""

    _http: httpx.Client

    def predict(
        self, name: str, input: object, *, version: str | None = None, timeout: float | None = None
    ) -> Answer:
        """The answer to one input: a file's path, its bytes, a picture of PIL, an array, a tensor, numbers.

        A picture of PIL is sent as the pixels that it holds: an orientation beside them isn't applied.
        """
        asked = Asked(caller.predictions(name, version), bodies.body(input), timeout)
        received, course = self._ask(asked)
        return typed.one(received, course.request_id, self.address(asked))

    def predict_many(
        self,
        name: str,
        inputs: Iterable[object],
        *,
        version: str | None = None,
        timeout: float | None = None,
        chunk: int = CHUNK,
    ) -> list[Answer]:
        """The answers in the inputs' order; `timeout` is that of each request, of at most `chunk` items.

        Inputs are those of `predict`, all pictures or all numbers, or one array with the items in front.
        An error's `items` name the bad ones by their index among `inputs`.
        """
        many = Many(inputs, chunk)
        while (part := many.next()) is not None:
            body, items = part
            asked = Asked(caller.predictions(name, version), body, timeout)
            try:
                received, course = self._ask(asked)
                many.answered(typed.several(received, course.request_id, self.address(asked), items))
            except PredictionError as error:
                many.refused(error, items)
        return many.answers

    def ready(self, name: str | None = None) -> bool:
        """Whether the model, or every one, can answer now; raises NotFound for a name that isn't served."""
        try:
            self._ask(Asked(caller.readiness(name), retries=0))
        except PredictionError as error:
            return caller.not_yet(error)
        return True

    def endpoints(self) -> list[dict[str, Any]]:
        """The card of each model: what it takes and answers, its versions, what was proven of it."""
        asked = Asked("/endpoints")
        received, course = self._ask(asked)
        return caller.cards(received, course.request_id, self.address(asked))

    def metadata(self, name: str, version: str | None = None) -> dict[str, Any]:
        """A model's inputs and outputs as the Open Inference Protocol tells them."""
        asked = Asked(caller.described(name, version))
        received, course = self._ask(asked)
        return typed.document(received, course.request_id, self.address(asked))

    def close(self) -> None:
        self._http.close()

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, options: dict[str, Any]) -> None:
        self._http = httpx.Client(**options)

    def _ask(self, asked: Asked) -> tuple[Received, Course]:
        """The 2xx that came in the end; raises PredictionError."""
        course = self.course(asked)
        while True:
            try:
                received = self._attempt(asked, course)
            except (httpx.RequestError, OSError) as error:
                pause: float | None = course.after_break(error)
            else:
                pause = course.after_answer(received)
                if pause is None:
                    return received, course
            time.sleep(pause or 0)

    def _attempt(self, asked: Asked, course: Course) -> Received:
        sent = self.sent(asked, course)
        with (
            deadline.kept(course),
            self._http.stream(**sent, extensions={"trace": deadline.trace}) as response,
        ):
            return caller.read(response, response.read())


class AsyncClient(Caller):
    """The same with `await`, for the tasks of one event loop; see Client for what each method gives."""

    _http: httpx.AsyncClient

    async def predict(
        self, name: str, input: object, *, version: str | None = None, timeout: float | None = None
    ) -> Answer:
        body = await asyncio.to_thread(bodies.body, input)  # a file is read, a picture compressed
        asked = Asked(caller.predictions(name, version), body, timeout)
        received, course = await self._ask(asked)
        return typed.one(received, course.request_id, self.address(asked))

    async def predict_many(
        self,
        name: str,
        inputs: Iterable[object],
        *,
        version: str | None = None,
        timeout: float | None = None,
        chunk: int = CHUNK,
    ) -> list[Answer]:
        many = Many(inputs, chunk)
        while (part := await asyncio.to_thread(many.next)) is not None:
            body, items = part
            asked = Asked(caller.predictions(name, version), body, timeout)
            try:
                received, course = await self._ask(asked)
                many.answered(typed.several(received, course.request_id, self.address(asked), items))
            except PredictionError as error:
                many.refused(error, items)
        return many.answers

    async def ready(self, name: str | None = None) -> bool:
        try:
            await self._ask(Asked(caller.readiness(name), retries=0))
        except PredictionError as error:
            return caller.not_yet(error)
        return True

    async def endpoints(self) -> list[dict[str, Any]]:
        asked = Asked("/endpoints")
        received, course = await self._ask(asked)
        return caller.cards(received, course.request_id, self.address(asked))

    async def metadata(self, name: str, version: str | None = None) -> dict[str, Any]:
        asked = Asked(caller.described(name, version))
        received, course = await self._ask(asked)
        return typed.document(received, course.request_id, self.address(asked))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self: A) -> A:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _open(self, options: dict[str, Any]) -> None:
        self._http = httpx.AsyncClient(**options)

    async def _ask(self, asked: Asked) -> tuple[Received, Course]:
        course = self.course(asked)
        while True:
            try:
                received = await asyncio.wait_for(self._attempt(asked, course), course.left())
            except (httpx.RequestError, OSError, asyncio.TimeoutError) as error:  # OSError: TLS, of anyio's
                pause: float | None = course.after_break(error)
            else:
                pause = course.after_answer(received)
                if pause is None:
                    return received, course
            await asyncio.sleep(pause or 0)

    async def _attempt(self, asked: Asked, course: Course) -> Received:
        async with self._http.stream(**self.sent(asked, course)) as response:
            return caller.read(response, await response.aread())
