"""Define the classes for the explanation of an error code and for a section of `docs/errors.md` (driver)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sparkscore.error_codes import ErrorCode


@dataclass(frozen=True)
class Explanation:
    """The explanation of an error code.

    Attributes:
        meaning: the meaning of the code, in complete sentences.
        next_step: advice for the user, in complete sentences.
    """

    meaning: str
    next_step: str


@dataclass(frozen=True)
class Section:
    """A section of the page `docs/errors.md`.

    Attributes:
        title: heading of the section.
        text: paragraph below the heading; may be empty.
        codes: the error codes of the section, with their explanations.
    """

    title: str
    text: str
    codes: Mapping[ErrorCode, Explanation]
