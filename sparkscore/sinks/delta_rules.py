"""Check before a commit that the result follows the rules of the Delta table, since the commit would fail otherwise.

Runs on the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.types import StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkConflictError, SinkError, SinkSchemaError, names
from sparkscore.sinks.row_rules import (
    RowRule,
    broken_rules,
    evaluated_rules,
    is_identity_without_values,
    is_valid,
    rules_of,
)
from sparkscore.sinks.target import Target, check_same_partitioning
from sparkscore.spark.delta_log import read_columns
from sparkscore.spark.jvm_delta import supported_features
from sparkscore.spark.schema import quoted

# The last writer protocol version. Later requirements are table features. Source: delta-io/delta, PROTOCOL.md.
_LAST_WRITER_VERSION = 7


@dataclass(frozen=True)
class TableRules:
    """The rules of a Delta table that every writer must follow, for example NOT NULL, CHECK and table features.

    Attributes:
        spark: the session.
        target: the output; its path is the path of the table.
        detail: the row that ``DESCRIBE DETAIL`` returned for the table.
    """

    spark: SparkSession
    target: Target
    detail: Row

    @cached_property
    def _columns(self) -> list[dict[str, Any]]:
        return read_columns(self.target.path / "_delta_log")

    @cached_property
    def _of_rows(self) -> list[RowRule]:
        return rules_of(self._columns, self.detail["properties"] or {})

    def check(self, schema: StructType) -> None:
        """Check what does not depend on the rows: partition columns, mode, table features and identity columns.

        Also check that Spark can evaluate the conditions that the table sets for its rows, for example in CHECK
        constraints. Call this method inside `pinned_settings`.

        Args:
            schema: the result columns.

        Raises:
            SinkError: the table does not allow this write, the installed Delta version cannot write to the table, or
                Spark cannot evaluate one of the conditions for its rows.
        """
        check_same_partitioning(self.target, list(self.detail["partitionColumns"]))
        self._check_mode()
        self._check_features()
        self._check_identities()
        self._check_conditions(schema)

    def check_rows(self, rows: Callable[[], DataFrame], schema: StructType) -> None:
        """Check that no row breaks a rule of the table. Call this method inside `pinned_settings`.

        Rules about columns that are not in the rows are skipped.

        Args:
            rows: function that returns the rows. Before scoring, they contain only the columns with known values.
            schema: the result columns.

        Raises:
            SinkSchemaError: some rows break rules. The message lists each broken rule with the number of rows that
                break it. It also contains an SQL statement that removes the first broken rule, if there is such a
                statement.
        """
        if not self._of_rows:
            return
        frame = rows()
        unknown = set(schema.names) - set(frame.columns)
        broken = broken_rules(frame, evaluated_rules(self._of_rows, unknown))
        if broken:
            raise self._broken(broken, unknown)

    def _broken(self, broken: Sequence[tuple[RowRule, int]], unknown: Collection[str]) -> SinkSchemaError:
        rule, run_id = broken[0][0], self.target.run_id
        ending = f'end the rule with "ALTER TABLE {self._name} {rule.change}"' if rule.change else ""
        if unknown:
            steps = ["Correct the input or 'output.carry'", ending or "name another --output"]
        else:
            again = f"'sparkscore publish {run_id}'"
            steps = [f"{ending[:1].upper()}{ending[1:]} and run {again}"] if ending else []
            steps.append(f"drop the rows with {again[:-1]} --discard', correct the model or script, and run again")
        text = ", or ".join(steps)
        return SinkSchemaError(
            code=ErrorCode.OUTPUT_RULE,
            what=f"rows of the result break rules of the table '{self.target.path}'",
            got="; ".join(f"{found.name}: {count} rows" for found, count in broken),
            expected="rows that the table takes",
            state="Nothing was scored or written." if unknown else "Nothing was published; the scored rows are kept.",
            next_step=f"{text[:1].upper()}{text[1:]}.",
        )

    def _check_mode(self) -> None:
        is_append_only = (self.detail["properties"] or {}).get("delta.appendOnly", "").lower() == "true"
        if self.target.mode == "overwrite" and is_append_only:
            raise SinkConflictError(
                code=ErrorCode.OUTPUT_APPEND_ONLY,
                what=f"the Delta table '{self.target.path}'",
                got="mode 'overwrite', and the table's property delta.appendOnly",
                expected="mode 'append'",
                next_step="Use --mode append, or set the table's property to false.",
            )

    def _check_features(self) -> None:
        """Check that the installed Delta version supports the table's features and protocol version.

        If the supported features are unknown, nothing is checked here, and the commit may fail.
        """
        supported = supported_features(self.spark)
        if supported is None:
            return
        version, features = self.detail["minWriterVersion"], self.detail["tableFeatures"] or []
        missing = [feature for feature in features if feature.lower() not in supported]
        if missing or version > _LAST_WRITER_VERSION:
            raise SinkError(
                code=ErrorCode.OUTPUT_FEATURES,
                what=f"the Delta table '{self.target.path}'",
                got=f"table features {names(missing)}" if missing else f"version {version} of the writer's protocol",
                expected="features that the installed Delta can write",
                next_step="Install a newer delta-spark, or name another --output.",
            )

    def _check_identities(self) -> None:
        numbered = [column["name"] for column in self._columns if is_identity_without_values(column)]
        if numbered:
            raise SinkSchemaError(
                code=ErrorCode.OUTPUT_IDENTITY,
                what=f"columns {names(numbered)} of the table '{self.target.path}'",
                got="GENERATED ALWAYS AS IDENTITY, which takes no values",
                expected="columns that a result can fill",
                next_step="Name another --output, or make the table with GENERATED BY DEFAULT AS IDENTITY.",
            )

    def _check_conditions(self, schema: StructType) -> None:
        """Check that Spark can evaluate each rule on rows with the result columns."""
        if not self._of_rows:
            return
        result = self.spark.createDataFrame([], schema)
        wrong = [rule for rule in self._of_rows if not is_valid(result, rule)]
        if wrong:
            ending = f', or end it with "ALTER TABLE {self._name} {wrong[0].change}"' if wrong[0].change else ""
            raise SinkSchemaError(
                code=ErrorCode.OUTPUT_RULE,
                what=f"the table '{self.target.path}' has a rule that Spark cannot evaluate for the result",
                got="; ".join(rule.name for rule in wrong),
                expected="conditions over columns of the result, with functions that this session has",
                next_step=f"Register the functions that it needs in the session{ending}.",
            )

    @property
    def _name(self) -> str:
        return f"delta.{quoted(str(self.target.path))}"
