from __future__ import annotations

import pyarrow as pa

from sparkscore.survey.csv_values import SURVEY_SCHEMA, ColumnSurvey, SurveySpec, join_columns, survey
from sparkscore.survey.text_types import Seen


def batch(*rows: tuple[str | None, ...]) -> pa.RecordBatch:
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=[f"c{place}" for place in range(len(columns))])


def surveyed(spec: SurveySpec, *batches: pa.RecordBatch) -> list[dict[str, object]]:
    (found,) = survey(iter(batches), spec)
    assert found.schema == SURVEY_SCHEMA
    return list(found.to_pylist())


def test_a_task_says_what_its_columns_hold() -> None:
    spec = SurveySpec(("", "smallint", "string", "double"), frozenset({"-"}))

    found = surveyed(
        spec,
        batch(("1", "7", "x", "-"), (None, "70000", None, "1.5"))
        .append_column("file", pa.array(["file:/in/b%20c.csv", "file:/in/b%20c.csv"])),
        batch(("0.5", "x", "x", "x")).append_column("file", pa.array(["file:/in/a.csv"])),
    )  # fmt: skip

    assert join_columns(found, 4) == [
        ColumnSurvey(Seen.INTEGER | Seen.DECIMAL, 1),
        ColumnSurvey(misfits=2, file="/in/a.csv"),
        ColumnSurvey(nulls=1),
        ColumnSurvey(misfits=1, file="/in/a.csv"),
    ]


def test_tasks_are_joined_in_any_order() -> None:
    spec = SurveySpec(("", "int"))
    parts = [
        surveyed(spec, batch(("1", "x")).append_column("file", pa.array(["/in/b.csv"]))),
        surveyed(spec, batch(("true", None)).append_column("file", pa.array(["/in/a.csv"]))),
        surveyed(spec),
    ]
    expected = [ColumnSurvey(Seen.INTEGER | Seen.BOOLEAN), ColumnSurvey(nulls=1, misfits=1, file="/in/b.csv")]

    assert join_columns([row for part in parts for row in part], 2) == expected
    assert join_columns([row for part in reversed(parts) for row in part], 2) == expected
    assert join_columns([], 2) == [ColumnSurvey(), ColumnSurvey()]
