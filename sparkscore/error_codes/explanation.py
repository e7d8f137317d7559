"""Define the classes for explanations of error codes and for sections of `docs/errors.md`. Runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sparkscore.error_codes import ErrorCode


@dataclass(frozen=True)
class Explanation:
    """The explanation of an error code.

    Attributes:
        meaning: what the code means, in complete sentences.
        next_step: what the user should do, in complete sentences.
    """

    meaning: str
    next_step: str


@dataclass(frozen=True)
class Section:
    """A section of `docs/errors.md`.

    Attributes:
        title: the heading.
        text: paragraph below the heading; may be empty.
        codes: the error codes in this section, with their explanations.
    """

    title: str
    text: str
    codes: Mapping[ErrorCode, Explanation]
