"""Image files as a model's tensor takes them."""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sparkscore.errors import MissingDependencyError
from sparkscore.outcome import Failure
from sparkscore.scorers.images import ENDINGS, feed_images
from sparkscore.signature.model_signature import Feed

UINT8 = pa.uint8()
HEIGHT, WIDTH = 2, 5
COLORS = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3) * 8
GRAY = COLORS[:, :, 0].copy()
CLEAR = np.concatenate([COLORS, 255 - COLORS[:, :, :1]], axis=2)

Save = Callable[..., str]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a picture, in the file type of its ending."""

    def write(content: npt.NDArray[Any] | Image.Image, name: str = "a.png", **options: Any) -> str:
        picture = content if isinstance(content, Image.Image) else Image.fromarray(content)
        picture.save(tmp_path / name, **options)
        return str(tmp_path / name)

    return write


def feed(*shape: int, type_: pa.DataType | None = UINT8) -> Feed:
    return Feed("x", (), type_, (-1, *shape))


def decoded(files: list[str], one: Feed) -> npt.NDArray[Any]:
    """Decode files of which none fails."""
    tensor, failures = feed_images(files, one)
    assert failures == ()
    assert isinstance(tensor, np.ndarray)
    return tensor


def failure_of(file: str, one: Feed) -> Failure:
    """Give the failure of a file that is alone."""
    contents, failures = feed_images([file], one)
    assert len(contents) == 0
    (found,) = failures
    assert found.position == 0
    assert file in found.failure.message
    assert found.failure.next_step.endswith(".")
    return found.failure


# -------------------------------------------------------------------------------------------------------- file types


def test_every_file_type_has_a_test() -> None:
    assert set(ENDINGS) == {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"}


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if not ending.startswith(".jp")])
def test_file_types_without_loss_give_the_very_pixels(ending: str, save: Save) -> None:
    np.testing.assert_array_equal(decoded([save(COLORS, f"a{ending}")], feed(HEIGHT, WIDTH, 3))[0], COLORS)
    np.testing.assert_array_equal(decoded([save(GRAY, f"g{ending}")], feed(HEIGHT, WIDTH))[0], GRAY)


@pytest.mark.parametrize("ending", [".jpg", ".jpeg"])
def test_a_jpeg_gives_what_its_decoder_gives(ending: str, save: Save) -> None:
    smooth = np.linspace(0, 255, 40 * 30 * 3).reshape(40, 30, 3).astype(np.uint8)
    file = save(smooth, f"a{ending}", quality=80)

    with Image.open(file) as image:
        np.testing.assert_array_equal(decoded([file], feed(40, 30, 3))[0], np.asarray(image))


def test_the_content_counts_and_not_the_name(save: Save, tmp_path: Path) -> None:
    file = Path(save(COLORS)).rename(tmp_path / "a.JPG")

    np.testing.assert_array_equal(decoded([str(file)], feed(HEIGHT, WIDTH, 3))[0], COLORS)


@given(st.integers(1, 6), st.integers(5, 7), st.sampled_from([1, 3, 4]), st.integers(0, 2**32 - 1))
def test_pixels_survive_in_either_order(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, channels: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    file = tmp_path_factory.getbasetemp() / "pixels.png"
    Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(file)

    np.testing.assert_array_equal(decoded([str(file)], feed(height, width, channels)), pixels[np.newaxis])
    np.testing.assert_array_equal(decoded([str(file)], feed(-1, -1, channels)), pixels[np.newaxis])
    np.testing.assert_array_equal(decoded([str(file)], feed(channels, -1, -1)), pixels.transpose(2, 0, 1)[np.newaxis])
    np.testing.assert_array_equal(decoded([str(file)], feed(-1))[0], pixels.reshape(-1))


# ---------------------------------------------------------------------------------------------------------- channels


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("stored", [GRAY, COLORS, CLEAR])
def test_a_picture_gets_the_channels_of_the_tensor(stored: npt.NDArray[Any], channels: int, save: Save) -> None:
    file = save(stored)
    with Image.open(file) as image:
        plain = np.asarray(image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])).reshape(HEIGHT, WIDTH, channels)

    last, first = (decoded([file], feed(*shape)) for shape in ((HEIGHT, WIDTH, channels), (channels, HEIGHT, WIDTH)))

    np.testing.assert_array_equal(last, [plain])
    np.testing.assert_array_equal(first, [plain.transpose(2, 0, 1)])
    assert last.flags.c_contiguous
    assert first.flags.c_contiguous


def test_channels_stand_last_where_both_ends_could_be_channels(save: Save) -> None:
    square = np.arange(9, dtype=np.uint8).reshape(3, 1, 3)

    np.testing.assert_array_equal(decoded([save(square)], feed(3, 1, 3)), [square])


def test_a_tensor_without_channels_is_gray(save: Save) -> None:
    with Image.open(save(COLORS)) as image:
        gray = np.asarray(image.convert("L"))

    np.testing.assert_array_equal(decoded([save(COLORS)], feed(HEIGHT, WIDTH)), [gray])


@pytest.mark.parametrize("mode", ["P", "1", "LA", "CMYK"])
def test_other_kinds_of_pictures_are_converted(mode: str, save: Save) -> None:
    picture = Image.fromarray(COLORS).convert(mode)

    found = decoded([save(picture, "a.tif")], feed(HEIGHT, WIDTH, 3))

    np.testing.assert_array_equal(found[0], np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize(("stored", "width"), [(GRAY, 10), (COLORS, 30), (CLEAR, 40)])
def test_a_row_of_pixels_has_the_channels_one_behind_another(stored: npt.NDArray[Any], width: int, save: Save) -> None:
    np.testing.assert_array_equal(decoded([save(stored)], feed(width)), [stored.reshape(-1)])
    np.testing.assert_array_equal(decoded([save(stored)], feed(-1)), [stored.reshape(-1)])


@pytest.mark.parametrize("mode", ["P", "1", "CMYK"])
def test_a_row_of_pixels_holds_colors_and_no_codes(mode: str, save: Save) -> None:
    picture = Image.fromarray(COLORS).convert(mode)

    found = decoded([save(picture, "a.tif")], feed(-1))

    np.testing.assert_array_equal(found[0], np.asarray(picture.convert("RGB")).reshape(-1))


@pytest.mark.parametrize("type_", [UINT8, pa.int16(), pa.int64(), pa.float16(), pa.float32(), pa.float64()])
def test_values_are_the_pictures_own_in_the_tensors_type(type_: pa.DataType, save: Save) -> None:
    found = decoded([save(COLORS)], feed(HEIGHT, WIDTH, 3, type_=type_))

    assert found.dtype == type_.to_pandas_dtype()
    np.testing.assert_array_equal(found[0], COLORS)


def test_only_the_first_frame_counts(save: Save) -> None:
    others = [Image.fromarray(255 - GRAY)]

    for name in ("a.gif", "a.tif"):
        file = save(GRAY, name, save_all=True, append_images=others)
        np.testing.assert_array_equal(decoded([file], feed(HEIGHT, WIDTH)), [GRAY])


def test_a_picture_is_not_turned(save: Save) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: by a quarter

    np.testing.assert_array_equal(decoded([save(COLORS, exif=exif)], feed(HEIGHT, WIDTH, 3)), [COLORS])


# -------------------------------------------------------------------------------------------------------------- sizes


def test_files_stand_in_their_order(save: Save) -> None:
    files = [save(COLORS + number, f"{number}.png") for number in (3, 1, 2)]

    np.testing.assert_array_equal(decoded(files, feed(-1, -1, 3)), np.stack([COLORS + number for number in (3, 1, 2)]))


@pytest.mark.parametrize("count", [1, 2])
def test_an_array_of_arrays_holds_pictures_as_they_are(count: int, save: Save) -> None:
    files = [save(COLORS, "a.png"), save(COLORS, "b.png"), save(GRAY[:, :1], "c.png")]

    for some in (files[:count], files):
        found = decoded(some, Feed("x", (), None, (-1,)))
        assert found.dtype == object
        assert found.shape == (len(some),)
        assert {picture.dtype for picture in found} == {np.dtype(np.uint8)}
        np.testing.assert_array_equal(found[0], COLORS)
        np.testing.assert_array_equal(found[-1], COLORS if len(some) == count else GRAY[:, :1])


@pytest.mark.parametrize(
    ("shape", "got"),
    [
        ((4, 5, 3), [2, 5, 3]),
        ((2, 6, 3), [2, 5, 3]),
        ((-1, 6, 3), [2, 5, 3]),
        ((3, 5, 7), [3, 2, 5]),
        ((2, 5, 2), [2, 5, 3]),
        ((5, 2), [2, 5]),
        ((29,), [30]),
        ((1, 2, 5, 3), [2, 5, 3]),
    ],
)
def test_a_picture_of_another_size_fails(shape: tuple[int, ...], got: list[int], save: Save) -> None:
    file = save(COLORS)

    failure = failure_of(file, feed(*shape))

    assert (failure.code, failure.error_class) == ("IMAGE_SIZE", "SignatureMismatchError")
    assert failure.message == f"image '{file}': got shape {got}, expected {list(shape)}"
    assert failure.next_step == "Resize it beforehand, or leave it out."


def test_where_the_model_leaves_sizes_free_the_first_picture_sets_them(save: Save, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"broken")
    files = [str(tmp_path / "broken.png"), save(COLORS, "a.png"), save(COLORS[:, :2], "b.png"), save(COLORS, "c.png")]

    for shape in ((-1, -1, 3), (3, -1, -1), (-1,)):
        tensor, failures = feed_images(files, feed(*shape))
        assert len(tensor) == 2
        assert [(each.position, each.failure.code) for each in failures] == [(0, "IMAGE_UNREADABLE"), (2, "IMAGE_SIZE")]
        assert f"expected {list(np.shape(tensor)[1:])}" in failures[1].failure.message


# ----------------------------------------------------------------------------------------------------------- failures


def test_files_that_cannot_be_read_fail_alone(save: Save, tmp_path: Path) -> None:
    good = save(COLORS, "good.png")
    content = Path(save(np.zeros((90, 90, 3), np.uint8), "large.bmp")).read_bytes()
    (tmp_path / "cut.bmp").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.png").mkdir()
    bad = [str(tmp_path / name) for name in ("cut.bmp", "text.png", "empty.jpg", "folder.png", "missing.png")]

    tensor, failures = feed_images([bad[0], good, *bad[1:], good], feed(-1, -1, 3))

    np.testing.assert_array_equal(tensor, [COLORS, COLORS])
    assert [each.position for each in failures] == [0, 2, 3, 4, 5]
    for file, each in zip(bad, failures, strict=True):
        assert each.failure.code == "IMAGE_UNREADABLE"
        assert each.failure.message.startswith(f"file '{file}' cannot be read as an image (")
        assert each.failure.next_step == "Replace the file or leave it out."


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending != ".gif"])
def test_a_file_that_was_cut_is_never_half_a_picture(ending: str, save: Save) -> None:
    file = Path(save(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8), f"a{ending}"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])

    assert failure_of(str(file), feed(64, 64, 3)).code == "IMAGE_UNREADABLE"


def test_nothing_readable_gives_an_empty_tensor() -> None:
    tensor, failures = feed_images(["a", "b"], feed(-1, -1, 3, type_=pa.float32()))

    assert isinstance(tensor, np.ndarray)
    assert (len(tensor), tensor.dtype) == (0, np.float32)
    assert [each.position for each in failures] == [0, 1]


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1), (2, 2, 3), (3, -1, -1)])
@pytest.mark.parametrize(
    "deep", [np.array([[0, 300], [65535, 256]], np.uint16), np.array([[0.5, 300], [-1, 0]], np.float32)]
)
def test_more_than_eight_bits_in_a_channel_fail(deep: npt.NDArray[Any], shape: tuple[int, ...], save: Save) -> None:
    failure = failure_of(save(deep, "a.tif"), feed(*shape))

    assert failure.code == "IMAGE_DEPTH"
    assert failure.next_step.startswith("Convert it beforehand")


@pytest.mark.parametrize("shape", [(-1,), (2, 2, 3), (3, -1, -1), (2, 2, 1), (2, 2), (12,), (2, 2, 4)])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_more_than_eight_bits_in_each_of_several_channels_fail(
    channels: int, shape: tuple[int, ...], tmp_path: Path
) -> None:
    file = tmp_path / "deep.png"
    file.write_bytes(_deep_png(np.full((2, 2, channels), 300, ">u2")))

    failure = failure_of(str(file), feed(*shape))

    assert failure.code == "IMAGE_DEPTH"
    assert "16 bits" in failure.message


def test_a_deep_tiff_with_colors_fails(tmp_path: Path) -> None:
    file = tmp_path / "deep.tif"
    file.write_bytes(_deep_tiff(np.full((2, 2, 3), 300, "<u2")))

    assert failure_of(str(file), feed(2, 2, 3)).code == "IMAGE_DEPTH"


@pytest.mark.parametrize("is_compressed", [False, True])
def test_gray_sgi_images_fail_if_they_are_deep(tmp_path: Path, *, is_compressed: bool) -> None:
    file = tmp_path / "a.sgi"
    pixels = np.array([[1, 30], [255, 0]], np.uint8)
    file.write_bytes(_sgi(pixels, is_compressed=is_compressed))
    deep = tmp_path / "deep.sgi"
    deep.write_bytes(_sgi(pixels.astype(">u2") * 300, is_compressed=is_compressed))

    assert decoded([str(file)], feed(2, 2)).tolist() == [pixels.tolist()]
    assert failure_of(str(deep), feed(2, 2)).code == "IMAGE_DEPTH"


def _sgi(pixels: npt.NDArray[Any], *, is_compressed: bool) -> bytes:
    """Write a gray image as SGI. Its rows are written from the bottom up."""
    height, width = pixels.shape
    depth = pixels.dtype.itemsize
    head = struct.pack(">hbbHHHHll", 474, is_compressed, depth, 2, width, height, 1, 0, 255).ljust(512, b"\0")
    if not is_compressed:
        return head + pixels[::-1].tobytes()
    rows = [(0x80 | width).to_bytes(depth, "big") + row.tobytes() + bytes(depth) for row in pixels[::-1]]
    first = len(head) + 8 * height
    starts = [first + len(rows[0]) * number for number in range(height)]
    return head + struct.pack(f">{2 * height}I", *starts, *map(len, rows)) + b"".join(rows)


def test_deep_colors_of_other_formats_fail_whatever_the_files_are_called(save: Save, tmp_path: Path) -> None:
    file = tmp_path / "deep.png"
    file.write_bytes(b"P6 2 2 65535\n" + np.full((2, 2, 3), 300, ">u2").tobytes())
    plain = tmp_path / "plain.png"
    plain.write_bytes(b"P6 2 2 255\n" + bytes(range(12)))
    Image.fromarray(COLORS).save(tmp_path / "a.jp2")
    (tmp_path / "a.jp2").rename(tmp_path / "a.png")

    (tmp_path / "text.png").write_bytes(b"P3\n2 2\n65535\n" + b"300 " * 12)

    assert failure_of(str(file), feed(2, 2, 3)).code == "IMAGE_DEPTH"
    assert failure_of(str(tmp_path / "text.png"), feed(2, 2, 3)).code == "IMAGE_DEPTH"
    assert failure_of(str(tmp_path / "a.png"), feed(HEIGHT, WIDTH, 3)).code == "IMAGE_DEPTH"
    assert decoded([str(plain)], feed(2, 2, 3)).ravel().tolist() == list(range(12))
    assert decoded([save(COLORS, "b.webp", lossless=True)], feed(HEIGHT, WIDTH, 3)).tolist() == [COLORS.tolist()]


def test_colors_of_sixteen_bits_together_are_read(tmp_path: Path) -> None:
    """A BMP of five or six bits a channel."""
    pixels = np.zeros((2, 2), "<u2").tobytes()
    head = struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54)
    file = tmp_path / "a.bmp"
    file.write_bytes(head + struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 0, len(pixels), 0, 0, 0, 0) + pixels)

    assert decoded([str(file)], feed(2, 2, 3)).tolist() == np.zeros((1, 2, 2, 3)).tolist()


def _deep_png(pixels: npt.NDArray[Any]) -> bytes:
    """Write what Pillow itself does not write: two bytes for each channel."""
    height, width, channels = pixels.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _deep_tiff(pixels: npt.NDArray[Any]) -> bytes:
    height, width, channels = pixels.shape
    content = pixels.tobytes()
    fields = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, 8 + len(content)), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 8), (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, len(content)),
    ]  # fmt: skip
    bits = struct.pack(f"<{channels}H", *[16] * channels)
    entries = b"".join(struct.pack("<HHII", *field) for field in fields)
    table = struct.pack("<H", len(fields)) + entries + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, 8 + len(content) + len(bits)) + content + bits + table


@pytest.mark.parametrize(("pixels", "readable"), [(100, 2), (60, 1), (40, 1)])
def test_a_decompression_bomb_fails_alone(
    pixels: int, readable: int, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [save(np.zeros((10, 10), np.uint8), "bomb.png"), save(GRAY, "a.png")]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)

    tensor, failures = feed_images(files, Feed("x", (), None, (-1,)))

    assert len(tensor) == readable
    assert [(each.position, each.failure.code) for each in failures] == [(0, "IMAGE_UNREADABLE")] * (2 - readable)
    assert all("DecompressionBomb" in each.failure.message for each in failures)


def test_without_pillow_the_package_is_named(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save(COLORS)
    monkeypatch.setitem(sys.modules, "PIL", None)

    with pytest.raises(MissingDependencyError) as caught:
        feed_images([file], feed(-1, -1, 3))

    assert caught.value.code == "MISSING_PACKAGE"
    assert "sparkscore[images]" in caught.value.next_step


# -------------------------------------------------------------------------------------------------------------- bytes


def test_a_binary_column_gets_the_files_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [b"", b"\x00\xff no picture", bytes(range(256)) * 100]
    for position, content in enumerate(contents):
        (tmp_path / str(position)).write_bytes(content)
    monkeypatch.setitem(sys.modules, "PIL", None)

    found, failures = feed_images([str(tmp_path / str(number)) for number in (2, 0, 1)], Feed("x", (), pa.binary()))

    assert failures == ()
    assert isinstance(found, pa.Array)
    assert found.type == pa.binary()
    assert found.to_pylist() == [contents[2], contents[0], contents[1]]


def test_a_file_without_bytes_to_read_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")

    found, failures = feed_images([str(tmp_path / name) for name in ("b", "a", ".")], Feed(None, (), pa.binary()))

    assert isinstance(found, pa.Array)
    assert found.to_pylist() == [b"a"]
    assert [(each.position, each.failure.code) for each in failures] == [
        (0, "IMAGE_UNREADABLE"),
        (2, "IMAGE_UNREADABLE"),
    ]


def test_no_file_gives_nothing() -> None:
    assert len(feed_images([], Feed("x", (), pa.binary()))[0]) == 0
    assert len(feed_images([], feed(-1, -1, 3))[0]) == 0


@pytest.mark.parametrize("shape", [(-1,), (-1, -1)])
def test_a_value_that_the_tensor_cannot_hold_is_that_files_failure(tmp_path: Path, shape: tuple[int, ...]) -> None:
    Image.fromarray(np.array([[0, 300], [65535, 256]], dtype=np.uint16)).save(tmp_path / "deep.png")

    _, (failure,) = feed_images([str(tmp_path / "deep.png")], Feed("x", (), pa.uint8(), shape))

    assert failure.failure.code == "IMAGE_DEPTH"
