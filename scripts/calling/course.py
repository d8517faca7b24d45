"""One call on its way: how long it may still take, and whether it is sent again.

Sent again is only what can't have been executed: no connection came about, or the server said so itself by
a code (failures.UNEXECUTED) and Retry-After. After a deadline, a connection that broke off or any other
answer it isn't, not even a 503 `unavailable`, by which a worker may have died of the very input: a prediction
changes nothing, so a second one would be right, but it doubles the load of a server that is already too slow
for the first, and costs the next worker.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
import uuid
from collections.abc import Iterator

import httpx

from scripts.calling.failures import (
    PredictionError,
    Received,
    TimedOut,
    Unreachable,
    failure,
    unexecuted,
)

FIRST_PAUSE = 0.1
"""Seconds after the first connection that failed; twice as long after each further one."""

_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout)


class Course:
    """What either transport asks before and after each attempt."""

    def __init__(self, url: str, *, timeout: float, connect_timeout: float, retries: int) -> None:
        self.request_id = uuid.uuid4().hex
        """The same for every attempt: it is one call, also in the server's log."""
        self._url = url
        self._timeout, self._connect_timeout = timeout, connect_timeout
        self._deadline = time.monotonic() + timeout
        self._retries = retries
        self._attempts = 0

    def left(self) -> float:
        """Seconds; raises TimedOut when there are none."""
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise self._late()
        return seconds

    def limits(self) -> httpx.Timeout:
        left = self.left()
        return httpx.Timeout(left, connect=min(left, self._connect_timeout))

    def after_answer(self, received: Received) -> float | None:
        """None for an answer that stands; seconds until the next attempt; raises PredictionError."""
        self._attempts += 1
        if 200 <= received.status < 300:
            return None
        error = failure(received, self.request_id)
        if error.retry_after is None or not unexecuted(received):
            raise error
        return self._pause(error.retry_after, error)

    def after_break(self, error: Exception) -> float:
        """Seconds until the next attempt when there was no answer; raises PredictionError."""
        self._attempts += 1
        if isinstance(error, _UNSENT) and self._deadline - time.monotonic() <= 0:
            raise self._late() from error
        if isinstance(error, _UNSENT) and not any(
            isinstance(cause, ssl.SSLError) for cause in _causes(error)
        ):
            return self._pause(FIRST_PAUSE * 2 ** (self._attempts - 1), self._broken(error))
        if isinstance(error, (httpx.TimeoutException, asyncio.TimeoutError)):
            raise self._late() from error
        raise self._broken(error) from error

    def _pause(self, least: float, error: PredictionError) -> float:
        """That long and up to a quarter more by chance: callers refused together don't return together."""
        seconds = least + random.uniform(0, max(least / 4, FIRST_PAUSE / 2))
        if self._attempts > self._retries or seconds >= self._deadline - time.monotonic():
            raise error
        return seconds

    def _late(self) -> TimedOut:
        return TimedOut(
            f"{self._url} didn't answer within {self._timeout:g} s",
            hint="send fewer items at a time, or raise the timeout",
            request_id=self.request_id,
        )

    def _broken(self, error: Exception) -> Unreachable:
        """By what happened, and how far the call had come."""
        said = (" ".join(str(cause).split())[:200] for cause in _causes(error))
        reason = next(filter(None, said), type(error).__name__)  # httpx's own text is empty at times
        found = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)
        if found is not None:
            message = f"{self._url}: the TLS connection failed: {reason}"
            hint = "see that the URL, verify (who signed the server's certificate) and cert (yours) are right"
        elif isinstance(error, httpx.ConnectTimeout):
            message = f"{self._url}: no connection within {self._connect_timeout:g} s"
            hint = "see that the host is right and its port is open"
        elif isinstance(error, httpx.ConnectError):
            message = f"{self._url}: no connection: {reason}"
            hint = "see that the server runs there (scripts/pthserve up) and the URL is right"
        else:
            message = f"{self._url}: the connection broke off before the answer was there: {reason}"
            hint = (
                "it isn't sent again by itself, because it may have been executed; call again if that is fine"
            )
        return Unreachable(message, hint=hint, request_id=self.request_id)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came from: httpx wraps httpcore's, which wraps the standard library's."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
