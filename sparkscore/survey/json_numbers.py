"""Check whether a double can hold a number that is given as a string. Runs on the driver and the workers."""

from __future__ import annotations

import math
import re
from typing import Final

#: With this many significant digits, any two different doubles are written differently.
DIGITS: Final = 17
_FORM: Final = re.compile(r"-?(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?")


def is_beyond_double(text: str) -> bool:
    """Return whether a number overflows to infinity or underflows to zero as a double.

    >>> [is_beyond_double(text) for text in ("1e308", "1e400", "1e-400", "0e-400")]
    [False, True, True, False]
    """
    value = float(text)
    return math.isinf(value) or (value == 0 and bool(_digits(text)))


def has_lost_digits(text: str) -> bool:
    """Return whether a number has more than 17 significant digits and a double would change some of them.

    >>> [has_lost_digits(text) for text in ("0.1", "0.1234567890123456789", "0.10000000000000000555")]
    [False, True, False]
    """
    digits = _digits(text)
    if len(digits) <= DIGITS:
        return False
    mantissa = f"{float(text):.{len(digits) - 1}e}".partition("e")[0]
    return mantissa.replace(".", "").lstrip("-").rstrip("0") != digits


def _digits(text: str) -> str:
    """Return the digits of a number without leading and trailing zeros, or an empty string if the number is zero."""
    form = _FORM.fullmatch(text)
    return "" if form is None else (form[1] + (form[2] or "")).strip("0")
