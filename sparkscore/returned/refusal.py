"""Define the exception for a value that its column cannot hold exactly. Runs on the driver and the workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError

STATE: Final = "No row of this mini-batch was written."
DECLARE: Final = "Return values of that type, or declare the column otherwise in output.schema."


class Refusal(Exception):  # noqa: N818 - never reaches the user: `raised_for` turns it into an error
    """Raised for a value that its column cannot hold exactly, or that no column can hold.

    Attributes:
        got: a phrase that describes the value in the error message, for example by its class.
        expected: a phrase that describes the expected value, or an empty string for any value of the column's type.
        advice: the next step for the user.
        position: index of the element in the column, counted from 0.
    """

    def __init__(self, got: str, *, expected: str = "", advice: str = DECLARE, position: int = 0) -> None:
        super().__init__(got)
        self.got = got
        self.expected = expected
        self.advice = advice
        self.position = position

    def at(self, position: int) -> Refusal:
        """Return a copy of this `Refusal` with a different element position."""
        return Refusal(self.got, expected=self.expected, advice=self.advice, position=position)


@contextmanager
def raised_for(column: str, expected: str) -> Iterator[None]:
    """Convert a `Refusal` raised in the ``with`` block to an `OutputContractError`.

    The error message gives the column name and the number of the element, counted from 1.

    Args:
        column: the column name.
        expected: a phrase for the expected type. It is used if the `Refusal` does not say what is expected.

    Raises:
        OutputContractError: the block raised a `Refusal` (code ``OUTPUT_TYPE``).
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
