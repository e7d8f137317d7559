from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from sparkscore.survey.csv_bytes import Dialect
from sparkscore.survey.csv_files import (
    CutSpec,
    FilesSurvey,
    KeyValues,
    join_surveys,
    read_survey,
    survey_files,
    survey_files_as_json,
)
from sparkscore.survey.csv_values import ColumnSurvey, Surveyor, SurveySpec
from sparkscore.survey.text_types import Seen

INFERRED = CutSpec(SurveySpec(("", "")), has_header=True)


def files_in(folder: Path, texts: dict[str, str], keys: KeyValues = ()) -> dict[str, KeyValues]:
    for name, text in texts.items():
        (folder / name).write_text(text, newline="")
    return {str(folder / name): keys for name in texts}


def test_the_surveys_of_several_files_are_joined(tmp_path: Path) -> None:
    right_files = files_in(tmp_path, {"a": "id,x\n", "b": "id,y\n1,\n", "c": "id,x\n2,u\n"})
    wrong_files = files_in(tmp_path, {"e": 'x"\n', "d": '1,"\n'})

    right = survey_files(right_files, Dialect(), INFERRED)
    wrong = survey_files(wrong_files, Dialect(), INFERRED)

    assert right.fault is None
    assert right.headers == {("id", "x"): str(tmp_path / "a"), ("id", "y"): str(tmp_path / "b")}
    assert right.columns == [ColumnSurvey(Seen.INTEGER), ColumnSurvey(Seen.TEXT, nulls=1)]
    assert wrong.fault is not None
    assert wrong.fault[0] == str(tmp_path / "d")
    assert wrong.columns is None
    both = join_surveys([wrong, right])
    assert (both.fault, both.headers, both.columns) == (wrong.fault, right.headers, None)
    assert join_surveys([right, right]).columns == [ColumnSurvey(Seen.INTEGER), ColumnSurvey(Seen.TEXT, nulls=2)]
    assert join_surveys([]) == FilesSurvey(None, {}, [])
    for files, found in ((right_files, right), (wrong_files, wrong)):
        assert read_survey(survey_files_as_json((files, Dialect(), INFERRED))) == found


def test_values_of_partition_columns_count_for_each_row(tmp_path: Path) -> None:
    files = {
        **files_in(tmp_path, {"a": "id\n1\n2\n"}, keys=("7", None)),
        **files_in(tmp_path, {"b": "id\nx\n"}, keys=("300", "y")),
    }
    spec = CutSpec(SurveySpec(("int", "tinyint", "string")), has_header=True)

    assert survey_files(files, Dialect(), spec).columns == [
        ColumnSurvey(misfits=1, file=str(tmp_path / "b")),
        ColumnSurvey(misfits=1, file=str(tmp_path / "b")),
        ColumnSurvey(nulls=2),
    ]


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("id,x\n1\n", Dialect()),
        ("id\n1\n", Dialect()),
        ('id,x\n1,5" pipe\n', Dialect()),
        ("id,x\n1,\0\n", Dialect()),
        ("id,x\n1, 2\n", Dialect(skips_leading=True)),
        ("id,x\n1,\\\n", Dialect(escape="\\")),
        ("id,x\n#1,2\n", Dialect(comment="#")),
        ("id,x\n1,2\n", Dialect(line_end="\n")),
        ("\ufeff", Dialect()),
        ("id," + "x" * 100_000 + "\n", Dialect()),
    ],
)
def test_files_that_pyarrow_may_divide_in_another_way_are_left_to_spark(
    text: str, dialect: Dialect, tmp_path: Path
) -> None:
    found = survey_files(files_in(tmp_path, {"a": "id,x\n1,2\n", "b": text}), dialect, INFERRED)

    assert found.columns is None
    assert found.fault is None


def test_small_files_are_summarized_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(Surveyor, "add", _counting(Surveyor.add, calls))
    files = files_in(
        tmp_path, {f"{number:02}": f"id,x\n{number},{'z' if number in {7, 9} else 1}\n" for number in range(40)}
    )
    spec = CutSpec(SurveySpec(("", "int")), has_header=True)

    found = survey_files(files, Dialect(), spec).columns

    assert found == [ColumnSurvey(Seen.INTEGER), ColumnSurvey(misfits=2, file=str(tmp_path / "07"))]
    assert calls == [40]


def _counting(add: Callable[..., None], calls: list[int]) -> Callable[..., None]:
    def counted(surveyor: Surveyor, columns: list[pa.Array], file_of: Callable[[int], str]) -> None:
        calls.append(len(columns[0]))
        add(surveyor, columns, file_of)

    return counted


def test_a_string_that_stands_for_null_is_counted(tmp_path: Path) -> None:
    files = files_in(tmp_path, {"a": 'id,x\n1,NA\n"NA",""\n,x\n'})
    spec = CutSpec(SurveySpec(("", "string")), has_header=True, null_value="NA")

    assert survey_files(files, Dialect(), spec).columns == [ColumnSurvey(Seen.INTEGER, nulls=2), ColumnSurvey(nulls=1)]


def test_values_are_not_summarized_unless_wanted(tmp_path: Path) -> None:
    files = files_in(tmp_path, {"a": "id,x\n1,2\n"})

    assert survey_files(files, Dialect()).columns is None
    assert survey_files(files, Dialect(), INFERRED).columns is not None
