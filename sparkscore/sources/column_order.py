"""Find the order of the columns in JSON and Parquet files, for models that use columns by position (driver).

Spark sorts the fields of JSON records by name, and merges the schemas of Parquet files. The columns of a frame may
therefore have an order that no file has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, Final

from sparkscore.plan import InputFile
from sparkscore.sources.reading import read_each
from sparkscore.survey.text_bytes import open_bytes

Names = tuple[str, ...]

# The first 16 KiB of a file are read, then 1 MiB, then 16 MiB, until they contain the whole first record.
_PREFIXES: Final = (1 << 14, 1 << 20, 1 << 24)


def order_of_json(
    files: Sequence[InputFile], options: Mapping[str, str], columns: Iterable[str]
) -> tuple[list[str], str]:
    """Return the column names in the order of the first record of the first file, and a reason to doubt it.

    The first record of each file is read. The order may be wrong if a first record cannot be read or has the columns in
    a different order, or if the first file's record lacks a column. Columns that the first file's record lacks come
    last, in Spark's order. If that record cannot be read, all columns are in Spark's order.

    Args:
        files: the JSON files, at least one.
        options: options for Spark's reader.
        columns: the column names, in Spark's order.

    Returns:
        the column names, and the reason for the doubt as part of a sentence (an empty string if there is no doubt).
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

    The phrase is an empty string if all elements of `found` are equal.

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
    """Return whether the names that two records have in common are in the same order in both records."""
    shared = set(order) & set(other)
    return [name for name in order if name in shared] == [name for name in other if name in shared]


def _names_of_first_record(path: str, encoding: str | None) -> Names | None:
    """Return the field names of the first record of a JSON file, or None if the record cannot be read."""
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
    """The fields of a JSON object as pairs of name and value, in the order of the file."""


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_Pairs)
