"""Find rows that break a rule of a Delta table: NOT NULL, CHECK, string lengths, generated columns.

Runs on the driver.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pyspark.sql import DataFrame
from pyspark.sql.functions import coalesce, count_if, expr, lit

from sparkscore.spark.connect_errors import connect_error_behind
from sparkscore.spark.errors import SPARK_ERRORS
from sparkscore.spark.schema import quoted

_CHECKS: Final = "delta.constraints."
_LENGTH: Final = re.compile(r"(?:var)?char\((\d+)\)")
# Source: Delta's code. Its protocol describes all of these column properties but the last.
_GENERATED, _INVARIANT, _KIND = "delta.generationExpression", "delta.invariants", "__CHAR_VARCHAR_TYPE_STRING"


@dataclass(frozen=True)
class RowRule:
    """A rule that each row of a Delta table must follow.

    Attributes:
        name: description of the rule, for messages.
        condition: Spark SQL expression that must be true for each row. A row for which it is NULL breaks the rule.
        change: end of the ``ALTER TABLE`` statement that removes the rule, for example ``DROP CONSTRAINT positive``, or
            an empty string if there is no such statement.
    """

    name: str
    condition: str
    change: str = ""


def rules_of(columns: Sequence[Mapping[str, Any]], properties: Mapping[str, str]) -> list[RowRule]:
    """Derive a Delta table's row rules from its columns and properties.

    Args:
        columns: the table's columns, as returned by `read_columns`.
        properties: the table's properties, which include the CHECK constraints.
    """
    rules = [
        RowRule(f"CHECK constraint '{key.removeprefix(_CHECKS)}'", condition, _drop(key.removeprefix(_CHECKS)))
        for key, condition in properties.items()
        if key.startswith(_CHECKS)
    ]
    return [*rules, *(rule for column in columns for rule in _rules_of_column(column, ()))]


def evaluated_rules(rules: Sequence[RowRule], unknown: Collection[str]) -> list[RowRule]:
    """Return the rules that can already be evaluated: those whose conditions do not refer to unknown columns.

    Args:
        rules: the table's rules.
        unknown: names of the columns whose values are not known yet.
    """
    return [rule for rule in rules if not any(_may_name(rule.condition, name) for name in unknown)]


def broken_rules(rows: DataFrame, rules: Sequence[RowRule]) -> list[tuple[RowRule, int]]:
    """Return each rule that is broken, with the number of rows that break it."""
    if not rules:
        return []
    broken = (count_if(~coalesce(expr(rule.condition), lit(False))) for rule in rules)
    counts = rows.agg(*(count.alias(str(number)) for number, count in enumerate(broken))).first()
    return [(rule, count) for rule, count in zip(rules, counts or (), strict=False) if count]


def is_valid(rows: DataFrame, rule: RowRule) -> bool:
    """Return whether Spark can evaluate a rule on a DataFrame's columns. No rows are read."""
    try:
        return bool(rows.where(rule.condition).columns)
    except SPARK_ERRORS as error:
        if connect_error_behind(error) is not None:
            raise
        return False


def is_identity_without_values(column: Mapping[str, Any]) -> bool:
    """Return whether a column is ``GENERATED ALWAYS AS IDENTITY``, which means that only Delta may write its values."""
    return column["metadata"].get("delta.identity.allowExplicitInsert") is False


def _rules_of_column(column: Mapping[str, Any], parents: tuple[str, ...]) -> Iterator[RowRule]:
    path = (*parents, quoted(column["name"]))
    name, column_type, about = ".".join(path), column["type"], column["metadata"]
    if not column["nullable"]:
        # A NULL struct is allowed, even if a field of the struct must not be NULL.
        whole = "".join(f"{'.'.join(path[:end])} IS NULL OR " for end in range(1, len(path)))
        change = f"ALTER COLUMN {name} DROP NOT NULL"
        yield RowRule(f"column {name} NOT NULL", f"{whole}{name} IS NOT NULL", change)
    if length := _LENGTH.fullmatch(str(about.get(_KIND, ""))):
        longest = f"{name} IS NULL OR length({name}) <= {length[1]}"
        yield RowRule(f"column {name} {length[0]}", longest)
    if generated := about.get(_GENERATED):
        yield RowRule(f"column {name} GENERATED ALWAYS AS ({generated})", f"{name} <=> ({generated})")
    if invariant := about.get(_INVARIANT):
        condition = json.loads(invariant)["expression"]["expression"]
        yield RowRule(f"invariant of column {name}", condition)
    if isinstance(column_type, dict) and column_type.get("type") == "struct":
        for field in column_type["fields"]:
            yield from _rules_of_column(field, path)


def _may_name(condition: str, column: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", condition.replace("``", "`"), re.IGNORECASE) is not None


def _drop(name: str) -> str:
    return f"DROP CONSTRAINT {quoted(name)}"
