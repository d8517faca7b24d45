"""The TorchServe adapter: its rows and context in, statuses, content types and metrics out.

TorchServe imports the archive's entry.py, which derives its one class from Service; `initialize` is
called once in a worker, `handle` for every batch.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from http.client import responses as PHRASES
from pathlib import Path
from typing import Any, NoReturn

import torch

from handlers import capacity, execution, failure, golden, outline, seal, worker
from handlers.execution import Execution
from handlers.faults import DeviceLost
from handlers.handler import Handler
from handlers.metering import Meter
from handlers.signature import TensorSpec
from handlers.wire import Response, Row

logger = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
"""The caller's header; over gRPC, where headers never get here, the gateway makes it a field of the row."""

MODEL_VERSION = "x-model-version"
"""On every answer of ours, by which the gateway tells them from TorchServe's own."""

LOST = 70
"""Exit status of a worker whose device is lost: EX_SOFTWARE of sysexits.h."""

_SANE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class StartFailed(Exception):
    """`initialize` failed. No RuntimeError, because after one TorchServe keeps a model without workers."""


class Service:
    """One worker's model; TorchServe's `context` is duck-typed, so that `ts` is never imported."""

    def __init__(self) -> None:
        self._handler: Handler | None = None
        self._meter: Meter | None = None

    def initialize(self, context: Any) -> None:
        """Open the archive, replay its samples; raises StartFailed, and the worker isn't READY."""
        try:
            self._handler = handler = _opened(context)
            folder = Path(context.system_properties["model_dir"])
            outputs, batch_seconds = outline.outputs(handler, folder), capacity.measured(handler, folder)
        except Exception as error:
            model = context.manifest["model"]
            failure.leave(model["modelName"], model["modelVersion"], error)
            raise StartFailed(f"{type(error).__name__}: {error}") from error
        model = handler.recipe.handler
        self._meter = Meter(model.name, model.version)
        self._meter.opened(handler.opened, str(handler.device), model.assumptions)
        _tell(handler, outputs, batch_seconds)
        worker.quicken(context)

    def handle(self, data: Sequence[Mapping[str, object]], context: Any) -> list[bytes]:
        """One body for each row, its status and headers set on the context."""
        if self._handler is None or self._meter is None:
            raise StartFailed("handle was called before initialize")
        rows = [_row(fields, context, index) for index, fields in enumerate(data)]
        try:
            batch = self._handler.batch(rows)
        except DeviceLost as error:
            _end(error)
        for index, (row, response) in enumerate(zip(rows, batch.responses, strict=True)):
            context.set_response_status(response.status, PHRASES.get(response.status, ""), idx=index)
            context.set_response_content_type(index, response.content_type)
            context.set_response_header(index, MODEL_VERSION, self._handler.recipe.handler.version)
            for name, value in response.headers.items():
                context.set_response_header(index, name, value)
            _log_errors(row, response)
        self._meter.batch(batch)
        return [response.body for response in batch.responses]


def _tell(handler: Handler, outputs: tuple[TensorSpec, ...], batch_seconds: float) -> None:
    """Leave word for the supervisor of what executes; serving goes on without it."""
    model, opened = handler.recipe.handler, handler.opened
    fallback = opened.fallback
    instead, cause = (fallback.wanted, fallback.cause) if fallback is not None else ("", "")
    try:
        told = Execution(str(opened.candidate), instead, cause, outputs, batch_seconds)
        execution.leave(model.name, model.version, told)
    except OSError:
        logger.exception("what executes can't be told")


def _end(error: DeviceLost) -> NoReturn:
    """End this process, so that TorchServe starts another: no answer of this one could be trusted.

    At once, because ending in good order would wait for the device. Who waits is told "Worker died".
    """
    logger.critical("this worker ends: %s", error, exc_info=error)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(LOST)


def _opened(context: Any) -> Handler:
    folder = Path(context.system_properties["model_dir"])
    sealed = seal.verify(folder)
    installed = seal.libraries()
    for name, version in sealed.libraries.items():
        if installed.get(name) != version:
            logger.warning("checked with %s %s, running with %s", name, version, installed.get(name))
    gpu = context.system_properties.get("gpu_id")
    on_gpu = gpu is not None and torch.cuda.is_available()
    device = torch.device("cuda", int(gpu)) if on_gpu else torch.device("cpu")
    handler = Handler.open(folder, device, known=sealed.files)
    for replayed in golden.replay(handler, folder):
        logger.info(
            "sample %s passed, largest difference %.3g, expected by %s",
            replayed.sample,
            replayed.largest_error,
            replayed.expected_by,
        )
    return handler


def _row(fields: Mapping[str, object], context: Any, index: int) -> Row:
    headers: dict[str, str] = {}
    for name, value in context.get_all_request_header(index).items():
        if isinstance(value, str):
            headers[name.lower()] = value
    inputs = {name: value for name, value in fields.items() if name != REQUEST_ID}
    for name in inputs:  # a form's own part knows its type better than the whole request
        part = context.get_request_header(index, name)
        if isinstance(part, dict) and isinstance(part.get("content-type"), str):
            headers["content-type"] = part["content-type"]
    return Row(inputs, headers, _request_id(headers, fields, context, index))


def _request_id(headers: Mapping[str, str], fields: Mapping[str, object], context: Any, index: int) -> str:
    """The caller's, from the header or the field, if it is sane enough for a log line, else TorchServe's."""
    for given in (headers.get(REQUEST_ID), fields.get(REQUEST_ID)):
        text = given.decode("latin-1") if isinstance(given, (bytes, bytearray)) else given
        if isinstance(text, str) and _SANE_ID.fullmatch(text):
            return text
    return str(context.get_request_id(index))


def _log_errors(row: Row, response: Response) -> None:
    for error in response.errors:
        lines = "".join(traceback.format_exception(error))
        logger.error("request %s failed: %s\n%s", row.request_id, error, lines)
