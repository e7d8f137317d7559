"""Find the row of a CSV file that has more or fewer values than its header, which Spark does not report (driver)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from sparkscore.survey.csv_bytes import LINE_ENDS, Dialect, FileFault, Walk
from sparkscore.survey.text_bytes import WrongBytesError, decoded_blocks


@dataclass(frozen=True)
class UnevenRow:
    """A row with more or fewer values than the header.

    Attributes:
        line: the number of the line on which the row begins.
        values: the number of its values.
    """

    line: int
    values: int


def find_uneven_row(path: str, dialect: Dialect, width: int) -> UnevenRow | None:
    """Return the first row whose number of values is not ``width``.

    Returns None if there is no such row, or if the file cannot be read.
    """
    walk = _CountingWalk(dialect, width)
    try:
        walk.find(decoded_blocks(path, dialect.encoding))
    except (WrongBytesError, OSError, EOFError, zlib.error):
        return None
    return walk.uneven or walk.last_row()


class _CountingWalk(Walk):
    """A pass over a file that counts the values of each row.

    Attributes:
        uneven: the first row with another number of values, or None.
    """

    def __init__(self, dialect: Dialect, width: int) -> None:
        super().__init__(dialect)
        self._width = width
        self._start, self._values, self._is_empty = 1, 1, True
        self.uneven: UnevenRow | None = None

    def _step(self, token: str) -> FileFault | None:
        is_comment = self._state == "comment"
        fault = super()._step(token)
        if self._state == "start" and token in LINE_ENDS:
            self.uneven = None if is_comment else self.last_row()
            self._start, self._values, self._is_empty = self._line, 1, True
            # A fault ends the walk, whatever its reason and text.
            return fault or (FileFault("open quote", "") if self.uneven else None)
        self._is_empty = False
        self._values += self._state == "start" and token == self._dialect.sep
        return fault

    def last_row(self) -> UnevenRow | None:
        """Return the row that was read last if it is uneven, or None; empty lines and comments are not rows."""
        is_comment = self._state == "comment"
        is_even = self._is_empty or is_comment or self._values == self._width
        return None if is_even else UnevenRow(self._start, self._values)
