"""TorchServe's stock `image_classifier` on the same weights, TorchServe as it ships."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from handlers.cores import cores
from handlers.recipe import Model
from scripts.benchmarking import stock_archive
from scripts.benchmarking.service import Service, free_ports
from scripts.benchmarking.target import Target
from scripts.config import Config
from scripts.errors import CommandError
from scripts.processes.children import Children
from scripts.serving.torchserve import TorchServe

START_TIMEOUT = 180.0  # s
POLL = 0.05  # s


def stock(
    model: Model, folder: Path, target: Target, scratch: Path, children: Children, stack: ExitStack
) -> Service:
    """One worker for each core, torch's own threads, its own logging; a request is a batch."""
    packed = stock_archive.pack(model, folder, scratch / "store", scratch / "stock", children)
    server = TorchServe(_properties(packed, scratch), scratch / "logs", logging=None)
    stack.callback(server.stop)
    server.start()
    _wait(server, model.name)
    at = Target(server.inference.endpoint(model.name), target.file, target.items)
    what = f"image_classifier, {cores()} workers, TorchServe's defaults, eager float32, torch's own threads"
    return Service("stock handler", what, at, server.pid, children)


def _properties(packed: Path, scratch: Path) -> Config:
    """Ports, and nothing that costs or saves time, but one: every minute it would start a Python that looks
    at the machine, which would disturb the others."""
    inference, management, metrics, grpc, grpc_management = free_ports(5)
    return Config(
        {
            "inference_address": f"http://127.0.0.1:{inference}",
            "management_address": f"http://127.0.0.1:{management}",
            "metrics_address": f"http://127.0.0.1:{metrics}",
            "grpc_inference_address": "127.0.0.1",
            "grpc_inference_port": str(grpc),
            "grpc_management_address": "127.0.0.1",
            "grpc_management_port": str(grpc_management),
            "disable_token_authorization": "true",
            "disable_system_metrics": "true",
            "model_store": str(packed.parent.resolve()),
            "load_models": packed.name,
        },
        scratch / "stock.properties",
    )


def _wait(server: TorchServe, name: str) -> None:
    """Until all of its workers are READY."""
    deadline = time.monotonic() + START_TIMEOUT
    while not (server.answers() and _ready(server, name)):
        if time.monotonic() > deadline:
            raise CommandError(f"the stock handler isn't READY after {START_TIMEOUT:.0f} s:\n{server.tail()}")
        time.sleep(POLL)


def _ready(server: TorchServe, name: str) -> bool:
    found = server.management.describe(name)
    return bool(found) and bool(found[0].workers) and all(one.status == "READY" for one in found[0].workers)
