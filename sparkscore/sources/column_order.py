"""Find the order of the columns in JSON and Parquet files, for models that use columns by position. Runs on the driver.

Spark sorts the fields of JSON records by name and merges the schemas of Parquet files, so the column order of a
DataFrame may not match any file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, Final

from sparkscore.plan import InputFile
from sparkscore.survey.each_file import read_each
from sparkscore.survey.text_bytes import open_bytes

Names = tuple[str, ...]

# The first 16 KiB of a file are read, then up to 1 MiB, then up to 16 MiB, until the first record is complete.
_PREFIXES: Final = (1 << 14, 1 << 20, 1 << 24)


def order_of_json(
    files: Sequence[InputFile], options: Mapping[str, str], columns: Iterable[str]
) -> tuple[list[str], str]:
    """Return the column names in the order of the first file's first record, and a reason to doubt that order.

    Columns missing from this record come last, in Spark's order. If the record cannot be read, all columns are in
    Spark's order.

    The order is in doubt in any of these cases:

    - The first record of a file cannot be read.
    - The first record of another file has the columns in a different order.
    - The first record of the first file lacks a column.

    Args:
        files: the JSON files, at least one.
        options: options for Spark's reader.
        columns: the column names, in Spark's order.

    Returns:
        the column names, and the reason for doubt as part of a sentence (an empty string if there is no doubt).
    """
    encoding = options.get("encoding", options.get("charset"))
    firsts = list(read_each(lambda path: _names_of_first_record(path, encoding), [file.path for file in files]))
    present = list(columns)
    if firsts[0] is None:
        return present, f"the first record of '{files[0].path}' cannot be read to find their order"
    leading = [name for name in firsts[0] if name in set(present)]
    rest = [name for name in present if name not in set(leading)]
    for file, found in zip(files, firsts, strict=True):
        if found is None:
            return leading + rest, f"the first record of '{file.path}' cannot be read to find their order"
        if not _agree(leading, found):
            return leading + rest, _different_columns(files[0], file)
    doubt = f"the first record of '{files[0].path}' lacks {_some(rest)}" if rest else ""
    return leading + rest, doubt


def doubt_of_parquet(files: Sequence[InputFile], found: Sequence[Names | None]) -> str:
    """Return a phrase that names two Parquet files with different columns or a different column order.

    The phrase is an empty string if all files have the same columns in the same order.

    Args:
        files: the Parquet files.
        found: the column names of each file, or None for a file whose footer cannot be read.
    """
    other = next((file for file, order in zip(files, found, strict=True) if order != found[0]), None)
    return "" if other is None else _different_columns(files[0], other)


def _some(found: Sequence[str]) -> str:
    """Return a phrase with the first of the given names and the number of the others, such as ``'a' and 2 more``."""
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"'{found[0]}'{more}"


def _different_columns(first: InputFile, other: InputFile) -> str:
    return f"the files '{first.path}' and '{other.path}' do not have the same columns in the same order"


def _agree(order: Sequence[str], other: Names) -> bool:
    """Return whether the names that two records share are in the same order in both."""
    shared = set(order) & set(other)
    return [name for name in order if name in shared] == [name for name in other if name in shared]


def _names_of_first_record(path: str, encoding: str | None) -> Names | None:
    """Return the field names of a JSON file's first record, or None if the record cannot be read."""
    try:
        with open_bytes(path) as file:
            return _names_in(file, encoding)
    except (OSError, EOFError, LookupError):
        return None


def _names_in(file: IO[bytes], encoding: str | None) -> Names | None:
    """Return the field names of the JSON object at the start of an open file, or None if there is no such object.

    The object may also be the first element of an array. It must end within the first 16 MiB.
    """
    data = b""
    for size in _PREFIXES:
        data += file.read(size - len(data))
        text = data.decode(encoding or json.detect_encoding(data), errors="ignore").lstrip("\ufeff \t\r\n[")
        try:
            pairs, _ = _DECODER.raw_decode(text)
        except ValueError:
            if len(data) < size:
                return None
            continue
        return tuple(dict.fromkeys(name for name, _ in pairs)) if isinstance(pairs, _Pairs) else None
    return None


class _Pairs(list[tuple[str, Any]]):
    """The name-value pairs of a JSON object, in file order."""


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_Pairs)
