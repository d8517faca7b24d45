"""A FastAPI service as tutorials write it: a pydantic body, eager PyTorch, JSON back.

    PTHSERVE_SERVED=FOLDER PTHSERVE_STARTED=FOLDER \\
        python -m uvicorn scripts.benchmarking.services.fastapi_service:make_app --factory

One process for each core (uvicorn's --workers), uvloop and httptools, a single torch thread in each: all that
costs a service of small requests nothing to set.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI
from msgspec import UNSET
from pydantic import BaseModel

from handlers import recipe
from handlers.network import open_network

FOLDER = "PTHSERVE_SERVED"
"""Environment variable: the model's folder."""

STARTED = "PTHSERVE_STARTED"
"""Environment variable: the folder where each process leaves a file once it can answer."""

TOP = 5


class Body(BaseModel):
    """One item's numbers, nested as the network takes them."""

    input: list[Any]


class Numbers(BaseModel):
    """One item of a single dimension, which pydantic reads faster."""

    input: list[float]


def make_app() -> FastAPI:
    """The service of a model of numbers; raises what loading raises."""
    folder = Path(os.environ[FOLDER])
    torch.set_num_threads(1)
    model = recipe.load(folder).handler
    network = open_network(model, folder, torch.device("cpu"))
    declared = model.tensor_input()
    if declared is None:
        raise SystemExit(f"{folder}: takes no numbers")
    mean, std = (None if value is UNSET else torch.tensor(value) for value in (declared.mean, declared.std))
    dtype = torch.int64 if declared.dtype == "int64" else torch.float32
    body = Numbers if len(declared.shape) == 1 else Body
    app = FastAPI()

    async def predict(item: Any) -> dict[str, Any]:
        batch = torch.tensor(item.input, dtype=dtype).unsqueeze(0)
        if mean is not None:
            batch = batch - mean
        if std is not None:
            batch = batch / std
        with torch.no_grad():
            output = network(batch)[0]
        if model.task != "classify":
            return {"values": output.tolist()}
        scores, indices = torch.softmax(output, dim=0).topk(min(TOP, len(output)))
        return {"indices": indices.tolist(), "scores": scores.tolist()}

    predict.__annotations__["item"] = body  # which FastAPI decodes the request by
    app.post("/predict", response_model=None)(predict)
    (Path(os.environ[STARTED]) / str(os.getpid())).touch()
    return app
