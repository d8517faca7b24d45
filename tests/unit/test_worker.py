"""worker: TorchServe's process is made quicker, and left alone where it is another than expected."""

from __future__ import annotations

import gc
import logging
import sys
import warnings
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from handlers import worker
from tests.unit.test_frames import Pieces, Sent, message

with warnings.catch_warnings():  # importing ts leaves its version file open
    warnings.simplefilter("ignore", ResourceWarning)
    import ts
    from ts.protocol import otf_message_handler as protocol

OWN = {name: getattr(protocol, name) for name in ("_retrieve_buffer", "_retrieve_inference_msg")}


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """What `initialize` is given in a worker; this process looks like one, and is itself again afterwards."""
    filters = list(logging.getLogger().filters)
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "false")
    monkeypatch.setattr(sys.modules["__main__"], "retrieve_msg", protocol.retrieve_msg, raising=False)
    monkeypatch.setattr(gc, "freeze", lambda: None)  # what pytest holds stays collectable
    for name, function in OWN.items():
        monkeypatch.setattr(protocol, name, function)
    yield SimpleNamespace(metrics=SimpleNamespace(add_time=print))
    logging.getLogger().filters[:] = filters


def changed() -> set[str]:
    return {name for name, function in OWN.items() if getattr(protocol, name) is not function}


def test_a_worker_reads_messages_at_one_look(context: SimpleNamespace) -> None:
    assert worker.quicken(context)
    connection = Pieces(message([Sent(parameters=[("body", "application/json", b"[1, 2]")])]))
    command, requests = protocol.retrieve_msg(connection)
    assert command == b"I"
    assert requests[0]["parameters"][0]["value"] == b"[1, 2]"
    assert len(connection.asked) == 1


def test_a_batch_is_announced_to_nobody_and_all_else_is_still_said(
    context: SimpleNamespace, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert worker.quicken(context)
    with caplog.at_level(logging.INFO):
        protocol.retrieve_msg(Pieces(message([Sent()])))
        logging.info("said by the worker")
        logging.getLogger("owner.task").info("Backend received inference, says an owner's task")
    context.metrics.add_time("PredictionTime", 1.5)
    assert [record.message for record in caplog.records] == [
        "said by the worker",
        "Backend received inference, says an owner's task",
    ]
    assert capsys.readouterr().out == ""


def test_bodies_that_torchserve_decodes_are_left_to_it(
    context: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "true")
    assert not worker.quicken(context)
    assert not changed()


def test_another_torchserve_is_left_as_it_is(
    context: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ts, "__version__", "0.13.0")
    assert not worker.quicken(context)
    assert not changed()
    assert context.metrics.add_time is print


def test_a_process_that_is_no_worker_is_left_as_it_is(
    context: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(sys.modules["__main__"], "retrieve_msg")
    assert not worker.quicken(context)
    assert not changed()


def test_functions_that_are_gone_are_not_missed(
    context: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(protocol, "_retrieve_inference_msg")
    assert not worker.quicken(context)
    assert protocol._retrieve_buffer is OWN["_retrieve_buffer"]
