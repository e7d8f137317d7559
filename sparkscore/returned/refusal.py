"""The exception for a value that its column cannot hold exactly (driver and worker)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError

STATE: Final = "No row of this mini-batch was written."
DECLARE: Final = "Return values of that type, or declare the column otherwise in output.schema."


class Refusal(Exception):  # noqa: N818 - never reaches the user: `raised_for` turns it into an error
    """Raised for a value that its column cannot hold exactly, or for which there is no column type.

    Attributes:
        got: a phrase for the error message that describes the value, for example by its class.
        expected: a phrase for the expected value, or an empty string if any value of the column's type is expected.
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
        """Return a copy of this `Refusal` for the element at a different position."""
        return Refusal(self.got, expected=self.expected, advice=self.advice, position=position)


@contextmanager
def raised_for(column: str, expected: str) -> Iterator[None]:
    """Replace a `Refusal` that the ``with`` block raises with an `OutputContractError`.

    The message of the error contains the name of the column and the number of the element, counted from 1.

    Args:
        column: the name of the column.
        expected: a phrase for the expected type, which is used if the `Refusal` does not say what is expected.

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
