"""What a code means and what to do about it, and the sections that codes are explained in (driver)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sparkscore.error_codes import ErrorCode


@dataclass(frozen=True)
class Explanation:
    """What a code means, and what the reader can do; both are whole sentences."""

    meaning: str
    next_step: str


@dataclass(frozen=True)
class Section:
    """Codes that are explained together.

    Attributes:
        title, text: heading, and what stands below it; may be empty.
        codes: each code with its explanation.
    """

    title: str
    text: str
    codes: Mapping[ErrorCode, Explanation]
