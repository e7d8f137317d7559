"""Read image files and convert them to the tensor or binary column that a model takes. Runs on the workers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import MissingDependencyError
from sparkscore.outcome import Failure, ItemFailure
from sparkscore.signature.model_signature import Feed

Pixels = npt.NDArray[Any]
ENDINGS: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif")
_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}
_OF_IMAGES: Final = 3
_BYTE: Final = 255
_MAY_BE_DEEP: Final = frozenset({"AVIF", "JPEG2000", "SGI"})
_DEEP: Final = re.compile(r";16[A-Z]")


def feed_images(files: Sequence[str], feed: Feed) -> tuple[Pixels | pa.Array, tuple[ItemFailure, ...]]:
    """Decode image files into one tensor, or return the files' bytes if the model takes a binary column.

    The tensor contains the pixels of the first frame of each image. Nothing is scaled, resized or rotated. The shape of
    the tensor determines the layout of the pixels:

    - Four dimensions: the last dimension contains the channels. If the second dimension has size 1, 3 or 4 and the last
      does not, the second contains the channels. Images are converted to this number of channels if it is 1, 3 or 4.
    - Three dimensions: images are converted to grayscale.
    - Two dimensions: each image becomes one row of values, as in Azure's no-code deployments.
    - One dimension: the tensor is an array of arrays, one for each image. The images may differ in size.
    - More dimensions: all images fail.

    A file fails if it cannot be read. If the model takes a tensor, a file also fails if it is not an image, or if its
    size or depth does not fit the tensor. In a tensor with two or more dimensions, all images must have the same size
    as the first image that does not fail.

    Args:
        files: paths of the images.
        feed: the model's input.

    Returns:
        the tensor or bytes of the files that did not fail, in their order, and a failure for each of the other files.

    Raises:
        MissingDependencyError: images must be decoded, but the ``pillow`` package is not installed.
    """
    contents: list[Any] = []
    failures: list[ItemFailure] = []
    for position, file in enumerate(files):
        found = _read(file) if feed.shape is None else _decode(file, feed, contents[0] if contents else None)
        if isinstance(found, Failure):
            failures.append(ItemFailure(position, found))
        else:
            contents.append(found)
    if feed.shape is None:
        return pa.array(contents, pa.binary()), tuple(failures)
    return _stack(contents, feed), tuple(failures)


def _stack(images: list[Pixels], feed: Feed) -> Pixels:
    if len(feed.shape or ()) == 1:
        apart = np.empty(len(images), dtype=object)
        apart[:] = images
        return apart
    return np.stack(images) if images else np.empty((0,), dtype=_dtype(feed))


def _read(file: str) -> bytes | Failure:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        return _unreadable(file, error)


def _decode(file: str, feed: Feed, first: Pixels | None) -> Pixels | Failure:
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependencyError(
            code=ErrorCode.MISSING_PACKAGE,
            what="files cannot be decoded: the package 'pillow' is not installed on the worker",
            next_step="Install it there: pip install 'sparkscore[images]'.",
        ) from None
    inner = (feed.shape or ())[1:]
    try:
        with warnings.catch_warnings():
            # Pillow only warns about suspiciously large images. Here, the file fails instead.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                if _loses_bits(image):
                    return _too_deep(file, "16 bits in each of several channels", "8, which is all that Pillow reads")
                if image.mode.startswith(("I", "F")) and _channels(inner) is not None:
                    return _too_deep(file, f"more than 8 bits in a channel (mode '{image.mode}')", "8, in each channel")
                pixels = np.asarray(_in_mode(image, inner))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders may raise anything, even SyntaxError
        return _unreadable(file, error)
    wanted = _dtype(feed)
    if wanted.kind in "iu" and not np.can_cast(pixels.dtype, wanted):
        limits = np.iinfo(wanted)
        if pixels.dtype.kind == "f" or (pixels.size and not limits.min <= pixels.min() <= pixels.max() <= limits.max):
            return _too_deep(file, f"pixels of {pixels.dtype}", f"values that {wanted} holds")
    return _arranged(pixels.astype(wanted, casting="unsafe"), inner, file, first)


def _loses_bits(image: Any) -> bool:
    """Return whether Pillow drops, or may drop, bits from the channels of an open image.

    Pillow supports 16 bits per channel only for grayscale images, and not even for all of them. For AVIF, JPEG 2000 and
    SGI images with several channels, the result is always True, because Pillow does not always expose the bit depth of
    the file.

    Source: the raw mode names in ``PIL.PngImagePlugin`` and ``PIL.TiffImagePlugin``. For example, ``RGB;16B`` has 16
    bits per channel, whereas ``BGR;16``, which is used for BMP files, has 16 bits for all three channels together.
    """
    if image.mode.startswith("I"):
        return False
    if image.format in _MAY_BE_DEEP and len(image.getbands()) > 1:
        return True
    return any(_is_deep(str(codec), options) for codec, _, _, options in image.tile)


def _is_deep(codec: str, options: Any) -> bool:
    """Return whether the codec and options that Pillow uses for a file indicate more than 8 bits per channel."""
    if codec in {"ppm", "ppm_plain"}:
        return bool(options[-1] > _BYTE)
    # Source: PIL.SgiImagePlugin; the last option of its codec for compressed files is the number of bytes per channel.
    return codec == "SGI16" or (codec == "sgi_rle" and options[-1] > 1) or _DEEP.search(str(options)) is not None


def _in_mode(image: Any, inner: tuple[int, ...]) -> Any:
    """Convert an image to the number of channels in the tensor's shape.

    If the shape does not specify a number of channels, palette, CMYK, YCbCr and black-and-white images are converted to
    RGB, and other images are returned unchanged.

    Args:
        image: an open Pillow image.
        inner: sizes of the tensor's dimensions after the first.
    """
    channels = _channels(inner)
    if channels is None:
        return image.convert("RGB") if image.mode in {"P", "CMYK", "YCbCr", "1"} else image
    return image.convert(_MODES[channels])


def _channels(inner: tuple[int, ...]) -> int | None:
    if len(inner) == _OF_IMAGES:
        return next((size for size in (inner[-1], inner[0]) if size in _MODES), None)
    return 1 if len(inner) == _OF_IMAGES - 1 else None


def _arranged(pixels: Pixels, inner: tuple[int, ...], file: str, first: Pixels | None) -> Pixels | Failure:
    if len(inner) == _OF_IMAGES:
        pixels = pixels if pixels.ndim == _OF_IMAGES else pixels[:, :, np.newaxis]
        if inner[-1] not in _MODES and inner[0] in _MODES:
            pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    elif len(inner) == 1:
        pixels = pixels.reshape(-1)
    wanted = [size if size >= 0 else None for size in inner]
    fits = not inner or (
        len(wanted) == pixels.ndim
        and all(size in (None, found) for size, found in zip(wanted, pixels.shape, strict=True))
    )
    if not fits or (inner and first is not None and first.shape != pixels.shape):
        expected = list(first.shape) if fits and first is not None else list(inner)
        text = f"image '{file}': got shape {list(pixels.shape)}, expected {expected}"
        return Failure(ErrorCode.IMAGE_SIZE, message=text, next_step="Resize it beforehand, or leave it out.")
    return pixels


def _dtype(feed: Feed) -> np.dtype[Any]:
    return np.dtype(np.uint8) if feed.type is None else np.dtype(feed.type.to_pandas_dtype())


def _too_deep(file: str, found: str, wanted: str) -> Failure:
    text = f"image '{file}': got {found}, expected {wanted}"
    return Failure(ErrorCode.IMAGE_DEPTH, message=text, next_step="Convert it beforehand, or leave it out.")


def _unreadable(file: str, error: BaseException) -> Failure:
    text = f"file '{file}' cannot be read as an image ({type(error).__name__})"
    step = "Replace the file or leave it out."
    return Failure(ErrorCode.IMAGE_UNREADABLE, message=text, next_step=step)
