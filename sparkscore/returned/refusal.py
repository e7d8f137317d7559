"""The exception for a value that cannot be converted exactly to the type of its column (driver and worker)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError

STATE: Final = "No row of this mini-batch was written."
DECLARE: Final = "Return values of that type, or declare the column otherwise in output.schema."


class Refusal(Exception):  # noqa: N818 - never reaches the user: `raised_for` turns it into an error
    """A value cannot be converted exactly to the type of its column.

    Attributes:
        got: the type of the value and the reason, but never the value itself.
        expected: the expected value, or an empty text if it is simply a value of the column's type.
        advice: the next step for the user.
        position: the index of the element in the column, counted from 0.
    """

    def __init__(self, got: str, *, expected: str = "", advice: str = DECLARE, position: int = 0) -> None:
        super().__init__(got)
        self.got = got
        self.expected = expected
        self.advice = advice
        self.position = position

    def at(self, position: int) -> Refusal:
        """Return the same refusal for another position."""
        return Refusal(self.got, expected=self.expected, advice=self.advice, position=position)


@contextmanager
def raised_for(column: str, expected: str) -> Iterator[None]:
    """Turn a `Refusal` into an error that names the column and the element, counted from 1.

    Args:
        column: the name of the column.
        expected: the expected type, unless the refusal says more.

    Raises:
        OutputContractError: code ``OUTPUT_TYPE``, if the block raises a `Refusal`.
    """
    try:
        yield
    except Refusal as refusal:
        raise OutputContractError(
            code=ErrorCode.OUTPUT_TYPE,
            what=f"column '{column}', element {refusal.position + 1}",
            got=refusal.got,
            expected=refusal.expected or expected,
            state=STATE,
            next_step=refusal.advice,
        ) from None
