"""Define the explanation of a code, and the sections of the page of codes (driver)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sparkscore.error_codes import ErrorCode


@dataclass(frozen=True)
class Explanation:
    """The explanation of a code.

    Attributes:
        meaning: the meaning of the code, as complete sentences.
        next_step: what the reader can do, as complete sentences.
    """

    meaning: str
    next_step: str


@dataclass(frozen=True)
class Section:
    """A section of the page of codes.

    Attributes:
        title: heading of the section.
        text: paragraph below the heading; may be empty.
        codes: the codes with their explanations.
    """

    title: str
    text: str
    codes: Mapping[ErrorCode, Explanation]
