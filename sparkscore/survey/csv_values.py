"""Summarize the strings in each column of CSV files. Runs on the driver and the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
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
        seen: flags for the types that the column's strings look like. Empty if `SurveySpec` gives the column's type.
        nulls: the number of NULLs.
        misfits: the number of values that do not fit the type in `SurveySpec`.
        file: the path of a file with a value that does not fit, or an empty string if there is none. If several files
            have such a value, this is the path that comes first in sorted order.
    """

    seen: Seen = field(default_factory=lambda: Seen(0))
    nulls: int = 0
    misfits: int = 0
    file: str = ""


@dataclass(frozen=True)
class SurveySpec:
    """The column types and options that a `Surveyor` needs. They are sent to the Spark tasks.

    Attributes:
        types: Spark's name of each column's type, or an empty string to infer the type.
        special: the strings that the user sets for NaN and infinity.
        zone: the time zone for timestamps without a time zone.
    """

    types: tuple[str, ...]
    special: frozenset[str] = frozenset()
    zone: str = UTC


class Surveyor:
    """Summarizes the values in the columns of CSV files, batch by batch."""

    def __init__(self, spec: SurveySpec) -> None:
        self._spec = spec
        self._found = [ColumnSurvey() for _ in spec.types]

    @property
    def found(self) -> list[ColumnSurvey]:
        """A summary of each column, in the order of `SurveySpec.types`."""
        return list(self._found)

    def add(self, columns: Sequence[pa.Array], file_of: Callable[[int], str]) -> None:
        """Add a batch of rows.

        Args:
            columns: the strings of each column.
            file_of: a function that maps a row's index in the batch to the path of the row's file.
        """
        self._found = [
            self._add(found, texts, spark_type, file_of)
            for found, texts, spark_type in zip(self._found, columns, self._spec.types, strict=True)
        ]

    def _add(
        self, before: ColumnSurvey, texts: pa.Array, spark_type: str, file_of: Callable[[int], str]
    ) -> ColumnSurvey:
        found = replace(before, nulls=before.nulls + texts.null_count)
        if not spark_type:
            return replace(found, seen=look_at(texts, found.seen))
        special = self._spec.special if spark_type in {"float", "double"} else ()
        misfits = find_misfits(texts, spark_type, special, self._spec.zone)
        if not len(misfits):
            return found
        files = {file_of(int(index)) for index in misfits} | ({found.file} - {""})
        return replace(found, misfits=found.misfits + len(misfits), file=min(files))


def survey(batches: Iterator[pa.RecordBatch], spec: SurveySpec) -> Iterator[pa.RecordBatch]:
    """Read all record batches of a task, then yield one record batch with a row for each column's summary.

    The task's record batches have the columns of ``spec``, followed by a column with the file of each row.
    """
    surveyor = Surveyor(spec)
    for batch in map(settle_types, batches):
        *columns, files = batch.columns
        surveyor.add(columns, partial(_path_in, files))
    yield pa.RecordBatch.from_pylist(
        [{"number": number, **as_plain(found)} for number, found in enumerate(surveyor.found)], schema=SURVEY_SCHEMA
    )


def _path_in(files: pa.Array, index: int) -> str:
    return plain_path(files[index].as_py())


def as_plain(found: ColumnSurvey) -> dict[str, Any]:
    """Return the summary of a column as a dictionary for JSON or Arrow."""
    return {"seen": int(found.seen), "nulls": found.nulls, "misfits": found.misfits, "file": found.file}


def from_plain(plain: Mapping[str, Any]) -> ColumnSurvey:
    """Create a `ColumnSurvey` from a dictionary returned by `as_plain`. Other keys are ignored."""
    return ColumnSurvey(Seen(plain["seen"]), plain["nulls"], plain["misfits"], plain["file"])


def merge(parts: Iterable[Sequence[ColumnSurvey]]) -> list[ColumnSurvey]:
    """Merge the summaries of several sets of rows. Each part has one summary per column, in the same order."""
    return [reduce(_both, columns) for columns in zip(*parts, strict=True)]


def _both(one: ColumnSurvey, other: ColumnSurvey) -> ColumnSurvey:
    file = min({one.file, other.file} - {""}, default="")
    return ColumnSurvey(one.seen | other.seen, one.nulls + other.nulls, one.misfits + other.misfits, file)


def join_columns(rows: list[dict[str, Any]], width: int) -> list[ColumnSurvey]:
    """Merge the rows that `survey` yielded in all tasks into one summary per column.

    Args:
        rows: the rows, as dictionaries.
        width: the number of columns.
    """
    by_column: list[list[ColumnSurvey]] = [[ColumnSurvey()] for _ in range(width)]
    for row in rows:
        by_column[row["number"]].append(from_plain(row))
    return [reduce(_both, parts) for parts in by_column]
