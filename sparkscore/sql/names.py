"""Choose and check the names of SQL functions. Runs on the driver."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError

#: What follows the function's name in the names of its companions.
STRUCT: Final = "_struct"
TABLE: Final = "_table"
DESCRIBE: Final = "_describe"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Words that a query cannot use as the name of a function, or that Spark reads in another way.
# Source: https://spark.apache.org/docs/latest/sql-ref-ansi-compliance.html#sql-keywords
_RESERVED: Final = frozenset(
    """
    all and anti any array as asc between both by case cast collate column create cross cube current_date current_time
    current_timestamp current_user default delete desc describe distinct drop else end escape except exists extract
    false fetch filter for foreign from full function grant group grouping having in inner insert intersect interval
    into is join lateral leading left like limit map minus natural not null offset on only or order outer overlaps over
    partition position primary references right rollup row rows select semi session_user set some struct table
    tablesample then time to trailing true union unique unknown update user using values when where window with within
    """.split()  # noqa: SIM905 - a hundred words
)


def name_of_function(text: str) -> str:
    """Turn the name of a deployment or a model into a function's name. The result may still be refused.

    >>> name_of_function("heart-model"), name_of_function("Größe v2")
    ('heart_model', 'Groe_v2')
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "_", plain).strip("_")


def check_name(name: str) -> None:
    """Raise an error if a query could not call a function of this name without quotes.

    Raises:
        ConfigError: the name has other characters than letters, digits and underscores, begins with a digit, or is a
            reserved word.
    """
    is_reserved = name.lower() in _RESERVED
    if _NAME.fullmatch(name) and not is_reserved:
        return
    near = name_of_function(name)
    near = near if _NAME.fullmatch(near) and near.lower() not in _RESERVED else f"score_{near}".rstrip("_")
    raise ConfigError(
        code=ErrorCode.SQL_NAME,
        what=f"function name '{name}'",
        got="a reserved word of SQL" if is_reserved else "characters that the name of an SQL function cannot have",
        expected="letters, digits and underscores, beginning with a letter",
        state="Nothing was registered.",
        next_step=f"Choose another name, such as '{near}'.",
    )
