"""Read the first record of a CSV file, as its parser would, and look at many files at a time (driver and worker)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from sparkscore.survey.csv_bytes import LINE_ENDS, Dialect, FileFault, find_fault, tokens_of
from sparkscore.survey.text_bytes import WrongBytesError, decoded_blocks


@dataclass(frozen=True)
class Looked:
    """What was found in some files.

    Attributes:
        fault: the first file with a fault, and the fault.
        headers: each header that is there, with the first file that has it.
    """

    fault: tuple[str, FileFault] | None
    headers: dict[tuple[str, ...], str]


def look_at_files(paths: Iterable[str], dialect: Dialect) -> Looked:
    """Look for faults, and for the first records, until there is a fault."""
    headers: dict[tuple[str, ...], str] = {}
    for path in sorted(paths):
        if fault := find_fault(path, dialect):
            return Looked((path, fault), headers)
        if (header := first_record(path, dialect)) is not None:
            headers.setdefault(header, path)
    return Looked(None, headers)


def look_as_text(share: tuple[tuple[str, ...], Dialect]) -> str:
    """Look at files and write what was found as a text, which travels to the driver."""
    looked = look_at_files(*share)
    fault = None if looked.fault is None else [looked.fault[0], looked.fault[1].kind, looked.fault[1].told]
    return json.dumps({"fault": fault, "headers": list(looked.headers.items())})


def read_looked(text: str) -> Looked:
    """Read what `look_as_text` wrote."""
    told = json.loads(text)
    fault = told["fault"] and (told["fault"][0], FileFault(told["fault"][1], told["fault"][2]))
    return Looked(fault, {tuple(header): path for header, path in told["headers"]})


def joined(parts: Iterable[Looked]) -> Looked:
    """Join what was found in several parts of the files; the first path counts."""
    faults, headers = [], dict[tuple[str, ...], str]()
    for part in parts:
        faults += [part.fault] if part.fault else []
        for header, path in part.headers.items():
            headers[header] = min(path, headers.get(header, path))
    return Looked(min(faults, key=lambda fault: fault[0], default=None), headers)


def first_record(path: str, dialect: Dialect) -> tuple[str, ...] | None:
    """Give the values of the first record; None where there is none, or the file cannot be read."""
    try:
        tokens = _tokens(path, dialect)
        first = next(tokens, None)
        fields = () if first is None else tuple(_fields(chain((first,), tokens), dialect))
    except (WrongBytesError, OSError, EOFError, zlib.error):
        return None
    return fields or None


def _tokens(path: str, dialect: Dialect) -> Iterator[str]:
    """Give the signs of the file, without the comments and empty lines before its first record."""
    expression, text, is_begun, is_comment = tokens_of(dialect), "", False, False
    for block in decoded_blocks(path, dialect.encoding):
        text += block
        place = 0
        for match in expression.finditer(text):
            # The last one may go on in the next block.
            if block and match.end() == len(text):
                break
            place = match.end()
            is_end = match[0] in LINE_ENDS
            is_comment = not is_end and (is_comment or (not is_begun and dialect.is_comment(match[0])))
            if is_begun or not (is_end or is_comment):
                is_begun = True
                yield match[0]
        text = text[place:]


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
    """Give the value behind an opening quote, and what ends it."""
    value = ""
    for token in tokens:
        if token == dialect.quote:
            following = next(tokens, "")
            if not following == dialect.quote == dialect.escape:
                return value, next((end for end in chain((following,), tokens) if _is_end(end, dialect)), "")
            value += token
        elif token == dialect.escape:
            # A parser drops the escape before a quote or itself, and keeps it before anything else.
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
