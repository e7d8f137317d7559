"""Split Spark DDL into tokens, without using Spark. Runs on the driver and the workers."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError

END: Final = "end"
_SHOWN_LENGTH: Final = 40
_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<word>[A-Za-z0-9_]+)
      | (?P<quoted>`(?:[^`]|``)*`)
      | (?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
      | (?P<punctuation>[<>(),:])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(
    r"""\\u(?P<short>[0-9a-fA-F]{4}) | \\U(?P<long>[0-9a-fA-F]{8}) | \\(?P<octal>[0-3][0-7]{2})
      | \\(?P<letter>.) | (?P<twice>''|"")""",
    re.VERBOSE | re.DOTALL,
)
_LETTERS: Final = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}


@dataclass(frozen=True)
class Token:
    """One token of a DDL string.

    Attributes:
        type: ``word``, ``quoted`` (a name in backticks), ``text`` (a string literal), ``punctuation`` or END.
        text: the token's characters, including quotes. Empty for END.
        start: index of the token's first character in the DDL string.
    """

    type: str
    text: str
    start: int

    @property
    def shown(self) -> str:
        """The token as shown in error messages: its first characters in quotes, or a phrase for the end of the DDL."""
        if self.type == END:
            return "the end of the text"
        return f"'{self.text[:_SHOWN_LENGTH]}'"

    def is_word(self, word: str) -> bool:
        """Return whether the token is a given keyword, ignoring case. ``word`` must be in lower case."""
        return self.type == "word" and self.text.lower() == word


def tokenize(ddl: str, setting: str = "output.schema", code: ErrorCode = ErrorCode.OUTPUT_SCHEMA) -> list[Token]:
    """Split a DDL string into tokens. The last token has the type END.

    Args:
        ddl: the DDL string.
        setting: the setting that contains the string, for error messages.
        code: the error code for a `ConfigError`.

    Raises:
        ConfigError: the string has a character that DDL does not use, or an unclosed quote.
    """
    tokens, position, end = [], 0, len(ddl.rstrip())
    while position < end:
        match = _TOKEN.match(ddl, position)
        if match is None or match.lastgroup is None:
            raise _unknown_sign(ddl, position, setting, code)
        tokens.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    return [*tokens, Token(END, "", end)]


def unquote(literal: str) -> str:
    """Return the value of an SQL string literal, which may contain backslash escapes and doubled quotes.

    Raises:
        ValueError: an escape does not stand for a Unicode character.
    """
    text = _ESCAPE.sub(_unescape, literal[1:-1])
    text.encode()  # raises a ValueError for half of a surrogate pair
    return text


def _unescape(match: re.Match[str]) -> str:
    if match["short"] or match["long"]:
        number = int(match["short"] or match["long"], 16)
        return chr(min(number, sys.maxunicode + 1))  # `chr` raises an OverflowError for a much larger number
    if match["octal"]:
        return chr(int(match["octal"], 8))
    if match["twice"]:
        return match["twice"][0]
    return _LETTERS.get(match["letter"], match["letter"])


def _unknown_sign(ddl: str, position: int, setting: str, code: ErrorCode) -> ConfigError:
    start = position + len(ddl[position:]) - len(ddl[position:].lstrip())
    return ConfigError(
        code=code,
        what=f"{setting} at character {start + 1}",
        got=f"'{ddl[start]}'",
        expected="a name, a type, or one of < > ( ) , :",
        next_step="Put names with characters other than letters, digits and _ in backticks, and close every quote.",
    )
