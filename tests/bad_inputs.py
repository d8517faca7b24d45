"""What callers must not send: each with the 4xx and the code that it has to get, offline and over HTTP.

IMAGE is for models/digits_cnn (images, and arrays of [3, 28, 28]), VECTOR for models/diabetes ([10]).
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

UNPICKLED = Path(tempfile.gettempdir()) / "pthserve-a-pickle-was-opened"
"""The file that the pickled array would create."""

JSON, NPY, OCTETS = "application/json", "application/x-npy", "application/octet-stream"


@dataclass(frozen=True)
class BadBody:
    """A request's body and content type, and the status and error code of its answer."""

    name: str
    body: bytes
    content_type: str
    status: int
    code: str


def png(width: int, height: int, rows: bytes = b"", depth: int = 8, colour: int = 0) -> bytes:
    """A PNG written by hand: whatever size it declares, it holds only `rows`."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan stands there again and again: small, and slow to decode."""
    stream = io.BytesIO()
    Image.new("L", (2000, 2000)).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * count + content[-2:]


def many_pictures(count: int) -> bytes:
    """A list of small files, each within the limit, with far too many pixels together."""
    stream = io.BytesIO()
    Image.new("1", (5000, 5000)).save(stream, "PNG")
    return json.dumps({"image": [base64.b64encode(stream.getvalue()).decode()] * count}).encode()


def npy(shape: tuple[int, ...], content: bytes, descr: str = "<f4") -> bytes:
    """An .npy written by hand: whatever its header says, it holds only `content`."""
    return npy_of(repr(shape), content, descr)


def npy_of(shape: str, content: bytes = b"", descr: str = "<f4") -> bytes:
    """The same, its shape as Python text."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}".encode()
    padding = b" " * (-(len(header) + 11) % 64)
    return (
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", len(header + padding) + 1)
        + header
        + padding
        + b"\n"
        + content
    )


def picture(file_format: str, size: tuple[int, int] = (64, 48)) -> bytes:
    """A gradient with some texture, as a file."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 4 % 256, y * 5 % 256, (x * y) % 256], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format)
    return file.getvalue()


def saved(values: object, **options: bool) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(values), **options)
    return file.getvalue()


class _Opens:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (UNPICKLED,)


def pickled() -> bytes:
    """An object array that creates UNPICKLED when it is unpickled."""
    values = np.empty(10, dtype=object)
    values[:] = [_Opens() for _ in range(10)]
    return saved(values, allow_pickle=True)


def base64_json(content: bytes) -> bytes:
    return json.dumps({"image": {"b64": base64.b64encode(content).decode()}}).encode()


def vector(first: str) -> bytes:
    """A JSON vector of ten numbers, the first as it is given."""
    return b'{"input": [' + first.encode() + b", 0" * 9 + b"]}"


def cube(first: str) -> bytes:
    """A JSON array of shape [3, 28, 28], the first number as it is given."""
    row = "[" + ", ".join(["0"] * 28) + "]"
    plane = "[" + ", ".join([row] * 28) + "]"
    text = '{"input": [' + ", ".join([plane] * 3) + "]}"
    return text.replace("0", first, 1).encode()


def _numbers(one: Callable[[str], bytes], shape: tuple[int, ...]) -> list[BadBody]:
    """Bad numbers in arrays of the right shape."""
    count = int(np.prod(shape))
    bad = np.zeros((2, *shape), np.float32)
    bad[1].flat[3] = np.nan
    return [
        BadBody("a NaN literal", one("NaN"), JSON, 400, "bad_json"),
        BadBody("an Infinity literal", one("Infinity"), JSON, 400, "bad_json"),
        BadBody("a -Infinity literal", one("-Infinity"), JSON, 400, "bad_json"),
        BadBody("1e400", one("1e400"), JSON, 400, "wrong_type"),
        BadBody("1e39", one("1e39"), JSON, 400, "not_finite"),
        BadBody("a null among numbers", one("null"), JSON, 400, "wrong_type"),
        BadBody("a number as a string", one('0, "1.5"'), JSON, 400, "wrong_type"),
        BadBody("a boolean among numbers", one("true"), JSON, 400, "wrong_type"),
        BadBody("a number that is a list", one("[1]"), JSON, 400, "wrong_type"),
        BadBody("a list among numbers", one("0, [1]"), JSON, 400, "wrong_type"),
        BadBody("one value too many", one("0, 0"), JSON, 400, "wrong_shape"),
        BadBody("cut short", one("0")[:-3], JSON, 400, "bad_json"),
        BadBody("npy with NaN", saved(bad[1]), NPY, 400, "not_finite"),
        BadBody("npy with infinity", saved(np.full(shape, np.inf)), NPY, 400, "not_finite"),
        BadBody("npy too large for float32", saved(np.full(shape, 1e39)), NPY, 400, "not_finite"),
        BadBody("npy of two, one with NaN", saved(bad), NPY, 400, "bad_items"),
        BadBody("npy of another shape", saved(np.zeros((count, 2))), NPY, 400, "wrong_shape"),
        BadBody("npy of no items", saved(np.zeros((0, *shape))), NPY, 400, "empty_body"),
        BadBody(
            "npy of too many items", saved(np.zeros((1025, *shape), np.bool)), NPY, 413, "too_many_items"
        ),
        BadBody("npy cut short", saved(np.zeros(shape))[:-8], NPY, 400, "bad_npy"),
        BadBody("npy with noise behind", saved(np.zeros(shape)) + b"\0", NPY, 400, "bad_npy"),
        BadBody("npy of complex numbers", saved(np.zeros(shape, complex)), NPY, 400, "wrong_type"),
        BadBody("npy of text", saved(np.full(shape, "1.5")), NPY, 400, "wrong_type"),
        BadBody("npy of dates", saved(np.zeros(shape, "M8[s]")), NPY, 400, "wrong_type"),
        BadBody("npy of records", saved(np.zeros(shape, [("a", "f4")])), NPY, 400, "wrong_type"),
        BadBody("npy of fewer bytes than said", npy((7, *shape), bytes(64)), NPY, 400, "bad_npy"),
    ]


SHARED = [
    BadBody("empty", b"", OCTETS, 400, "empty_body"),
    BadBody("spaces", b"  \n", OCTETS, 415, "unsupported_type"),
    BadBody("spaces as JSON", b"  \n", JSON, 400, "bad_json"),
    BadBody("noise", bytes(range(128, 256)), OCTETS, 415, "unsupported_type"),
    BadBody("noise as JSON", bytes(range(128, 256)), JSON, 400, "bad_json"),
    BadBody("noise as an image", bytes(range(128, 256)), "image/jpeg", 400, "bad_image"),
    BadBody("JSON as an image", b"[1, 2]", "image/png", 400, "bad_image"),
    BadBody("text", b"hello there", "text/plain", 400, "bad_json"),
    BadBody("an HTML page", b"<html><body>cat</body></html>", "text/html", 415, "unsupported_type"),
    BadBody("gzip", gzip.compress(b"[1, 2, 3]"), JSON, 415, "unsupported_type"),
    BadBody("gzip noise", b"\x1f\x8b" + bytes(range(200)), OCTETS, 415, "unsupported_type"),
    BadBody("a zip archive", b"PK\x03\x04" + bytes(50), "application/zip", 415, "unsupported_type"),
    BadBody("GIF", picture("GIF"), "image/gif", 415, "unsupported_type"),
    BadBody("BMP", picture("BMP"), "image/bmp", 415, "unsupported_type"),
    BadBody("TIFF", picture("TIFF"), "image/tiff", 415, "unsupported_type"),
    BadBody("HEIC", b"\0\0\0\x18ftypheic" + bytes(40), "image/heic", 415, "unsupported_type"),
    BadBody("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf", 415, "unsupported_type"),
    BadBody("null", b"null", JSON, 400, "wrong_shape"),
    BadBody("true", b"true", JSON, 400, "wrong_shape"),
    BadBody("a lone number", b"7", JSON, 400, "wrong_shape"),
    BadBody("an empty list", b"[]", JSON, 400, "wrong_shape"),
    BadBody("an empty list as input", b'{"input": []}', JSON, 400, "wrong_shape"),
    BadBody("an empty object", b"{}", JSON, 400, "wrong_field"),
    BadBody("a wrong field", b'{"inputs": [1, 2]}', JSON, 400, "wrong_field"),
    BadBody("a field too many", b'{"input": [1, 2], "top_k": 5}', JSON, 400, "wrong_field"),
    BadBody("a lone surrogate as field", b'{"\\ud800": 1}', JSON, 400, "bad_json"),
    BadBody("invalid UTF-8 as field", b'{"\xff\xfe": 1}', JSON, 400, "bad_json"),
    BadBody("invalid UTF-8", b'{"input": "\xff\xfe"', JSON, 400, "bad_json"),
    BadBody("lists nested 100,000 deep", b"[" * 100_000 + b"]" * 100_000, JSON, 400, "bad_json"),
    BadBody("100,000 open brackets", b"[" * 100_000, JSON, 400, "bad_json"),
    BadBody(
        "objects nested 100,000 deep",
        b'{"input":' * 100_000 + b"1" + b"}" * 100_000,
        JSON,
        413,
        "too_many_items",
    ),
    BadBody("lists in input nested 100,000 deep", b'{"input":' + b"[" * 100_000, JSON, 400, "bad_json"),
    BadBody("npy that holds a pickle", pickled(), NPY, 400, "wrong_type"),
    BadBody("npy that declares 10**12 values", npy((10**12,), bytes(40)), NPY, 400, "bad_npy"),
    BadBody("npy of 70 dimensions", npy((1,) * 70, bytes(4)), NPY, 400, "wrong_shape"),
    BadBody("npy of no items of 10**30", npy((0, 10**30), b""), NPY, 400, "bad_npy"),
    BadBody("npy of a negative shape", npy((-1, -10), bytes(40)), NPY, 400, "bad_npy"),
    BadBody("npy whose shape holds a boolean", npy((True, 10), bytes(40)), NPY, 400, "bad_npy"),
    BadBody("npy of 16**5000 values", npy_of("(0x1" + "0" * 5000 + ",)"), NPY, 400, "bad_npy"),
    BadBody("five million open brackets", b"[" * 5_000_000, JSON, 400, "bad_json"),
    BadBody("npy with half a header", saved(np.zeros(10))[:40], NPY, 400, "bad_npy"),
    BadBody("npy with code as header", b"\x93NUMPY\x01\x00\x10\x00__import__('os')\n", NPY, 400, "bad_npy"),
    BadBody("npy of an unknown version", b"\x93NUMPY\x09\x09" + bytes(60), NPY, 400, "bad_npy"),
]

IMAGE = [
    *SHARED,
    *_numbers(cube, (3, 28, 28)),
    BadBody("JPEG cut short", picture("JPEG")[:-100], "image/jpeg", 400, "bad_image"),
    BadBody("JPEG cut short in its header", picture("JPEG")[:300], "image/jpeg", 400, "bad_image"),
    BadBody("PNG cut short", picture("PNG")[:-100], "image/png", 400, "bad_image"),
    BadBody("PNG cut short in its header", picture("PNG")[:20], "image/png", 400, "bad_image"),
    BadBody("WebP cut short", picture("WEBP")[:-100], "image/webp", 400, "bad_image"),
    BadBody("JPEG of just its first bytes", b"\xff\xd8\xff", "image/jpeg", 400, "bad_image"),
    BadBody("JPEG of noise", b"\xff\xd8\xff\xe0" + bytes(range(256)), "image/jpeg", 400, "bad_image"),
    BadBody("PNG of no width", png(0, 5), "image/png", 400, "bad_image"),
    BadBody("PNG without pixels", png(28, 28), "image/png", 400, "bad_image"),
    BadBody("PNG of 30000 x 30000", png(30_000, 30_000), "image/png", 413, "image_too_large"),
    BadBody("PNG of 6000 x 5000", png(6000, 5000), "image/png", 413, "image_too_large"),
    BadBody(
        "strip of 1 x 40000", png(1, 40_000, bytes(80_000)), "image/png", 413, "image_too_large"
    ),  # resized: 28 x 1,120,000
    BadBody("JPEG of 4000 scans", many_scans(4000), "image/jpeg", 400, "bad_image"),
    BadBody("a list of too many pixels in all", many_pictures(300), JSON, 413, "image_too_large"),
    BadBody("JPEG cut short, in base64", base64_json(picture("JPEG")[:-100]), JSON, 400, "bad_image"),
    BadBody("GIF in base64", base64_json(picture("GIF")), JSON, 400, "bad_image"),
    BadBody("wrong base64", b'{"image": {"b64": "@@@@"}}', JSON, 400, "bad_base64"),
    BadBody("base64 cut short", b'{"image": {"b64": "iVBORw0KG"}}', JSON, 400, "bad_base64"),
    BadBody("empty base64", b'{"image": {"b64": ""}}', JSON, 400, "empty_body"),
    BadBody("base64 that isn't ASCII", '{"image": {"b64": "é"}}'.encode(), JSON, 400, "bad_base64"),
    BadBody("a lone surrogate as base64", b'{"image": {"b64": "\\ud800"}}', JSON, 400, "bad_json"),
    BadBody("a pair of surrogates as base64", b'{"image": "\\ud83d\\ude00"}', JSON, 400, "bad_base64"),
    BadBody("a URL", b'{"image": "https://example.com/cat.jpg"}', JSON, 400, "bad_base64"),
    BadBody("image is a number", b'{"image": 5}', JSON, 400, "wrong_shape"),
    BadBody("image is null", b'{"image": {"b64": null}}', JSON, 400, "wrong_type"),
    BadBody("image has another field", b'{"image": {"url": "x"}}', JSON, 400, "wrong_type"),
    BadBody("strings", b'["1", "2"]', JSON, 400, "bad_items"),
    BadBody("an image and a number", b'{"image": ["aGVsbG8=", 5]}', JSON, 400, "bad_items"),
    BadBody(
        "many planes, one ragged",
        b'{"input": [' + b"[[0], [0, 0]], " * 2 + b"[[0], [0]]]}",
        JSON,
        400,
        "wrong_shape",
    ),
]

VECTOR = [
    *SHARED,
    *_numbers(vector, (10,)),
    BadBody("JPEG", picture("JPEG"), "image/jpeg", 400, "wrong_kind"),
    BadBody("PNG", picture("PNG"), "image/png", 400, "wrong_kind"),
    BadBody("an image in base64", base64_json(picture("PNG")), JSON, 400, "wrong_kind"),
    BadBody("strings", b'["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]', JSON, 400, "wrong_kind"),
    BadBody("a short vector", b"[1, 2, 3]", JSON, 400, "wrong_shape"),
    BadBody("short vectors", b"[[1, 2, 3], [1, 2, 3]]", JSON, 400, "wrong_shape"),
    BadBody("ragged vectors", b"[[1, 2, 3], [1, 2]]", JSON, 400, "wrong_shape"),
    BadBody(
        "two vectors, one short",
        b"[[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0]]",
        JSON,
        400,
        "bad_items",
    ),
    BadBody("six million empty lists", b"[" + b"[]," * 6_000_000 + b"[]]", JSON, 413, "too_many_items"),
    BadBody("a matrix of matrices", b"[[[1]]]", JSON, 400, "wrong_shape"),
]
