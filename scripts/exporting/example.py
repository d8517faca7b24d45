"""example.py: the bundled input through the exported file, in a few lines that need nothing of pthserve."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from scripts.exporting.preprocessing import Meaning, Numbers, Picture, Preprocessing
from scripts.exporting.targets import Target


def write(told: Preprocessing, target: Target, bundled: str) -> str:
    """The program; `bundled` is the input's path beside it."""
    picture = next((one for one in told.prepare if isinstance(one, Picture)), None)
    numbers = next((one for one in told.prepare if isinstance(one, Numbers)), None)
    is_numbers = bundled.endswith((".json", ".npy"))
    prepare = _numbers(numbers, told, bundled) if is_numbers else _picture(picture, told)
    finish = "\n".join(_finish(told.meaning))
    kind = "a picture" if not is_numbers else "a JSON list" if bundled.endswith(".json") else "an .npy"
    needs_pillow = "" if is_numbers else " pillow"
    libraries = [target.IMPORTS, "import numpy as np"]
    if not is_numbers:
        libraries.append("from PIL import Image, ImageOps")
    return (
        f'"""{told.model} {told.version}: answers {kind} that is named behind it, else {bundled}.\n\n'
        f'pip install {target.INSTALLS} numpy{needs_pillow}\n"""\n\n'
        "import json\nimport sys\nfrom pathlib import Path\n\n"
        + "\n".join(sorted(libraries, key=_import_order))
        + "\n\nhere = Path(__file__).resolve().parent\n"
        + f'path = Path(sys.argv[1]) if sys.argv[1:] else here / "{bundled}"\n\n'
        + "\n".join(prepare)
        + f"\n\n{target.RUN}\n{finish}\n"
    )


def _import_order(line: str) -> tuple[bool, str]:
    """`import` lines before `from` lines, each in the alphabet's order."""
    return line.startswith("from"), line


def _picture(picture: Picture | None, told: Preprocessing) -> Iterator[str]:
    """Lines from `path` to `batch` [1, ...]."""
    assert picture is not None  # only such a model has a picture as its bundled input
    yield f'image = ImageOps.exif_transpose(Image.open(path)).convert("{picture.mode}")'
    yield from _resize(picture)
    yield from _crop(picture)
    yield f"pixels = np.asarray(image, np.float32) * {_factor(picture.rescale_factor)}"
    if picture.mean is not None and picture.std is not None:
        mean, std = (value if picture.mode == "RGB" else value[0] for value in (picture.mean, picture.std))
        yield f"pixels = (pixels - np.float32({mean})) / np.float32({std})"
    axes = "pixels.transpose(2, 0, 1)[None]" if picture.mode == "RGB" else "pixels[None, None]"
    flat = ".reshape(1, -1)" if picture.flatten else ""
    yield f"batch = np.ascontiguousarray({axes}{flat})  # {told.input.shape}"


def _factor(value: float) -> str:
    return "(1 / 255)" if value == 1 / 255 else repr(value)


def _resize(picture: Picture) -> Iterator[str]:
    """As torchvision does to a PIL image."""
    if picture.resize is None:
        return
    filter_ = f"Image.Resampling.{picture.resize['interpolation'].upper()}"
    side = picture.resize.get("shorter_side")
    if side is None:
        yield f"image = image.resize(({picture.resize['width']}, {picture.resize['height']}), {filter_})"
        return
    yield f"long = int({side} * max(image.size) / min(image.size))"
    yield f"size = ({side}, long) if image.width <= image.height else (long, {side})"
    yield f"image = image.resize(size, {filter_})"


def _crop(picture: Picture) -> Iterator[str]:
    """As torchvision does: what lies beyond the picture is black."""
    if picture.crop is None:
        return
    width, height = picture.crop["width"], picture.crop["height"]
    if _always_covers(picture):
        yield f"left, top = round((image.width - {width}) / 2), round((image.height - {height}) / 2)"
    else:
        yield f"spare = image.width - {width}, image.height - {height}"
        yield "left, top = (round(one / 2) if one > 0 else int(one / 2) for one in spare)"
    yield f"image = image.crop((left, top, left + {width}, top + {height}))"


def _always_covers(picture: Picture) -> bool:
    """Whether the resized picture is never smaller than the crop."""
    resize, crop = picture.resize or {}, picture.crop or {}
    height, width = (resize.get(key, resize.get("shorter_side", 0)) for key in ("height", "width"))
    return bool(height >= crop["height"] and width >= crop["width"])


def _numbers(numbers: Numbers | None, told: Preprocessing, bundled: str) -> Iterator[str]:
    """The same for an array; without a description, it is prepared already."""
    dtype = told.input.dtype if numbers is None else numbers.dtype
    if bundled.endswith(".npy"):
        yield "values = np.load(path)"
    else:
        yield f"values = np.array(json.loads(path.read_bytes()), np.{dtype})"
    if numbers is not None and numbers.mean is not None and numbers.std is not None:
        yield f"values = (values - np.float32({numbers.mean})) / np.float32({numbers.std})"
    yield f"batch = values[None]  # {told.input.shape}"


def _finish(meaning: Meaning) -> Iterator[str]:
    """Lines from `output` to what is printed: the answer in the endpoint's own shape."""
    if meaning.task == "classify":
        yield from _classify(meaning)
    elif meaning.task == "regress":
        scaled = meaning.mean is not None and meaning.std is not None
        scale = f" * np.float32({meaning.std}) + np.float32({meaning.mean})" if scaled else ""
        names = f', "names": {meaning.names}' if meaning.names else ""
        yield f"values = output.reshape(-1){scale}"
        yield f'print(json.dumps({{"values": values.tolist(){names}}}))'
    else:
        yield 'print(json.dumps({"output": output.tolist(), "shape": list(output.shape)}))'


def _classify(meaning: Meaning) -> Iterator[str]:
    if meaning.activation == "sigmoid":
        yield "scores = 1 / (1 + np.exp(-output))"
    else:
        yield "scores = np.exp(output - output.max())"
        yield "scores /= scores.sum()"
    if meaning.labels is None:
        yield "labels = [str(index) for index in range(len(scores))]"
    else:
        yield 'labels = json.loads((here / "preprocessing.json").read_bytes())["meaning"]["labels"]'
    yield f'best = np.argsort(-scores, kind="stable")[:{meaning.top_k}].tolist()'
    yield textwrap.dedent("""\
        told = [{"label": labels[index], "index": index, "score": float(scores[index])} for index in best]
        print(json.dumps({"predictions": told}))""")
