"""Find the first row of a CSV file that has more or fewer values than the input has columns. Runs on the driver.

In ``FAILFAST`` mode, Spark raises an error for such a row, but the error does not contain the line number.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from sparkscore.survey.csv_bytes import LINE_ENDS, Dialect, FileFault, Walk
from sparkscore.survey.text_bytes import WrongBytesError, decoded_blocks


@dataclass(frozen=True)
class UnevenRow:
    """A row of a CSV file with the wrong number of values.

    Attributes:
        line: the number of the line on which the row begins, counted from 1.
        values: the number of values in the row.
    """

    line: int
    values: int


def find_uneven_row(path: str, dialect: Dialect, width: int) -> UnevenRow | None:
    """Return the first row of a CSV file that does not have exactly ``width`` values.

    The result is None if there is no such row, or if the file cannot be read or decoded. The search ends at the first
    fault, so call this function only for a file in which `check_and_read` finds no fault.
    """
    walk = _CountingWalk(dialect, width)
    try:
        walk.find(decoded_blocks(path, dialect.encoding))
    except (WrongBytesError, OSError, EOFError, zlib.error):
        return None
    return walk.uneven or walk.last_row()


class _CountingWalk(Walk):
    """A `Walk` that counts the values of each row, and stops after the first row with the wrong number of values.

    Attributes:
        uneven: the row with the wrong number of values, or None if no such row has ended so far.
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
            # Any fault ends the walk. Its reason and detail are not used.
            return fault or (FileFault("open quote", "") if self.uneven else None)
        self._is_empty = False
        self._values += self._state == "start" and token == self._dialect.sep
        return fault

    def last_row(self) -> UnevenRow | None:
        """Return the last row that was read if its number of values is wrong, or None if the number is right.

        The result is also None for empty lines and comments, which are not rows.
        """
        is_comment = self._state == "comment"
        is_even = self._is_empty or is_comment or self._values == self._width
        return None if is_even else UnevenRow(self._start, self._values)
