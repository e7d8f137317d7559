"""Summarize the values in each column of CSV files, which Spark reads as strings (driver and worker)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from sparkscore.location import plain_path
from sparkscore.survey.declared_texts import UTC, find_misfits
from sparkscore.survey.text_types import Seen, look_at
from sparkscore.worker.intake import settle_types

SURVEY_SCHEMA: Final = pa.schema(
    [
        ("number", pa.int32()),
        ("seen", pa.int32()),
        ("nulls", pa.int64()),
        ("misfits", pa.int64()),
        ("file", pa.string()),
    ]
)


@dataclass(frozen=True)
class ColumnSurvey:
    """A summary of the values in one column of CSV files.

    Attributes:
        seen: flags for the types that the strings of the column look like. No flags if the column has a type in
            `SurveySpec`.
        nulls: the number of NULLs.
        misfits: the number of values that do not fit the type in `SurveySpec`.
        file: the first path, in sorted order, of a file with a value that does not fit; or an empty string.
    """

    seen: Seen = field(default_factory=lambda: Seen(0))
    nulls: int = 0
    misfits: int = 0
    file: str = ""


@dataclass(frozen=True)
class SurveySpec:
    """The settings of `survey`, which are sent to the Spark tasks.

    Attributes:
        types: Spark's name of the type of each column, or an empty string if the type is to be inferred. The record
            batches that `survey` reads have these columns in this order, followed by a column with the file of each
            row.
        special: the strings that the user sets for NaN and infinity.
        zone: the time zone for timestamps without a time zone.
    """

    types: tuple[str, ...]
    special: frozenset[str] = frozenset()
    zone: str = UTC


@dataclass
class _Column:
    spark_type: str
    found: ColumnSurvey = field(default_factory=ColumnSurvey)

    def add(self, texts: pa.Array, files: pa.Array, spec: SurveySpec) -> None:
        found = replace(self.found, nulls=self.found.nulls + texts.null_count)
        if not self.spark_type:
            self.found = replace(found, seen=look_at(texts, found.seen))
            return
        special = spec.special if self.spark_type in {"float", "double"} else ()
        misfits = find_misfits(texts, self.spark_type, special, spec.zone)
        if len(misfits):
            first = min(plain_path(files[int(index)].as_py()) for index in misfits)
            file = min(first, found.file) if found.file else first
            found = replace(found, misfits=found.misfits + len(misfits), file=file)
        self.found = found


def survey(batches: Iterator[pa.RecordBatch], spec: SurveySpec) -> Iterator[pa.RecordBatch]:
    """Read all record batches of a task, then yield one record batch in which each row is the summary of a column."""
    columns = [_Column(spark_type) for spark_type in spec.types]
    for batch in map(settle_types, batches):
        files = batch.column(len(columns))
        for column, texts in zip(columns, batch.columns, strict=False):
            column.add(texts, files, spec)
    rows = [
        {"number": number, "seen": int(found.seen), "nulls": found.nulls, "misfits": found.misfits, "file": found.file}
        for number, found in enumerate(column.found for column in columns)
    ]
    yield pa.RecordBatch.from_pylist(rows, schema=SURVEY_SCHEMA)


def join_columns(rows: list[dict[str, Any]], width: int) -> list[ColumnSurvey]:
    """Merge the rows that `survey` yielded in all tasks into one summary per column.

    Args:
        rows: the rows, as dictionaries.
        width: the number of columns.
    """
    found = [ColumnSurvey() for _ in range(width)]
    for row in rows:
        before = found[row["number"]]
        files = [file for file in (before.file, row["file"]) if file]
        found[row["number"]] = ColumnSurvey(
            before.seen | Seen(row["seen"]),
            before.nulls + row["nulls"],
            before.misfits + row["misfits"],
            min(files, default=""),
        )
    return found
