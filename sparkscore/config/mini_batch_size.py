"""Parse the sizes of mini-batches, in items or bytes, and of files, in bytes. Runs on the driver."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

ItemType: TypeAlias = Literal["files", "rows"]

PATTERN: Final = r"^[1-9][0-9]{0,17} ?([Bb]|[Kk][Bb]|[Mm][Bb]|[Gg][Bb])?$"
#: The maximum number of rows in a Spark or Arrow record batch, and the largest integer in Azure's schema.
MAX_INT: Final = 2**31 - 1
EXPECTED: Final = (
    "a number of items (10) or of bytes with a unit B, KB, MB or GB ('512KB', '1MB'), up to 2147483647 items or 1024GB"
)
#: Sizes of files, always with a unit.
FILE_PATTERN: Final = r"^[1-9][0-9]{0,17} ?([Bb]|[Kk][Bb]|[Mm][Bb]|[Gg][Bb])$"
EXPECTED_OF_FILES: Final = "a number of bytes with a unit B, KB, MB or GB ('128MB'), from 64KB to 1024GB"
_MAX_BYTES: Final = 1024**4
# A file needs a few KB even for a single row.
_LEAST_FILE_BYTES: Final = 64 * 1024
_BYTES_PER_UNIT: Final = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}


@dataclass(frozen=True)
class MiniBatchSize:
    """The size of a mini-batch, either in items or in bytes.

    Attributes:
        items: number of files or rows, or None.
        size_bytes: number of bytes, or None.
        is_text: whether the number of items was given as a string, such as ``'1000'``. For table inputs, Azure treats
            such a number as bytes.
    """

    items: int | None = None
    size_bytes: int | None = None
    is_text: bool = field(default=False, compare=False)

    def of_table(self) -> MiniBatchSize:
        """Return this size as Azure interprets it for tables: a quoted number, such as ``'1000'``, means bytes."""
        return MiniBatchSize(size_bytes=self.items) if self.is_text else self

    def __str__(self) -> str:
        """Return the size as it is written in a deployment file, such as ``100`` or ``1024B``."""
        return str(self.items) if self.size_bytes is None else f"{self.size_bytes}B"


def parse_mini_batch_size(value: object) -> MiniBatchSize:
    """Parse the size of a mini-batch. A value with a unit is in bytes; any other value is a number of items.

    >>> parse_mini_batch_size(10).items
    10
    >>> parse_mini_batch_size("1KB").size_bytes
    1024

    Raises:
        ValueError: the value is not a size, or is too large. The message lists the allowed values.
    """
    if isinstance(value, MiniBatchSize):
        return value
    match = re.match(PATTERN, str(value).strip())  # booleans, fractions and lists do not match
    if match is None:
        raise ValueError(EXPECTED)
    unit = match[1]
    number = int(match[0].removesuffix(unit or ""))
    size_bytes = None if unit is None else number * _BYTES_PER_UNIT[unit.upper()]
    if number > MAX_INT if size_bytes is None else size_bytes > _MAX_BYTES:
        raise ValueError(EXPECTED)
    if size_bytes is not None:
        return MiniBatchSize(size_bytes=size_bytes)
    return MiniBatchSize(items=number, is_text=isinstance(value, str))


def parse_file_size(value: object) -> int:
    """Parse the size of a file, which must have a unit, and return the number of bytes.

    >>> parse_file_size("128MB")
    134217728

    Raises:
        ValueError: the value has no unit, is not a size, or is too small or too large. The message lists the allowed
            values.
    """
    match = re.match(FILE_PATTERN, str(value).strip())
    size = 0 if match is None else int(match[0].removesuffix(match[1])) * _BYTES_PER_UNIT[match[1].upper()]
    if not _LEAST_FILE_BYTES <= size <= _MAX_BYTES:
        raise ValueError(EXPECTED_OF_FILES)
    return size


def default_mini_batch_size(item_type: ItemType, *, is_azure: bool) -> MiniBatchSize:
    """Return the mini-batch size for deployments that do not set one.

    Args:
        item_type: whether the items are files or rows.
        is_azure: whether the deployment has Azure's ``$schema``, so that Azure's default applies.
    """
    if item_type == "files":
        return MiniBatchSize(items=10)
    return MiniBatchSize(size_bytes=_BYTES_PER_UNIT["MB"]) if is_azure else MiniBatchSize(items=10_000)
