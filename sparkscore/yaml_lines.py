"""Format strings as YAML in messages, so that users can copy them into a deployment file.

Runs on the driver and the workers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

# Strings without spaces, quotes or characters that have a meaning in YAML. Numbers do not match either.
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN_WORDS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*( [A-Za-z0-9_]+)*")
_DDL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]* [A-Za-z0-9_<>(),:` ]+")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off"})


def yaml_text(text: str) -> str:
    """Format a string as a YAML value. It is quoted unless it is a single word without a special meaning in YAML.

    >>> print(yaml_text("city"), yaml_text("the city"), yaml_text("no"))
    city "the city" "no"
    """
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def yaml_list(texts: Iterable[str]) -> str:
    """Format strings as a YAML list on one line.

    Strings are quoted in the same way as in `yaml_text`, except that a string of several plain words is not quoted.

    >>> print(yaml_list(["a", "b c", "d,e", "no"]))
    [a, b c, "d,e", "no"]
    """
    written = (text if " " in text and _PLAIN_WORDS.fullmatch(text) else yaml_text(text) for text in texts)
    return f"[{', '.join(written)}]"


def yaml_schema(ddl: str) -> str:
    """Format a schema in Spark's DDL as a YAML value, quoted if necessary.

    >>> print(yaml_schema("x double, y bigint"))
    x double, y bigint
    """
    return ddl if _DDL.fullmatch(ddl) and ": " not in ddl else json.dumps(ddl, ensure_ascii=False)
