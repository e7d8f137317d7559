r"""Look at the bytes of a CSV file for what its reader would misread without an error (driver and worker).

The parser behind Spark's reader takes a quote that is neither doubled nor followed by a separator for part of a text,
everything behind a quote that is not closed for one value, and what it saw first for the only line end.
Source: tried with univocity-parsers 2.9.1 and the settings of Spark 4.2.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from sparkscore.survey.text_bytes import WrongBytesError, decoded_blocks

Kind = Literal[
    "bytes", "unreadable", "quoted end", "open quote", "backslash", "quote inside", "doubled quote", "line ends"
]

#: What ends a line.
LINE_ENDS: Final = ("\n", "\r", "\r\n")
_HELD: Final = 8
_NOWHERE: Final = np.empty(0, dtype=np.intp)
_NAMES_OF_ENDS: Final = {"\n": "LF", "\r": "CR", "\r\n": "CR LF"}


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        encoding: as Python knows it.
        sep, quote, escape: the signs; an empty quote is none.
        comment: sign at the start of lines that are passed over; empty where there are none.
        reads_lines: whether the file is cut into lines whatever quotes say.
        line_end: the end of a line, where the user says it.
        skips_leading, skips_trailing: whether blanks around a value are no part of it.
    """

    encoding: str = "utf-8"
    sep: str = ","
    quote: str = '"'
    escape: str = '"'
    comment: str = ""
    reads_lines: bool = False
    line_end: str = ""
    skips_leading: bool = False
    skips_trailing: bool = False

    def is_comment(self, start: str) -> bool:
        """Tell whether a line that starts so is passed over."""
        return bool(self.comment) and start.startswith(self.comment)

    @property
    def is_plain(self) -> bool:
        """Whether each sign is one byte."""
        return all(len(sign) == 1 and sign.isascii() for sign in (self.sep, self.quote, self.escape))


@dataclass(frozen=True)
class FileFault:
    """What is wrong with a file: the kind, and the part of a sentence that tells it."""

    kind: Kind
    told: str


def find_fault(path: str, dialect: Dialect) -> FileFault | None:
    """Give the first thing that is wrong with a file; None also where it is not to be had, which its reader tells."""
    try:
        if not dialect.quote or (dialect.reads_lines and dialect.line_end not in {"", *LINE_ENDS}):
            for _ in decoded_blocks(path, dialect.encoding):
                pass
            return None
        if dialect.is_plain and _is_well_formed(decoded_blocks(path, dialect.encoding), dialect):
            return None
        return Walk(dialect).find(decoded_blocks(path, dialect.encoding))
    except WrongBytesError as error:
        return FileFault("bytes", str(error))
    except (OSError, EOFError, zlib.error) as error:
        # What cannot be unpacked has no number of the system.
        is_of_system = isinstance(error, OSError) and error.errno is not None
        return None if is_of_system else FileFault("unreadable", "bytes that cannot be unpacked")


def _is_well_formed(blocks: Iterable[str], dialect: Dialect) -> bool:
    """Tell whether all quotes stand where values begin and end, or doubled inside, and all line ends are the same.

    Where not, the file may still be right: a quote inside a value without quotes is part of it.
    """
    quote = ord(dialect.quote)
    around = np.zeros(256, dtype=bool)
    around[[ord(dialect.sep), ord("\n"), ord("\r")]] = True
    around[quote] = dialect.escape == dialect.quote
    is_inside, has_feeds, counts = False, False, [0, 0, 0]
    # Two bytes are held, so that each byte is looked at with its neighbors; a separator stands for what is outside.
    held = dialect.sep.encode() * 2
    for block in _and_end(blocks if dialect.escape == dialect.quote else _without_escapes(blocks, dialect)):
        data = held + (dialect.sep.encode() if block is None else block.encode())
        held = data[-2:]
        if dialect.quote.encode() in data:
            signs = np.frombuffer(data, dtype=np.uint8)
            quotes = np.flatnonzero(signs[1:-1] == quote) + 1
            opening, closing = quotes[int(is_inside) :: 2], quotes[int(not is_inside) :: 2]
            if not (around[signs[opening - 1]].all() and around[signs[closing + 1]].all()):
                return False
            if _has_end_inside(data, quotes, dialect, is_inside=is_inside):
                return False
            is_inside ^= bool(len(quotes) % 2)
        elif is_inside and _has_end_inside(data, _NOWHERE, dialect, is_inside=True):
            return False
        # Most files have line feeds only, and to count them takes longer than all else here.
        is_counted = b"\r" in data
        has_feeds |= not is_counted and b"\n" in data
        for number, end in enumerate(LINE_ENDS if is_counted else ()):
            counts[number] += data.count(end.encode(), 1, len(data) - (len(end) == 1))
    if dialect.reads_lines:
        return not is_inside
    feeds, returns, both = counts
    return not is_inside and (not returns or (not has_feeds and (not feeds or feeds == returns == both)))


def _and_end(blocks: Iterable[str]) -> Iterator[str | None]:
    yield from blocks
    yield None


def _has_end_inside(data: bytes, quotes: npt.NDArray[np.intp], dialect: Dialect, *, is_inside: bool) -> bool:
    """Tell whether a line may end inside quotes; line feeds are common there, and kept in whole files."""
    # The first byte and the last were looked at before, or will be.
    if not (b"\r" in data[1:-1] or (dialect.reads_lines and b"\n" in data[1:-1])):
        return False
    signs = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero((signs == ord("\r")) | ((signs == ord("\n")) & dialect.reads_lines))
    ends = ends[(ends > 0) & (ends < len(signs) - 1)]
    return bool(((np.searchsorted(quotes, ends) + is_inside) % 2).any())


def _without_escapes(blocks: Iterable[str], dialect: Dialect) -> Iterator[str]:
    """Put a letter in place of what is escaped, where a sign of its own escapes quotes and itself."""
    escape, held = dialect.escape, ""
    letter = next(each for each in "abc" if each not in {dialect.sep, dialect.quote})
    for block in _and_end(blocks):
        text = held + (block or "")
        held = escape if block is not None and (len(text) - len(text.rstrip(escape))) % 2 else ""
        yield text.removesuffix(held).replace(escape + escape, letter).replace(escape + dialect.quote, letter)


def tokens_of(dialect: Dialect) -> re.Pattern[str]:
    """Give the expression that cuts a text into line ends, the dialect's signs, and what is between them."""
    signs = sorted({dialect.sep, dialect.quote, dialect.escape} - {""}, key=len, reverse=True)
    either = "|".join(map(re.escape, ("\r\n", "\r", "\n", *signs)))
    others = re.escape("".join(sorted({sign[0] for sign in signs} | {"\r", "\n"})))
    return re.compile(f"{either}|[^{others}]+|.", re.DOTALL)


class Walk:
    """A walk through a file sign by sign, as its parser goes; ten times slower than a look at all quotes at once."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._tokens = tokens_of(dialect)
        self._state = "start"
        self._line = 1
        self._before = ""
        self._is_line_start = True
        self._first_end = ""
        self._quote_line = 0
        self._is_behind_backslash = False
        self._saw_backslash = False

    def find(self, blocks: Iterable[str]) -> FileFault | None:
        """Give the first fault."""
        text = ""
        for block in _and_end(blocks):
            text += block or ""
            end = len(text) if block is None else len(text) - _HELD
            place = 0
            for match in self._tokens.finditer(text):
                if match.start() >= end:
                    break
                place = match.end()
                if fault := self._step(match[0]):
                    return fault
            text = text[place:]
        return self._open_quote() if self._state == "quoted" else None

    def _open_quote(self) -> FileFault:
        return self._fault("open quote", f"a quote in line {self._quote_line:,} that is not closed")

    def _step(self, token: str) -> FileFault | None:
        is_end = token in LINE_ENDS
        fault = self._line_end(token) if is_end else None
        if self._state == "comment":
            self._state = "start" if is_end else "comment"
        elif self._state == "escaped":
            self._state = "quoted"
        elif self._state == "quoted":
            self._inside(token)
        elif self._state == "closed":
            fault = self._behind(token) or fault
        elif is_end or token == self._dialect.sep:
            self._state = "start"
        elif self._state == "start":
            self._begin(token)
        self._before = token
        self._is_line_start = is_end and self._state == "start"
        return fault

    def _line_end(self, token: str) -> FileFault | None:
        self._line += 1
        self._first_end = self._first_end or self._dialect.line_end or token
        is_quoted = self._state in {"quoted", "escaped"}
        if self._dialect.reads_lines:
            return self._open_quote() if is_quoted else None
        if is_quoted:
            # Unless it is told what ends a line, the parser makes a line feed of it inside of quotes too.
            is_lost = token.startswith(self._first_end) and not (token == LINE_ENDS[0] or self._dialect.line_end)
            told = f"{_NAMES_OF_ENDS.get(token)} inside a value in line {self._line - 1:,}, as at the ends of lines"
            return FileFault("quoted end", told) if is_lost else None
        if token == self._first_end:
            return None
        found, first = (_NAMES_OF_ENDS.get(end, "another") for end in (token, self._first_end))
        return FileFault("line ends", f"line {self._line - 1:,} ends with {found}, and lines before it with {first}")

    def _begin(self, token: str) -> None:
        if self._is_line_start and self._dialect.is_comment(token):
            self._state = "comment"
        elif token == self._dialect.quote:
            self._state, self._quote_line = "quoted", self._line
        elif not (self._dialect.skips_leading and token.isspace()):
            self._state = "plain"

    def _inside(self, token: str) -> None:
        if token == self._dialect.quote:
            self._is_behind_backslash = self._before.endswith("\\")
            self._state = "closed"
        elif token == self._dialect.escape:
            self._state = "escaped"

    def _behind(self, token: str) -> FileFault | None:
        """Look at what stands behind a quote that closes a value."""
        if token == self._dialect.sep or token in LINE_ENDS:
            self._state = "start"
            return None
        self._saw_backslash |= self._is_behind_backslash
        if token == self._dialect.quote == self._before:
            if self._dialect.escape == self._dialect.quote:
                self._state = "quoted"
                return None
            return self._fault("doubled quote", f"a doubled quote in line {self._line:,}")
        # The parser passes over blanks behind a value in quotes.
        if token != self._dialect.quote and all(sign <= " " for sign in token):
            return None
        return self._fault("quote inside", f"a quote inside a value in quotes in line {self._line:,}")

    def _fault(self, kind: Kind, told: str) -> FileFault:
        is_escaped = self._saw_backslash and self._dialect.escape == self._dialect.quote
        return (
            FileFault("backslash", f"{told}, and a backslash before a quote") if is_escaped else FileFault(kind, told)
        )
