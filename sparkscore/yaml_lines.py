"""Write texts and lists as a line of a deployment holds them, for advice that can be pasted (driver and worker)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

# Without blanks, quotes and signs that mean something to YAML, and no number.
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN_WORDS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*( [A-Za-z0-9_]+)*")
_DDL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]* [A-Za-z0-9_<>(),:` ]+")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off"})


def yaml_text(text: str) -> str:
    """Write a text as YAML, in quotes where it needs them.

    >>> print(yaml_text("city"), yaml_text("the city"), yaml_text("no"))
    city "the city" "no"
    """
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def yaml_list(texts: Iterable[str]) -> str:
    """Write texts as a list of YAML, where a blank needs no quotes.

    >>> print(yaml_list(["a", "b c", "d,e", "no"]))
    [a, b c, "d,e", "no"]
    """
    written = (text if " " in text and _PLAIN_WORDS.fullmatch(text) else yaml_text(text) for text in texts)
    return f"[{', '.join(written)}]"


def yaml_schema(ddl: str) -> str:
    """Write the columns of a schema as YAML: as they are, unless the first name needs quotes of its own.

    >>> print(yaml_schema("x double, y bigint"))
    x double, y bigint
    """
    return ddl if _DDL.fullmatch(ddl) and ": " not in ddl else json.dumps(ddl, ensure_ascii=False)
