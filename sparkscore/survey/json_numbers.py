"""Say what a double holds of a number as it is written (driver and worker)."""

from __future__ import annotations

import math
import re
from typing import Final

#: Significant digits that tell every double apart.
DIGITS: Final = 17
_FORM: Final = re.compile(r"-?(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?")


def is_beyond_double(text: str) -> bool:
    """Tell whether a number becomes infinite as a double, or zero though it is not.

    >>> [is_beyond_double(text) for text in ("1e308", "1e400", "1e-400", "0e-400")]
    [False, True, True, False]
    """
    value = float(text)
    return math.isinf(value) or (value == 0 and bool(_digits(text)))


def has_lost_digits(text: str) -> bool:
    """Tell whether a number has more digits than a double tells, and is not a double that was written with more.

    >>> [has_lost_digits(text) for text in ("0.1", "0.1234567890123456789", "0.10000000000000000555")]
    [False, True, False]
    """
    digits = _digits(text)
    if len(digits) <= DIGITS:
        return False
    mantissa = f"{float(text):.{len(digits) - 1}e}".partition("e")[0]
    return mantissa.replace(".", "").lstrip("-").rstrip("0") != digits


def _digits(text: str) -> str:
    """Give the significant digits."""
    form = _FORM.fullmatch(text)
    return "" if form is None else (form[1] + (form[2] or "")).strip("0")
