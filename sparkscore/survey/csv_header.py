"""Check many CSV files for faults, and read their first records (driver and worker)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from sparkscore.survey.csv_bytes import LINE_ENDS, Dialect, FileFault, find_fault, tokens_of
from sparkscore.survey.text_bytes import WrongBytesError, decoded_blocks


@dataclass(frozen=True)
class FilesSurvey:
    """The first fault and the different headers of some CSV files.

    Attributes:
        fault: the path of a file with a fault, and the fault; or None if no fault was found. If faults were found in
            several files, it is that of the first path in sorted order.
        headers: each different header that was read (the values of a file's first record), with the path of its file.
            If the header was read from several files, it is the first of their paths in sorted order.
    """

    fault: tuple[str, FileFault] | None
    headers: dict[tuple[str, ...], str]


def survey_files(paths: Iterable[str], dialect: Dialect) -> FilesSurvey:
    """Check CSV files for faults and collect their headers.

    The files are read in the order of their sorted paths, until a file has a fault. The header of this file is not
    read. A file without a record has no header.
    """
    headers: dict[tuple[str, ...], str] = {}
    for path in sorted(paths):
        if fault := find_fault(path, dialect):
            return FilesSurvey((path, fault), headers)
        if (header := first_record(path, dialect)) is not None:
            headers.setdefault(header, path)
    return FilesSurvey(None, headers)


def survey_files_as_json(share: tuple[tuple[str, ...], Dialect]) -> str:
    """Return the result of `survey_files` as JSON, which a worker can send to the driver.

    Args:
        share: the paths of the files, and their dialect.
    """
    found = survey_files(*share)
    fault = None if found.fault is None else [found.fault[0], found.fault[1].reason, found.fault[1].detail]
    return json.dumps({"fault": fault, "headers": list(found.headers.items())})


def read_survey(text: str) -> FilesSurvey:
    """Create a `FilesSurvey` from the JSON that `survey_files_as_json` returned."""
    plain = json.loads(text)
    fault = plain["fault"] and (plain["fault"][0], FileFault(plain["fault"][1], plain["fault"][2]))
    return FilesSurvey(fault, {tuple(header): path for header, path in plain["headers"]})


def join_surveys(parts: Iterable[FilesSurvey]) -> FilesSurvey:
    """Merge the results of `survey_files` for several groups of files into one result.

    If several groups have a fault, the result contains the fault whose path comes first in sorted order. If several
    groups have the same header, the result contains the path that comes first.
    """
    faults, headers = [], dict[tuple[str, ...], str]()
    for part in parts:
        faults += [part.fault] if part.fault else []
        for header, path in part.headers.items():
            headers[header] = min(path, headers.get(header, path))
    return FilesSurvey(min(faults, key=lambda fault: fault[0], default=None), headers)


def first_record(path: str, dialect: Dialect) -> tuple[str, ...] | None:
    """Return the values of the first record of a CSV file.

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
    """Yield the tokens of a CSV file, starting with its first record.

    Comments and empty lines before the first record are skipped.
    """
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
    """Read a quoted value whose opening quote was already read; return the value and the token that ends it.

    This token is a separator, a line end, or an empty string at the end of the file. Text between the closing quote and
    this token is ignored.
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
