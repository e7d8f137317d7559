"""Read the first record of a CSV file as Spark's parser does. Runs on the driver and the workers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import chain

from sparkscore.survey.csv_bytes import LINE_ENDS, Dialect, tokens_of
from sparkscore.survey.text_bytes import WrongBytesError, decoded_blocks


def first_record(path: str, dialect: Dialect) -> tuple[str, ...] | None:
    """Return the values of a CSV file's first record.

    The result is None if the file has no record, or if it cannot be read or decoded.
    """
    try:
        tokens = _tokens(path, dialect)
        first = next(tokens, None)
        fields = () if first is None else tuple(_fields(chain((first,), tokens), dialect))
    except (WrongBytesError, OSError, EOFError, zlib.error):
        return None
    return fields or None


def _tokens(path: str, dialect: Dialect) -> Iterator[str]:
    """Yield the tokens of a CSV file, skipping comments and empty lines before its first record."""
    expression, text, is_begun, is_comment = tokens_of(dialect), "", False, False
    for block in decoded_blocks(path, dialect.encoding):
        text += block
        offset = 0
        for match in expression.finditer(text):
            # The last token may continue in the next block.
            if block and match.end() == len(text):
                break
            offset = match.end()
            is_end = match[0] in LINE_ENDS
            is_comment = not is_end and (is_comment or (not is_begun and dialect.is_comment(match[0])))
            if is_begun or not (is_end or is_comment):
                is_begun = True
                yield match[0]
        text = text[offset:]


def _fields(tokens: Iterator[str], dialect: Dialect) -> Iterator[str]:
    for token in tokens:
        if token in LINE_ENDS:
            yield ""
            return
        value, end = _quoted(tokens, dialect) if token == dialect.quote else _plain(token, tokens, dialect)
        yield value
        if end != dialect.sep:
            return
    yield ""


def _quoted(tokens: Iterator[str], dialect: Dialect) -> tuple[str, str]:
    """Read the rest of a quoted value after its opening quote, and return the value and the token that ends it.

    The token is a separator, a line ending, or an empty string at the end of the file. Text between the closing quote
    and this token is ignored.
    """
    value = ""
    for token in tokens:
        if token == dialect.quote:
            following = next(tokens, "")
            if not following == dialect.quote == dialect.escape:
                return value, next((end for end in chain((following,), tokens) if _is_end(end, dialect)), "")
            value += token
        elif token == dialect.escape:
            # The parser drops an escape character before a quote or another escape character, and keeps it elsewhere.
            following = next(tokens, "")
            value += following if following in {dialect.quote, dialect.escape} else token + following
        else:
            value += token
    return value, ""


def _plain(token: str, tokens: Iterator[str], dialect: Dialect) -> tuple[str, str]:
    value = ""
    while token and not _is_end(token, dialect):
        if token == dialect.quote and dialect.skips_leading and value.isspace():
            return _quoted(tokens, dialect)
        value, token = value + token, next(tokens, "")
    return _trimmed(value, dialect), token


def _is_end(token: str, dialect: Dialect) -> bool:
    return token == dialect.sep or token in LINE_ENDS


def _trimmed(value: str, dialect: Dialect) -> str:
    value = value.lstrip(" \t") if dialect.skips_leading else value
    return value.rstrip(" \t") if dialect.skips_trailing else value
