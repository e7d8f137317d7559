from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.cli.reply import print_text
from sparkscore.cli.summary import summary_of
from sparkscore.record.run_record import end_record, new_record, record_in


def run_with(rows: list[dict[str, Any]], **parts: Any) -> Any:
    content = end_record(new_record("r1", "d.yml", {}), "COMPLETE").as_dict() | parts
    return SimpleNamespace(recorded=record_in(content, "r1"), first_rows=lambda count: rows[:count])


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_lineage_that_is_the_same_in_every_row_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {
            "id": number,
            "prediction": number / 3,
            "run_id": "r1",
            "model_name": "m",
            "model_version": "1",
            "scored_at": datetime.now(UTC),
            "source_file": f"/very/long/folder/with/deep/parts/in/its/name/{number}.csv",
        }
        for number in range(9)
    ]

    print_text(summary_of(run_with(rows), Path("runs/r1")))

    lines = lines_of(capsys)
    head = next(index for index, line in enumerate(lines) if line.startswith("id"))
    assert lines[head].split() == ["id", "prediction", "source_file"]
    assert [line.split()[0] for line in lines[head + 2 : head + 7]] == ["0", "1", "2", "3", "4"]
    assert lines[head + 3].endswith("/in/its/name/1.csv")
    assert lines[-1] == "… and 4 more columns"


def test_of_many_columns_the_first_and_the_last_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_text(summary_of(run_with([{f"c{number}": number for number in range(30)}]), Path("runs/r1")))

    head = next(line for line in lines_of(capsys) if line.startswith("c0"))
    assert head.split() == ["c0", "c1", "c2", "c26", "c27", "c28", "c29"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "NULL"),
        (True, "True"),
        (0.1 + 0.2, "0.3"),
        (b"\x00" * 2048, "2,048 bytes"),
        ("[red]two\nlines[/red]", "[red]two lines[/red]"),
        ("x" * 100, "x" * 35 + "…"),
    ],
)
def test_a_value_takes_one_short_cell(capsys: pytest.CaptureFixture[str], value: object, shown: str) -> None:
    print_text(summary_of(run_with([{"a": value}]), Path("runs/r1")))

    assert lines_of(capsys)[-1].strip() == shown


def test_nothing_is_shown_of_an_empty_result(capsys: pytest.CaptureFixture[str]) -> None:
    print_text(summary_of(run_with([]), Path("runs/r1")))

    assert lines_of(capsys)[-1].split() == ["run", "record", "runs/r1/record.json"]


def test_the_lines_say_where_things_are(capsys: pytest.CaptureFixture[str]) -> None:
    run = run_with(
        [],
        started_at="2026-01-01T10:00:00.000Z",
        ended_at="2026-01-01T10:00:12.345Z",
        seconds={"plan": 1.0, "score": 9.04, "publish": 0.0},
        input={"format": "csv", "location": ["s3://in/a.csv", "s3://in/b.csv"], "skipped": {}},
        output={"format": "parquet", "location": f"{Path.cwd()}/out", "version": "run_id=r1", "rows": 7},
        quarantine={"location": f"{Path.cwd()}/out_quarantine", "rows": 1},
    )

    print_text(summary_of(run, Path("runs/r1")))

    assert lines_of(capsys) == [
        "COMPLETE  r1",
        "  deployment    d.yml",
        "  input         s3://in/a.csv and 1 more (csv)",
        "  seconds       12.3 (plan 1.0, score 9.0)",
        "  table         out/run_id=r1 (parquet, 7 rows)",
        "  quarantine    out_quarantine (1 row)",
        "  run record    runs/r1/record.json",
    ]
