"""Find quotes and line endings in CSV files that Spark's parser would silently misread.

Runs on the driver and the workers.

For example, if a quote is not closed, Spark's CSV parser may read the rest of the file as one value. By default, the
parser also assumes that all lines of a file end like the first one.
Source: observed with univocity-parsers 2.9.1 and the settings of Spark 4.2.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from sparkscore.survey.text_bytes import WrongBytesError, decoded_blocks

T = TypeVar("T")
FaultReason = Literal[
    "bytes", "unreadable", "quoted end", "open quote", "backslash", "quote inside", "doubled quote", "line ends"
]

#: The usual line endings of a CSV file.
LINE_ENDS: Final = ("\n", "\r", "\r\n")
# This many characters at the end of a block are processed with the next block, because a token may continue there.
_KEPT_CHARACTERS: Final = 8
_NO_POSITIONS: Final = np.empty(0, dtype=np.intp)
_NAMES_OF_ENDS: Final = {"\n": "LF", "\r": "CR", "\r\n": "CR LF"}


@dataclass(frozen=True)
class Dialect:
    """The encoding and syntax of a CSV file.

    Attributes:
        encoding: Python's name of the encoding.
        sep: the separator between values.
        quote: the quote character, or an empty string if values are not quoted.
        escape: the character that escapes a quote inside a quoted value, or an empty string if quotes cannot be
            escaped. If it is the quote character itself, quotes are escaped by doubling them.
        comment: the character that starts a comment line, or an empty string if there are no comments.
        reads_lines: whether every line ending ends a row, even inside quotes (Spark's ``multiLine: false``).
        line_end: the line ending set with Spark's ``lineSep``, or an empty string if it is not set.
        skips_leading: whether whitespace before a value is ignored (Spark's ``ignoreLeadingWhiteSpace``).
        skips_trailing: whether whitespace after a value is ignored (Spark's ``ignoreTrailingWhiteSpace``).
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
        """Return whether a line is a comment, given its first characters (``start``)."""
        return bool(self.comment) and start.startswith(self.comment)

    @property
    def is_plain(self) -> bool:
        """Whether the separator, the quote and the escape character are one ASCII character each."""
        return all(len(character) == 1 and character.isascii() for character in (self.sep, self.quote, self.escape))


@dataclass(frozen=True)
class FileFault:
    """A reason why Spark would misread a CSV file or cannot read it.

    Attributes:
        reason: the category of the fault, for example ``bytes`` or ``line ends``.
        detail: a phrase for the error message. It contains the line of the fault, if known.
    """

    reason: FaultReason
    detail: str


@dataclass(frozen=True)
class CheckedFile(Generic[T]):
    """The result of `check_and_read`.

    Attributes:
        fault: the first fault, or None if the file has no fault, or if the operating system cannot read the file.
        read: the result of the function that read the text. None unless the quick check succeeded.
        has_lines: whether each line is one row and each row is one line, so that Spark reads the same rows with
            ``multiLine: false``. False if this is not known.
    """

    fault: FileFault | None
    read: T | None = None
    has_lines: bool = False


def check_and_read(path: str, dialect: Dialect, read: Callable[[Iterator[str]], T]) -> CheckedFile[T]:
    """Check a CSV file for faults. If a quick check is possible, a function reads the text in the same pass.

    If the quick check fails, or if the dialect does not allow it, the file is checked by a slower method, and the
    result of the function is not used.

    Quotes and line endings are not checked in two cases:

    - The dialect has no quote character.
    - ``dialect.reads_lines`` is true, and ``dialect.line_end`` is set to something other than LF, CR or CR LF.

    Args:
        path: the path of the file.
        dialect: the syntax of the file.
        read: a function that gets an iterator over blocks of the text. It need not read all of them.
    """
    try:
        blocks = decoded_blocks(path, dialect.encoding)
        if not dialect.quote or (dialect.reads_lines and dialect.line_end not in {"", *LINE_ENDS}):
            _read_all(blocks)
            return CheckedFile(None)
        if not dialect.is_plain:
            return CheckedFile(Walk(dialect).find(blocks))
        check = _QuickCheck(dialect)
        checked = check.watch(blocks)
        result = read(checked)
        _read_all(checked)
        if check.has_passed():
            return CheckedFile(None, result, check.has_lines)
        return CheckedFile(Walk(dialect).find(decoded_blocks(path, dialect.encoding)))
    except WrongBytesError as error:
        return CheckedFile(FileFault("bytes", str(error)))
    except (OSError, EOFError, zlib.error) as error:
        # Decompression errors have no errno, unlike errors of the operating system.
        is_system_error = isinstance(error, OSError) and error.errno is not None
        fault = None if is_system_error else FileFault("unreadable", "compressed data that cannot be unpacked")
        return CheckedFile(fault)


def _read_all(blocks: Iterator[str]) -> None:
    for _ in blocks:
        pass


class _QuickCheck:
    """A fast check of the quotes and line endings of a CSV file. It may fail for a correct file.

    Attributes:
        has_lines: whether the text so far has no line end inside quotes and no line that begins with a blank. A line of
            blanks is skipped if Spark reads lines, but is a row if Spark reads whole files.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._quote = ord(dialect.quote)
        # The bytes that may precede an opening quote or follow a closing quote.
        self._around = np.zeros(256, dtype=bool)
        self._around[[ord(dialect.sep), ord("\n"), ord("\r")]] = True
        self._around[self._quote] = dialect.escape == dialect.quote
        self._is_inside, self._has_feeds, self._counts = False, False, [0, 0, 0]
        self._has_failed, self._is_complete = False, False
        # Not known with escape characters or comments, because an escape may precede a line end.
        self.has_lines = dialect.escape == dialect.quote and not dialect.comment

    def has_passed(self) -> bool:
        """Return whether the whole text was read and has no misplaced quotes or line endings."""
        if not self._is_complete or self._has_failed or self._is_inside:
            return False
        feeds, returns, both = self._counts
        is_mixed = bool(returns) and (self._has_feeds or bool(feeds and not feeds == returns == both))
        return self._dialect.reads_lines or not is_mixed

    def watch(self, blocks: Iterator[str]) -> Iterator[str]:
        """Check each block of a text, and yield the block if it passes. Stop at the first block that fails."""
        dialect = self._dialect
        # The last two bytes of a block are kept, so that each byte is checked together with both of its neighbors. A
        # separator stands for the bytes before the start and after the end of the file.
        held, escape, is_begun = dialect.sep.encode() * 2, "", False
        for block in _and_end(blocks):
            text, escape = (
                (block or "", "") if dialect.escape == dialect.quote else _without_escapes(block, escape, dialect)
            )
            data = held + text.encode() + (dialect.sep.encode() if block is None else b"")
            held = data[-2:]
            if self.has_lines:
                self.has_lines = not _has_blank_start(data if is_begun else b"\n" + data[2:])
            is_begun = True
            self._has_failed = not self._is_right(data)
            if self._has_failed:
                return
            self._is_complete = block is None
            if block is not None:
                yield block

    def _is_right(self, data: bytes) -> bool:
        """Return whether a part of the file has no misplaced quote or line ending.

        Args:
            data: the part, with one more byte before and after it.
        """
        quotes = _NO_POSITIONS
        if self._dialect.quote.encode() in data:
            codes = np.frombuffer(data, dtype=np.uint8)
            quotes = np.flatnonzero(codes[1:-1] == self._quote) + 1
            opening, closing = quotes[int(self._is_inside) :: 2], quotes[int(not self._is_inside) :: 2]
            if not (self._around[codes[opening - 1]].all() and self._around[codes[closing + 1]].all()):
                return False
        if self._is_inside or len(quotes):
            if _has_end_inside(data, quotes, feeds=self._dialect.reads_lines, is_inside=self._is_inside):
                return False
            if self.has_lines:
                self.has_lines = not _has_end_inside(data, quotes, feeds=True, is_inside=self._is_inside)
            self._is_inside ^= bool(len(quotes) % 2)
        # Most files have only line feeds, and counting them would take longer than the rest of this check.
        is_counted = b"\r" in data
        self._has_feeds |= not is_counted and b"\n" in data
        for number, end in enumerate(LINE_ENDS if is_counted else ()):
            self._counts[number] += data.count(end.encode(), 1, len(data) - (len(end) == 1))
        return True


def _and_end(blocks: Iterable[str]) -> Iterator[str | None]:
    yield from blocks
    yield None


def _has_blank_start(data: bytes) -> bool:
    """Return whether a line other than the first begins with a space, a tab or another control character."""
    codes = np.frombuffer(data, dtype=np.uint8)
    # Line ends are control characters, too, but an empty line has no blank.
    starts = np.flatnonzero(codes[1:] <= ord(" ")) + 1
    is_end = (codes == ord("\n")) | (codes == ord("\r"))
    return bool((is_end[starts - 1] & ~is_end[starts]).any())


def _has_end_inside(data: bytes, quotes: npt.NDArray[np.intp], *, feeds: bool, is_inside: bool) -> bool:
    """Return whether a part of the file has a carriage return or, if `feeds` is true, a line feed inside quotes.

    Args:
        data: the part of the file, with one more byte before and after it.
        quotes: the positions in ``data`` of the quotes in the part.
        feeds: whether to look for line feeds as well.
        is_inside: whether the part begins inside quotes.
    """
    if not (b"\r" in data[1:-1] or (feeds and b"\n" in data[1:-1])):
        return False
    codes = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero((codes == ord("\r")) | ((codes == ord("\n")) & feeds))
    ends = ends[(ends > 0) & (ends < len(codes) - 1)]
    return bool(((np.searchsorted(quotes, ends) + is_inside) % 2).any())


def _without_escapes(block: str | None, held: str, dialect: Dialect) -> tuple[str, str]:
    """Replace each escaped quote and each escaped escape character in a block of text with a letter.

    Args:
        block: the next block of the text, or None at the end of the text.
        held: the ``held`` that the call for the previous block returned, or an empty string for the first block.
        dialect: a dialect whose escape character is not the quote character.

    Returns:
        the block after the replacement, and ``held`` for the next block: the block's last character if it escapes the
        first character of the next block, or else an empty string.
    """
    escape = dialect.escape
    letter = next(each for each in "abcd" if each not in {dialect.sep, dialect.quote, escape})
    text = held + (block or "")
    held = escape if block is not None and (len(text) - len(text.rstrip(escape))) % 2 else ""
    return text.removesuffix(held).replace(escape + escape, letter).replace(escape + dialect.quote, letter), held


def tokens_of(dialect: Dialect) -> re.Pattern[str]:
    """Return the regular expression that splits the text of a CSV file into tokens.

    A token is a line ending, a separator, a quote, an escape character, or a piece of the text between these.
    """
    characters = sorted({dialect.sep, dialect.quote, dialect.escape} - {""}, key=len, reverse=True)
    either = "|".join(map(re.escape, ("\r\n", "\r", "\n", *characters)))
    others = re.escape("".join(sorted({each[0] for each in characters} | {"\r", "\n"})))
    return re.compile(f"{either}|[^{others}]+|.", re.DOTALL)


class Walk:
    """A state machine that reads the text of a CSV file token by token and finds the first `FileFault`."""

    # It takes about ten times as long as `_QuickCheck`, which may fail for a correct file.
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
        """Return the first fault in the text of a file, given in blocks, or None if there is no fault."""
        text = ""
        for block in _and_end(blocks):
            text += block or ""
            end = len(text) if block is None else len(text) - _KEPT_CHARACTERS
            offset = 0
            for match in self._tokens.finditer(text):
                if match.start() >= end:
                    break
                offset = match.end()
                if fault := self._step(match[0]):
                    return fault
            text = text[offset:]
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
            self._in_quotes(token)
        elif self._state == "closed":
            fault = self._after_quotes(token) or fault
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
            # Unless 'lineSep' is set, the parser turns the file's line ending into a line feed, even inside quotes.
            is_lost = token.startswith(self._first_end) and not (token == LINE_ENDS[0] or self._dialect.line_end)
            end = _NAMES_OF_ENDS.get(token)
            detail = f"{end} inside a value in line {self._line - 1:,}, the same as at the ends of the lines"
            return FileFault("quoted end", detail) if is_lost else None
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

    def _in_quotes(self, token: str) -> None:
        if token == self._dialect.quote:
            self._is_behind_backslash = self._before.endswith("\\")
            self._state = "closed"
        elif token == self._dialect.escape:
            self._state = "escaped"

    def _after_quotes(self, token: str) -> FileFault | None:
        """Process a token that follows a quote in a quoted value, and return a fault or None.

        - A separator or a line ending means that the quote was the end of the value.
        - A second quote, directly after the first, continues the value if quotes are escaped by doubling them.
        - Spaces and control characters are skipped.
        - Any other token is a fault.
        """
        if token == self._dialect.sep or token in LINE_ENDS:
            self._state = "start"
            return None
        self._saw_backslash |= self._is_behind_backslash
        if token == self._dialect.quote == self._before:
            if self._dialect.escape == self._dialect.quote:
                self._state = "quoted"
                return None
            return self._fault("doubled quote", f"a doubled quote in line {self._line:,}")
        # The parser ignores spaces and control characters after a quoted value.
        if token != self._dialect.quote and all(character <= " " for character in token):
            return None
        return self._fault("quote inside", f"a quote inside a quoted value in line {self._line:,}")

    def _fault(self, reason: FaultReason, detail: str) -> FileFault:
        is_escaped = self._saw_backslash and self._dialect.escape == self._dialect.quote
        return (
            FileFault("backslash", f"{detail}, and a backslash before a quote")
            if is_escaped
            else FileFault(reason, detail)
        )
