"""Say no to a value inside one column; runs on workers, and on the driver in tests and probes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError

STATE: Final = "No row of this mini-batch was written."
DECLARE: Final = "Return values of that type, or declare the column otherwise in output.schema."


class Refusal(Exception):  # noqa: N818 - carries one "no" up to the column, which makes an error of it
    """One value cannot become the wanted type exactly.

    Attributes:
        got: what the value is: its type and the reason, never the value.
        expected: what would be taken, when that is not simply the column's type.
        advice: what the reader can do.
        position: the element's index in the column, from 0.
    """

    def __init__(self, got: str, *, expected: str = "", advice: str = DECLARE, position: int = 0) -> None:
        super().__init__(got)
        self.got = got
        self.expected = expected
        self.advice = advice
        self.position = position

    def at(self, position: int) -> Refusal:
        """Give the same refusal another place."""
        return Refusal(self.got, expected=self.expected, advice=self.advice, position=position)


@contextmanager
def raised_for(column: str, expected: str) -> Iterator[None]:
    """Turn a refusal into the error that names the column and the element, counted from 1."""
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
