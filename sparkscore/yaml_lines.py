"""Write strings as YAML for messages, so that users can copy them into a deployment file (driver and worker)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

# Strings without spaces, quotes and characters that have a meaning in YAML; numbers are excluded too.
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN_WORDS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*( [A-Za-z0-9_]+)*")
_DDL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]* [A-Za-z0-9_<>(),:` ]+")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off"})


def yaml_text(text: str) -> str:
    """Return a string as a YAML value, in quotes unless it is a single word without a special meaning in YAML.

    >>> print(yaml_text("city"), yaml_text("the city"), yaml_text("no"))
    city "the city" "no"
    """
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def yaml_list(texts: Iterable[str]) -> str:
    """Return strings as a YAML list on one line, in quotes if they may need them.

    Unlike `yaml_text`, this function writes no quotes around several plain words with single spaces between them.

    >>> print(yaml_list(["a", "b c", "d,e", "no"]))
    [a, b c, "d,e", "no"]
    """
    written = (text if " " in text and _PLAIN_WORDS.fullmatch(text) else yaml_text(text) for text in texts)
    return f"[{', '.join(written)}]"


def yaml_schema(ddl: str) -> str:
    """Return a schema in Spark's DDL as a YAML value, in quotes if it may need them.

    >>> print(yaml_schema("x double, y bigint"))
    x double, y bigint
    """
    return ddl if _DDL.fullmatch(ddl) and ": " not in ddl else json.dumps(ddl, ensure_ascii=False)
