"""Parse CSV files with PyArrow, which is faster than Spark's parser, if both are certain to find the same values.

Runs on the driver and the workers.

PyArrow and Spark find the same values in a file if `can_cut` returns True for its syntax and the file meets all of
these conditions:

- Quotes only enclose values, or are doubled inside quoted values.
- All line endings are alike.
- There are no comments, and no escape characters other than the quote.

All other files must be parsed by Spark.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from sparkscore.survey.csv_bytes import Dialect

# PyArrow gets pieces of about this many bytes, or more if a record is longer.
_PIECE_BYTES: Final = 4 << 20
# Univocity, Spark's parser, rejects rows with more columns than this. Source: Spark's 'maxColumns' option.
_MOST_COLUMNS: Final = 20_480
# Files with a record of more bytes than this are left to Spark. Such a record is probably the rest of a file after a
# quote that is never closed.
_LONGEST_RECORD: Final = 32 << 20
# A UTF-8 byte order mark that was decoded as ISO-8859-1. Hadoop drops it if every line ending ends a row.
_MARK_IN_LATIN: Final = codecs.BOM_UTF8.decode("latin-1")


class NotCutError(Exception):
    """Raised if PyArrow cannot parse a file, or might parse some values differently than Spark does."""


def can_cut(dialect: Dialect, width: int) -> bool:
    """Return whether `cut` is safe for files of this syntax.

    `cut` is safe if it finds the same values as Spark's parser or raises an error. The result applies only to files
    that also pass the quick check of `check_and_read`.

    Args:
        dialect: the syntax.
        width: the number of columns.
    """
    if dialect.line_end or dialect.skips_leading or dialect.skips_trailing:
        return False
    # If every line ending ends a row, Spark ignores lines of only spaces and control characters, even if these are
    # separators.
    ignores_rows = dialect.reads_lines and (width == 1 or dialect.sep <= " ")
    is_usual = dialect.is_plain and dialect.sep not in {dialect.quote, dialect.escape, " "}
    return is_usual and dialect.comment != dialect.quote and not ignores_rows and 0 < width <= _MOST_COLUMNS


def cut(
    blocks: Iterator[str], dialect: Dialect, header: Sequence[str] | None, width: int, null_value: str = ""
) -> Iterator[pa.RecordBatch]:
    """Parse the text of a CSV file, and yield its rows in batches.

    All values are strings. Empty values and values equal to ``null_value`` become NULL. However, if ``null_value`` is
    not empty, an empty value in quotes is an empty string. The columns are named by their positions, from ``0``.

    Args:
        blocks: the text.
        dialect: the syntax of the file, for which `can_cut` returned True.
        header: the values of the first record, which is not yielded; or None if the file has no header.
        width: the number of columns.
        null_value: a string that stands for NULL, or an empty string if there is none.

    Raises:
        NotCutError: a row has the wrong number of values, or Spark might parse some values differently.
    """
    for piece in _pieces(blocks, dialect):
        for batch in _cut_piece(piece, dialect, width, null_value).to_batches():
            if header is None or not batch.num_rows:
                yield batch
                continue
            if [value or "" for value in batch.slice(0, 1).to_pylist()[0].values()] != list(header):
                raise NotCutError
            header = None
            yield batch.slice(1)


def _cut_piece(piece: bytes, dialect: Dialect, width: int, null_value: str) -> pa.Table:
    columns = [str(position) for position in range(width)]
    has_quotes = dialect.quote.encode() in piece
    try:
        table = csv.read_csv(
            pa.BufferReader(piece),
            csv.ReadOptions(use_threads=False, block_size=len(piece) + 1, column_names=columns),
            csv.ParseOptions(delimiter=dialect.sep, quote_char=dialect.quote, newlines_in_values=has_quotes),
            csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=["", null_value],
                strings_can_be_null=True,
                quoted_strings_can_be_null=not null_value,
            ),
        )
    except pa.ArrowInvalid:
        raise NotCutError from None
    if not (null_value and has_quotes):
        return table
    nulls = [pc.if_else(pc.equal(column, null_value), None, column) for column in table.columns]
    return pa.Table.from_arrays(nulls, names=columns)


def _pieces(blocks: Iterator[str], dialect: Dialect) -> Iterator[bytes]:
    """Encode the text of a CSV file in UTF-8, and yield it in pieces that end at the end of a record.

    Raises:
        NotCutError: the text contains a comment character, an escape character other than the quote, a null character
            or a byte order mark. PyArrow may treat these differently than Spark's parser. Also raised if a record is so
            long that it probably contains an opening quote that is never closed.
    """
    special = {"\0", dialect.comment, dialect.escape} - {"", dialect.quote}
    parts: list[bytes] = []
    size, wanted = 0, _PIECE_BYTES
    for block in blocks:
        if any(character in block for character in special) or block.startswith(_MARK_IN_LATIN):
            raise NotCutError
        parts.append(block.encode())
        size += len(parts[-1])
        if size < wanted:
            continue
        text = b"".join(parts)
        end = _last_end(text, dialect.quote)
        if end:
            yield _without_mark(text[:end])
        parts, size = [text[end:]], len(text) - end
        if size > _LONGEST_RECORD:
            raise NotCutError
        # The end of a record that is longer than a piece is not searched for after each block, to save time.
        wanted = max(_PIECE_BYTES, 2 * size)
    if size:
        yield _without_mark(b"".join(parts))


def _without_mark(piece: bytes) -> bytes:
    """Return a piece of text unchanged, after checking that it does not begin with a byte order mark.

    Raises:
        NotCutError: the text begins with a byte order mark, which PyArrow would drop.
    """
    if piece.startswith(codecs.BOM_UTF8):
        raise NotCutError
    return piece


def _last_end(text: bytes, quote: str) -> int:
    """Return the index after the last line ending outside quotes, or 0 if there is none.

    The text must begin outside quotes. Quotes inside values must be doubled.
    """
    line_end = "\n" if b"\n" in text else "\r"
    if quote.encode() not in text:
        return text.rfind(line_end.encode()) + 1
    codes = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero(codes == ord(line_end))
    quotes_before = np.searchsorted(np.flatnonzero(codes == ord(quote)), ends)
    outside = ends[quotes_before % 2 == 0]
    return int(outside[-1]) + 1 if len(outside) else 0
