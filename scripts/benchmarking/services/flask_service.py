"""A Flask service as tutorials write it: development server, PIL, torchvision's transforms, eager PyTorch.

    python -m scripts.benchmarking.services.flask_service FOLDER PORT

One request is one forward pass, in the thread that took it; torch has as many threads as it takes by itself.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import torch
from flask import Flask, jsonify, request
from msgspec import UNSET
from PIL import Image
from torchvision import transforms

from handlers import recipe
from handlers.network import open_network
from handlers.recipe import ImageInput

TOP = 5


def main(folder: Path, port: int) -> None:
    make_app(folder).run(host="127.0.0.1", port=port, threaded=True)


def make_app(folder: Path) -> Flask:
    """The service of a model of pictures; raises what loading raises."""
    model = recipe.load(folder).handler
    network = open_network(model, folder, torch.device("cpu"))
    declared = model.image_input()
    if declared is None:
        raise SystemExit(f"{folder}: takes no pictures")
    transform = transform_of(declared)
    app = Flask(__name__)

    @app.route("/predict", methods=["POST"])
    def predict() -> Any:
        image = Image.open(io.BytesIO(request.get_data())).convert(declared.mode)
        with torch.no_grad():
            outputs = network(transform(image).unsqueeze(0))
        scores, indices = torch.softmax(outputs, dim=1).topk(min(TOP, outputs.shape[1]))
        return jsonify({"indices": indices[0].tolist(), "scores": scores[0].tolist()})

    return app


def transform_of(declared: ImageInput) -> Any:
    """What the recipe says of pictures, in torchvision's words."""
    steps: list[Any] = []
    if declared.resize is not UNSET:
        steps.append(transforms.Resize(declared.resize))
    if declared.crop is not UNSET:
        steps.append(transforms.CenterCrop(declared.crop))
    steps.append(transforms.ToTensor())
    if declared.mean is not UNSET and declared.std is not UNSET:
        steps.append(transforms.Normalize(declared.mean, declared.std))
    if declared.flatten:
        steps.append(torch.flatten)
    return transforms.Compose(steps)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
