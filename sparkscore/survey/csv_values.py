"""Look at all values of CSV files, as Spark cuts them up, and say what each column holds (worker)."""

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
    """What a column holds.

    Attributes:
        seen: what its texts look like; nothing where a type is declared.
        nulls: number of its NULLs.
        misfits: number of its values that the declared type does not hold.
        file: the first file with such a value.
    """

    seen: Seen = field(default_factory=lambda: Seen(0))
    nulls: int = 0
    misfits: int = 0
    file: str = ""


@dataclass(frozen=True)
class SurveySpec:
    """What a task is told.

    Attributes:
        kinds: the declared type of each column, an empty text where it is to be found; the columns stand before the
            one with the row's file.
        also: texts that stand for numbers which are none, such as NaN.
        zone: the zone of times without one.
    """

    kinds: tuple[str, ...]
    also: frozenset[str] = frozenset()
    zone: str = UTC


@dataclass
class _Column:
    kind: str
    found: ColumnSurvey = field(default_factory=ColumnSurvey)

    def look(self, texts: pa.Array, files: pa.Array, spec: SurveySpec) -> None:
        found = replace(self.found, nulls=self.found.nulls + texts.null_count)
        if not self.kind:
            self.found = replace(found, seen=look_at(texts, found.seen))
            return
        wrong = find_misfits(texts, self.kind, spec.also if self.kind in {"float", "double"} else (), spec.zone)
        if len(wrong):
            first = min(plain_path(files[int(place)].as_py()) for place in wrong)
            file = min(first, found.file) if found.file else first
            found = replace(found, misfits=found.misfits + len(wrong), file=file)
        self.found = found


def survey(batches: Iterator[pa.RecordBatch], spec: SurveySpec) -> Iterator[pa.RecordBatch]:
    """Give a row for each column, when all rows of the task have been seen."""
    columns = [_Column(kind) for kind in spec.kinds]
    for batch in map(settle_types, batches):
        files = batch.column(len(columns))
        for column, texts in zip(columns, batch.columns, strict=False):
            column.look(texts, files, spec)
    rows = [
        {"number": number, "seen": int(found.seen), "nulls": found.nulls, "misfits": found.misfits, "file": found.file}
        for number, found in enumerate(column.found for column in columns)
    ]
    yield pa.RecordBatch.from_pylist(rows, schema=SURVEY_SCHEMA)


def joined(rows: list[dict[str, Any]], width: int) -> list[ColumnSurvey]:
    """Join what the tasks say of each column."""
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
