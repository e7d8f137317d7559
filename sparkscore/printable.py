"""Write text that may hold anything so that a terminal shows it and does nothing else (driver and worker)."""

from __future__ import annotations

import re
from typing import Final

# Control characters, with ESC and line breaks among them, the marks and overrides of writing direction, separators of
# lines that are no control characters, and halves of surrogate pairs, which no encoding of a terminal has.
# Source: https://trojansource.codes/ for what the marks of direction do to text that people read.
_ACTIVE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    r"""Write what would act on a terminal as an escape; all other text stays as it is.

    >>> printable("a\x1b[31mb\nc")
    'a\\x1b[31mb\\nc'
    """
    return _ACTIVE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}")  # noqa: PLR2004 - one byte
