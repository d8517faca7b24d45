"""The process around a handler, which is TorchServe's own code: what of it costs a small request most.

Nothing installed is changed: functions and loggers of this one process are, and only of the TorchServe that
this was written against. In any other one everything stays as it is, slower and correct.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from types import ModuleType
from typing import Any

from handlers.frames import Reader

TORCHSERVE = "0.12.0"
PROTOCOL = "ts.protocol.otf_message_handler"

ANNOUNCEMENT = "Backend received inference"
"""Begins what the worker says of every batch, and Java reads, to nobody's use."""


def quicken(context: Any) -> bool:
    """Spare what serves nobody, from the next message on; False, and nothing, outside of such a worker."""
    protocol, main = sys.modules.get(PROTOCOL), sys.modules.get("__main__")
    if protocol is None or getattr(sys.modules.get("ts"), "__version__", "").strip() != TORCHSERVE:
        return False
    if getattr(main, "retrieve_msg", None) is not getattr(protocol, "retrieve_msg", protocol):
        return False
    _keep()
    _unsay(context.metrics)
    return _read_pieces(protocol)


def _unsay(metrics: Any) -> None:
    """No line for each batch, and no PredictionTime: monitoring/torchserve-metrics.yaml doesn't take it."""
    logging.getLogger().addFilter(_announces_nothing)
    if hasattr(metrics, "add_time"):
        metrics.add_time = _untold


def _untold(*_: object, **__: object) -> None:
    """In the place of a metric's method."""


def _announces_nothing(record: logging.LogRecord) -> bool:
    return not (isinstance(record.msg, str) and record.msg.startswith(ANNOUNCEMENT))


def _keep() -> None:
    """What is there now stays: the collector needn't walk through all of PyTorch, while a batch waits."""
    gc.collect()
    gc.freeze()


def _read_pieces(protocol: ModuleType) -> bool:
    """See handlers/frames.py. Bodies stay as they are; where TorchServe decodes them, all stays as it is."""
    if os.environ.get("TS_DECODE_INPUT_REQUEST") != "false":
        return False
    reader = Reader()
    functions = {"_retrieve_buffer": reader.exactly, "_retrieve_inference_msg": reader.requests}
    if not all(callable(getattr(protocol, name, None)) for name in functions):
        return False
    for name, function in functions.items():
        setattr(protocol, name, function)
    return True
