"""Escape control characters in strings, so that a terminal does not interpret them.

Runs on the driver and the workers.
"""

from __future__ import annotations

import re
from typing import Final

# Control characters including ESC and line breaks, Unicode direction marks and line separators, and surrogates, which
# cannot be encoded for a terminal. Direction marks can make a string look like a different one.
# Source: https://trojansource.codes/
_ACTIVE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Escape the control characters, direction marks, line separators and surrogates in a string.

    >>> printable("a\x1b[31mb\nc")
    'a\\x1b[31mb\\nc'
    """
    return _ACTIVE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()
