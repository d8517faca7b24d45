"""images: any picture becomes what the recipe says, by PIL, or by torchvision where pixels are equal."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import skimage.data
import torch
import torchvision.io
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from torchvision.transforms import Compose, InterpolationMode, Normalize, ToTensor
from torchvision.transforms._presets import ImageClassification

from handlers import images
from handlers.errors import BadInput
from handlers.recipe import ImageInput
from tests.bad_inputs import png

Pixels = NDArray[np.uint8]


def encoded(image: Image.Image | Pixels, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    made = image if isinstance(image, Image.Image) else Image.fromarray(image)
    made.save(file, file_format, **options)  # type: ignore[arg-type]
    return file.getvalue()


def grey_levels(content: bytes, **recipe: object) -> torch.Tensor:
    """uint8 [channels, height, width]: what `prepare` makes of it, before it is scaled."""
    levels = images.prepare(content, ImageInput(rescale_factor=1, **recipe))  # type: ignore[arg-type]
    assert levels.dtype == torch.float32
    assert torch.equal(levels, levels.round().clamp(0, 255))
    return levels.to(torch.uint8)


def code(content: bytes, **recipe: object) -> str:
    with pytest.raises(BadInput) as caught:
        images.prepare(content, ImageInput(**recipe))  # type: ignore[arg-type]
    return caught.value.code


@cache
def photo(name: str) -> Image.Image:
    image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    return image.resize((image.width // 3, image.height // 3 + 1), Image.Resampling.LANCZOS)


def noise(width: int, height: int) -> Image.Image:
    generator = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))


def edges() -> Image.Image:
    pixels = np.zeros((67, 93, 3), np.uint8)
    pixels[20:40, ::2] = 255
    pixels[:, 50:] = (255, 0, 17)
    pixels[50:, :40] = (0, 255, 255)
    return Image.fromarray(pixels)


CORPUS = {
    **{name: photo(name) for name in ("astronaut", "chelsea", "coffee", "camera")},
    **{f"noise {w}x{h}": noise(w, h) for w, h in ((1, 1), (1, 7), (7, 1), (3, 5), (33, 17), (64, 64))},
    "edges": edges(),
}


def adam7(image: Image.Image) -> bytes:
    """An interlaced PNG, which PIL can't write."""
    pixels = np.asarray(image)
    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    rows = [
        b"\0" + row.tobytes() for top, left, down, right in passes for row in pixels[top::down, left::right]
    ]
    found = png(image.width, image.height, b"".join(row for row in rows if len(row) > 1), colour=2)
    header = found[12:28] + b"\x01"
    return found[:12] + header + struct.pack(">I", zlib.crc32(header)) + found[33:]


def with_chunk(content: bytes, kind: bytes, value: bytes) -> bytes:
    """A PNG with one more chunk, behind its pixels."""
    chunk = struct.pack(">I", len(value)) + kind + value + struct.pack(">I", zlib.crc32(kind + value))
    return content[:-12] + chunk + content[-12:]


def decorated(image: Image.Image) -> bytes:
    """A PNG with chunks that a decoder might apply, and we don't."""
    info = PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100_000))
    info.add(b"sBIT", b"\x05\x06\x05")
    info.add(b"bKGD", bytes(6))
    return encoded(image, "PNG", pnginfo=info, dpi=(72, 72))


Encode = Callable[[Image.Image], bytes]


def saving(file_format: str, mode: str = "RGB", **options: object) -> Encode:
    return lambda image: encoded(image.convert(mode), file_format, **options)


def see_through(image: Image.Image) -> Image.Image:
    clear = image.convert("RGBA")
    clear.putalpha(image.convert("L"))
    return clear


PROFILE = b"not really a colour profile"

ALIKE: dict[str, Encode] = {
    "JPEG 4:4:4": saving("JPEG", quality=90, subsampling=0),
    "JPEG 4:2:2": saving("JPEG", quality=80, subsampling=1),
    "JPEG 4:2:0": saving("JPEG", quality=75, subsampling=2),
    "JPEG of low quality": saving("JPEG", quality=5),
    "JPEG progressive": saving("JPEG", quality=75, progressive=True),
    "JPEG with restarts": saving("JPEG", restart_marker_rows=1),
    "JPEG of RGB": saving("JPEG", keep_rgb=True),
    "JPEG with a profile": saving("JPEG", icc_profile=PROFILE),
    "JPEG of grey": saving("JPEG", "L", quality=80),
    "JPEG of grey, progressive": saving("JPEG", "L", progressive=True),
    "PNG": saving("PNG"),
    "PNG optimised": saving("PNG", optimize=True),
    "PNG of grey": saving("PNG", "L"),
    "PNG interlaced": adam7,
    "PNG with more chunks": decorated,
    "WebP lossy": saving("WEBP", quality=75),
    "WebP of low quality": saving("WEBP", quality=5),
    "WebP lossless": saving("WEBP", lossless=True),
    "WebP with a profile": saving("WEBP", icc_profile=PROFILE),
}
"""What torchvision decodes when the recipe's mode is RGB."""

OTHERS: dict[str, Encode] = {
    "JPEG of CMYK": saving("JPEG", "CMYK"),
    "PNG of 1 bit": saving("PNG", "1"),
    "PNG of a palette": saving("PNG", "P"),
    "PNG of grey with alpha": saving("PNG", "LA"),
    "PNG of RGBA": lambda image: encoded(see_through(image), "PNG"),
    "PNG of 16-bit grey": lambda image: encoded(
        np.asarray(image.convert("L")).astype(np.uint16) * 257, "PNG"
    ),
    "PNG of a palette with one colour clear": lambda image: encoded(
        image.convert("P"), "PNG", transparency=3
    ),
    "PNG with one colour clear": lambda image: encoded(image, "PNG", transparency=(255, 0, 17)),
    "PNG of grey with one level clear": lambda image: encoded(image.convert("L"), "PNG", transparency=0),
    "WebP of RGBA": lambda image: encoded(see_through(image), "WEBP", lossless=True, exact=True),
    "WebP animated": lambda image: encoded(
        image, "WEBP", save_all=True, append_images=[ImageOps.invert(image)]
    ),
}
"""What PIL decodes with either backend."""


@pytest.fixture
def decoded_by_torchvision(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry for each picture that torchvision decodes."""
    seen: list[bool] = []
    decode = torchvision.io.decode_image

    def counted(*values: object, **options: object) -> torch.Tensor:
        seen.append(True)
        result: torch.Tensor = decode(*values, **options)
        return result

    monkeypatch.setattr(torchvision.io, "decode_image", counted)
    return seen


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("encoding", [*ALIKE, *OTHERS])
def test_both_backends_decode_to_equal_pixels(
    encoding: str, mode: str, decoded_by_torchvision: list[bool]
) -> None:
    for name, image in CORPUS.items():
        content = (ALIKE | OTHERS)[encoding](image)
        reference = grey_levels(content, mode=mode)
        assert reference.shape == (3 if mode == "RGB" else 1, image.height, image.width)
        found = grey_levels(content, mode=mode, backend="tensor")
        assert torch.equal(found, reference), name
    if mode == "RGB":
        assert len(decoded_by_torchvision) == (len(CORPUS) if encoding in ALIKE else 0)
    else:
        assert len(decoded_by_torchvision) == (
            len(CORPUS) if "of grey" in encoding and encoding in ALIKE else 0
        )


SIZES: list[int | list[int]] = [7, 28, [40, 61], [224, 32]]


@pytest.mark.parametrize("encoding", ["PNG", "JPEG 4:2:0", "JPEG of grey", "WebP lossy", "PNG of RGBA"])
def test_the_tensor_backend_resizes_within_one_grey_level(encoding: str) -> None:
    for name, image in CORPUS.items():
        content = (ALIKE | OTHERS)[encoding](image)
        for size in SIZES:
            reference = grey_levels(content, resize=size).int()
            found = grey_levels(content, resize=size, backend="tensor").int()
            assert found.shape == reference.shape
            assert (found - reference).abs().max() <= 1, (name, size)


@pytest.mark.parametrize("size", [7, 224])
def test_the_tensor_backend_shrinks_and_enlarges_large_noise_within_one_grey_level(size: int) -> None:
    content = encoded(noise(811, 603), "PNG", compress_level=1)
    found = grey_levels(content, resize=size, backend="tensor").int()
    assert (found - grey_levels(content, resize=size).int()).abs().max() <= 1


@pytest.mark.parametrize("interpolation", ["nearest", "bicubic"])
def test_nearest_and_bicubic_are_pils_with_either_backend(interpolation: str) -> None:
    for image in CORPUS.values():
        content = encoded(image, "PNG")
        for size in SIZES:
            found = grey_levels(content, resize=size, interpolation=interpolation, backend="tensor")
            assert torch.equal(found, grey_levels(content, resize=size, interpolation=interpolation))


@pytest.mark.parametrize("crop", [1, 8, 17, 50, [20, 90], [90, 20]])
def test_both_backends_crop_alike_and_pad_what_is_smaller(crop: int | list[int]) -> None:
    content = encoded(noise(33, 17), "PNG")
    reference = grey_levels(content, crop=crop)
    assert list(reference.shape[1:]) == ([crop, crop] if isinstance(crop, int) else crop)
    assert torch.equal(grey_levels(content, crop=crop, backend="tensor"), reference)


def deep_png(values: list[int], colour: int) -> bytes:
    """One pixel of 16-bit channels."""
    return png(1, 1, b"\0" + struct.pack(f">{len(values)}H", *values), depth=16, colour=colour)


RED = (200, 30, 40)


def plain(mode: str, colour: int | tuple[int, ...]) -> Image.Image:
    return Image.new(mode, (8, 8), colour)


def palette(*colours: tuple[int, int, int]) -> Image.Image:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([channel for colour in colours for channel in colour])
    return image


@pytest.mark.parametrize("backend", ["pil", "tensor"])
@pytest.mark.parametrize(
    ("content", "rgb"),
    [
        pytest.param(encoded(plain("1", 1), "PNG"), (255, 255, 255), id="1 bit"),
        pytest.param(png(4, 1, b"\0\x55", 2), (85, 85, 85), id="2 bits"),
        pytest.param(png(2, 1, b"\0\x77", 4), (119, 119, 119), id="4 bits"),
        pytest.param(encoded(plain("L", 100), "PNG"), (100, 100, 100), id="L"),
        pytest.param(encoded(plain("LA", (100, 7)), "PNG"), (100, 100, 100), id="LA loses its alpha"),
        pytest.param(encoded(palette((0, 0, 0), RED), "PNG"), RED, id="P"),
        pytest.param(
            encoded(palette((0, 0, 0), RED), "PNG", transparency=1), RED, id="P with a clear colour"
        ),
        pytest.param(
            encoded(palette((0, 0, 0), RED), "PNG", transparency=b"\xff\x11"), RED, id="P with an alpha each"
        ),
        pytest.param(encoded(plain("RGB", RED), "PNG"), RED, id="RGB"),
        pytest.param(encoded(plain("RGB", RED), "PNG", transparency=RED), RED, id="RGB with a clear colour"),
        pytest.param(encoded(plain("RGBA", (*RED, 0)), "PNG"), RED, id="RGBA loses its alpha"),
        pytest.param(encoded(plain("RGBA", (*RED, 9)), "WEBP", lossless=True), RED, id="RGBA in WebP"),
        pytest.param(deep_png([0x8080], 0), (128, 128, 128), id="16-bit grey is scaled"),
        pytest.param(deep_png([0xFFFF], 0), (255, 255, 255), id="16-bit white"),
        pytest.param(deep_png([254 * 257], 0), (254, 254, 254), id="16-bit near white is no white"),
        pytest.param(deep_png([300], 0), (1, 1, 1), id="16-bit near black isn't clipped"),
        pytest.param(deep_png([0x8080, 9], 4), (128, 128, 128), id="16-bit grey with alpha"),
        pytest.param(deep_png([200 * 257, 30 * 257, 40 * 257], 2), RED, id="16-bit RGB"),
        pytest.param(deep_png([200 * 257, 30 * 257, 40 * 257, 5], 6), RED, id="16-bit RGBA"),
    ],
)
def test_any_mode_becomes_the_recipes(content: bytes, rgb: tuple[int, int, int], backend: str) -> None:
    colour = torch.tensor(rgb, dtype=torch.uint8)[:, None, None]
    found = grey_levels(content, mode="RGB", backend=backend)
    assert torch.equal(found, colour.expand_as(found))
    grey = (colour.double() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum()
    found = grey_levels(content, mode="L", backend=backend)
    assert found.shape[0] == 1
    assert (found.double() - grey).abs().max() <= 1


@pytest.mark.parametrize("backend", ["pil", "tensor"])
def test_a_jpeg_of_cmyk_keeps_its_colours(backend: str) -> None:
    content = encoded(plain("RGB", RED).convert("CMYK"), "JPEG", quality=100)
    found = grey_levels(content, backend=backend).int()
    assert (found - torch.tensor(RED)[:, None, None]).abs().max() <= 3


CORNERS = np.zeros((16, 24, 3), np.uint8)
CORNERS[:8, :8], CORNERS[:8, 8:], CORNERS[8:, :8], CORNERS[8:, 8:] = (
    RED,
    (10, 220, 30),
    (20, 40, 230),
    (99, 99, 99),
)

TURNED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[:, ::-1],
}
"""How a camera stores the upright picture under each orientation of EXIF."""


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def xmp(orientation: int) -> bytes:
    described = f'<rdf:Description tiff:Orientation="{orientation}"/>'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>{described}</rdf:RDF></x:xmpmeta>'.encode()


def with_exif_behind(pixels: Pixels, orientation: int) -> bytes:
    return with_chunk(encoded(pixels, "PNG"), b"eXIf", exif(orientation).removeprefix(b"Exif\0\0"))


def with_xmp_in_png(pixels: Pixels, orientation: int) -> bytes:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp(orientation).decode())
    return encoded(pixels, "PNG", pnginfo=info)


ORIENTED: dict[str, Callable[[Pixels, int], bytes]] = {
    "JPEG": lambda a, n: encoded(a, "JPEG", quality=100, subsampling=0, exif=exif(n)),
    "JPEG with XMP": lambda a, n: encoded(a, "JPEG", quality=100, subsampling=0, xmp=xmp(n)),
    "PNG": lambda a, n: encoded(a, "PNG", exif=exif(n)),
    "PNG with EXIF behind its pixels": with_exif_behind,
    "PNG with XMP": with_xmp_in_png,
    "WebP": lambda a, n: encoded(a, "WEBP", lossless=True, exif=exif(n)),
    "WebP with XMP": lambda a, n: encoded(a, "WEBP", lossless=True, xmp=xmp(n)),
}


@pytest.mark.parametrize("backend", ["pil", "tensor"])
@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ORIENTED)
def test_every_orientation_is_turned_upright(kind: str, orientation: int, backend: str) -> None:
    stored = np.ascontiguousarray(TURNED[orientation](CORNERS))
    found = grey_levels(ORIENTED[kind](stored, orientation), backend=backend)
    wanted = torch.from_numpy(CORNERS.transpose(2, 0, 1).copy())
    assert found.shape == wanted.shape
    assert (found.int() - wanted.int()).abs().max() <= (3 if "JPEG" in kind else 0)


def odd_exif() -> bytes:
    """Orientation 6, and beside it a tag whose value PIL can't write again."""
    count = struct.pack("<H", 2)
    orientation = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    width = struct.pack("<HHI4s", 0x0100, 2, 3, b"ab\0\0")  # a number, and it holds text
    return b"Exif\0\0II*\0\x08\0\0\0" + count + orientation + width + bytes(4)


@pytest.mark.parametrize("backend", ["pil", "tensor"])
@pytest.mark.parametrize(
    ("tags", "size"),
    [
        (odd_exif(), (24, 16)),
        (exif(9), (16, 24)),
        (exif(0), (16, 24)),
        (b"Exif\0\0", (16, 24)),
        (b"Exif\0\0garbage!", (16, 24)),
        (b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01", (16, 24)),
    ],
)
def test_odd_exif_never_makes_a_good_picture_bad(tags: bytes, size: tuple[int, int], backend: str) -> None:
    found = grey_levels(encoded(CORNERS, "JPEG", exif=tags), backend=backend)
    assert tuple(found.shape[1:]) == size


FIRST, SECOND = plain("RGB", RED), plain("RGB", (0, 0, 255))


@pytest.mark.parametrize("backend", ["pil", "tensor"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            encoded(FIRST, "WEBP", save_all=True, append_images=[SECOND], lossless=True), id="animated WebP"
        ),
        pytest.param(encoded(FIRST, "PNG", save_all=True, append_images=[SECOND]), id="animated PNG"),
        pytest.param(
            encoded(FIRST, "PNG", save_all=True, append_images=[SECOND], default_image=True),
            id="animated PNG with a picture of its own",
        ),
        pytest.param(
            encoded(FIRST, "MPO", save_all=True, append_images=[SECOND], quality=100),
            id="MPO of a stereo camera",
        ),
    ],
)
def test_of_many_frames_the_first_is_taken(content: bytes, backend: str) -> None:
    found = grey_levels(content, backend=backend).int()
    assert found.shape == (3, 8, 8)
    assert (found - torch.tensor(RED)[:, None, None]).abs().max() <= 3


@pytest.mark.parametrize("backend", ["pil", "tensor"])
@pytest.mark.parametrize("cut", [0.02, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("encoding", ["JPEG 4:2:0", "JPEG progressive", "JPEG of grey", "PNG", "WebP lossy"])
def test_what_is_cut_short_is_refused(encoding: str, cut: float, backend: str) -> None:
    content = ALIKE[encoding](photo("chelsea"))
    assert code(content[: int(len(content) * cut)], backend=backend) == "bad_image"


def test_what_is_wrong_is_said_without_our_inside() -> None:
    with pytest.raises(BadInput) as caught:
        images.prepare(b"\xff\xd8\xffnoise", ImageInput())
    assert caught.value.message == "the image can't be decoded: cannot identify image file"


@pytest.mark.parametrize("backend", ["pil", "tensor"])
def test_pictures_stay_within_the_recipes_megapixels(backend: str) -> None:
    grey = encoded(noise(100, 100), "PNG")
    assert grey_levels(grey, max_megapixels=0.01, backend=backend).shape == (3, 100, 100)
    assert code(encoded(noise(100, 101), "PNG"), max_megapixels=0.01, backend=backend) == "image_too_large"


@pytest.mark.parametrize(
    ("width", "height", "expected"), [(5000, 5000, "bad_image"), (5000, 5001, "image_too_large")]
)
def test_the_limit_is_25_megapixels_and_told_from_the_header(width: int, height: int, expected: str) -> None:
    assert code(png(width, height)) == expected


@pytest.mark.parametrize("backend", ["pil", "tensor"])
@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1)])
def test_a_strip_that_resizing_would_blow_up_is_refused(size: tuple[int, int], backend: str) -> None:
    content = encoded(Image.new("L", size), "PNG")
    assert code(content, resize=224, backend=backend) == "image_too_large"
    assert grey_levels(content, resize=[32, 32], backend=backend).shape == (3, 32, 32)


@pytest.mark.parametrize("file_format", ["GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_other_formats_of_pil_are_refused(file_format: str) -> None:
    assert code(encoded(FIRST, file_format)) == "bad_image"


MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def test_scaling_and_normalising_equal_torchvisions() -> None:
    image = photo("astronaut")
    found = images.prepare(encoded(image, "PNG"), ImageInput(mean=MEAN, std=STD))
    reference = Compose([ToTensor(), Normalize(MEAN, STD)])(image)
    torch.testing.assert_close(found, reference, atol=1e-6, rtol=0)


def test_grey_is_normalised_with_its_one_mean() -> None:
    image = photo("camera").convert("L")
    found = images.prepare(encoded(image, "PNG"), ImageInput(mode="L", mean=[0.5], std=[0.25]))
    torch.testing.assert_close(found, Normalize([0.5], [0.25])(ToTensor()(image)), atol=1e-6, rtol=0)


def test_flatten_gives_the_same_values_in_one_row() -> None:
    content = encoded(noise(33, 17), "PNG")
    flat = images.prepare(content, ImageInput(mean=MEAN, std=STD, flatten=True))
    assert torch.equal(flat, images.prepare(content, ImageInput(mean=MEAN, std=STD)).reshape(3 * 17 * 33))


@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (28, 28), (60, 100)])
@pytest.mark.parametrize(
    "mode", [InterpolationMode.NEAREST, InterpolationMode.BILINEAR, InterpolationMode.BICUBIC]
)
def test_the_pil_backend_equals_torchvisions_preset(resize: int, crop: int, mode: InterpolationMode) -> None:
    """Also where the crop is larger than what was resized."""
    preset = ImageClassification(crop_size=crop, resize_size=resize, interpolation=mode)
    recipe = ImageInput(resize=resize, crop=crop, mean=MEAN, std=STD, interpolation=mode.value)
    for name in ("astronaut", "chelsea", "coffee", "camera", "noise 33x17"):
        found = images.prepare(encoded(CORPUS[name], "PNG"), recipe)
        torch.testing.assert_close(found, preset(CORPUS[name]), atol=1e-6, rtol=0)


FILES = [encode(noise(33, 17)) for encode in ALIKE.values()]


@settings(max_examples=150, deadline=None, database=None)
@given(
    seed=st.sampled_from(FILES),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6),
    backend=st.sampled_from(["pil", "tensor"]),
)
def test_damaged_pictures_are_read_or_refused(
    seed: bytes, changes: list[tuple[int, int]], backend: str
) -> None:
    damaged = bytearray(seed)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    refused = ""
    try:
        shape = grey_levels(bytes(damaged), resize=[8, 8], backend=backend).shape
    except BadInput as error:
        refused = error.code
    assert refused in ("bad_image", "image_too_large") if refused else shape == (3, 8, 8)
