from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from sparkscore.config import Input
from sparkscore.errors import SourceError, SourceNotFoundError, SourceSchemaError
from sparkscore.location import plain_path
from sparkscore.minibatch import HIDDEN_COLUMNS, SOURCE_FILE_COLUMN
from sparkscore.sources import Source, open_source
from sparkscore.sources.rows import input_schema
from tests.support.all_types import write_all_types

ROWS = [{"id": number, "name": f"row {number}"} for number in range(25)]


def write_text_files(folder: Path, rows: list[dict[str, object]], spark: SparkSession) -> None:
    del spark
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        (folder / f"{row['id']:03}.txt").write_text(str(row["name"]))


def write_parquet(folder: Path, rows: list[dict[str, object]], spark: SparkSession) -> None:
    del spark
    folder.mkdir(parents=True, exist_ok=True)
    half = len(rows) // 2
    pq.write_table(pa.Table.from_pylist(rows[:half]), folder / "a.parquet")
    pq.write_table(pa.Table.from_pylist(rows[half:]), folder / "b.parquet")


def write_csv(folder: Path, rows: list[dict[str, object]], spark: SparkSession) -> None:
    del spark
    folder.mkdir(parents=True, exist_ok=True)
    pyarrow.csv.write_csv(pa.Table.from_pylist(rows), folder / "rows.csv")


def write_json(folder: Path, rows: list[dict[str, object]], spark: SparkSession) -> None:
    del spark
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))


def write_delta(folder: Path, rows: list[dict[str, object]], spark: SparkSession) -> None:
    spark.createDataFrame(rows, "id bigint, name string").coalesce(1).write.format("delta").mode("append").save(
        str(folder)
    )


WRITERS: dict[str, Callable[[Path, list[dict[str, object]], SparkSession], None]] = {
    "files": write_text_files,
    "parquet": write_parquet,
    "csv": write_csv,
    "json": write_json,
    "delta": write_delta,
}
OF_ROWS = [name for name in WRITERS if name != "files"]
OF_FILES = [name for name in WRITERS if name != "delta"]


@pytest.fixture(params=list(WRITERS))
def input_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def open_at(spark: SparkSession, location: Path | str | list[str], **more: object) -> Source:
    named = location if isinstance(location, list) else [str(location)]
    return open_source(spark, Input.model_validate({"location": named, **more}), is_files_by_default=False)


def items_of(source: Source) -> list[object]:
    frame = source.frame()
    if frame is None:
        return [Path(file.path).read_text() for file in source.snapshot.files]
    return [row["name"] for row in frame.orderBy("id").collect()]


def test_every_item_is_there_once_and_the_format_is_found(
    spark: SparkSession, tmp_path: Path, input_format: str
) -> None:
    WRITERS[input_format](tmp_path / "in", ROWS, spark)

    source = open_at(spark, tmp_path / "in")

    assert source.snapshot.format == input_format
    assert items_of(source) == [row["name"] for row in ROWS]
    assert source.snapshot.items in {len(ROWS), None}
    assert (source.snapshot.items is None) == (input_format == "csv")


def test_the_columns_are_those_of_the_frame(spark: SparkSession, tmp_path: Path, input_format: str) -> None:
    WRITERS[input_format](tmp_path / "in", ROWS, spark)

    source = open_at(spark, tmp_path / "in")

    frame = source.frame()
    assert source.columns() == (None if frame is None else input_schema(frame))


def test_the_columns_of_parquet_files_are_those_that_spark_finds(spark: SparkSession, tmp_path: Path) -> None:
    write_all_types(tmp_path / "by arrow")
    spark.read.parquet(str(tmp_path / "by arrow")).drop("day").write.parquet(str(tmp_path / "by spark"))
    pq.write_table(pa.table({"b": [1], "a": ["x"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": ["x"], "c": [1.0]}), tmp_path / "2.parquet")
    wanted = {"columns": ["text", "day", "id"]}
    declared = {"schema": "id bigint NOT NULL, many array<bigint>, day string"}

    for location, more in (
        ("by arrow", {}),
        ("by spark", {}),
        ("by arrow", wanted),
        ("by arrow", declared),
        ("?.parquet", {}),
    ):
        source = open_at(spark, tmp_path / location, **more)
        frame = source.frame()
        assert frame is not None
        assert source.columns() == input_schema(frame)
        assert source.snapshot.items == frame.count()


def test_the_size_is_that_of_the_data_files(spark: SparkSession, tmp_path: Path, input_format: str) -> None:
    WRITERS[input_format](tmp_path / "in", ROWS, spark)

    source = open_at(spark, tmp_path / "in")

    data = [file for file in (tmp_path / "in").iterdir() if file.is_file() and not file.name.startswith(".")]
    assert source.snapshot.size_bytes == sum(file.stat().st_size for file in data)


def test_what_comes_later_does_not_get_in(spark: SparkSession, tmp_path: Path, input_format: str) -> None:
    WRITERS[input_format](tmp_path / "in", ROWS[:20], spark)
    source = open_at(spark, tmp_path / "in", format=input_format)
    if input_format == "delta":
        write_delta(tmp_path / "in", ROWS[20:], spark)
    else:
        more = tmp_path / "more"
        WRITERS[input_format](more, ROWS[20:], spark)
        for file in more.iterdir():
            file.rename(tmp_path / "in" / f"later-{file.name}")

    assert items_of(source) == [row["name"] for row in ROWS[:20]]
    source.check_unchanged()


def test_the_version_tells_inputs_apart_and_equal_ones_not(
    spark: SparkSession, tmp_path: Path, input_format: str
) -> None:
    WRITERS[input_format](tmp_path / "in", ROWS[:20], spark)
    before = open_at(spark, tmp_path / "in").snapshot.version
    assert open_at(spark, tmp_path / "in").snapshot.version == before

    WRITERS[input_format](tmp_path / "in", ROWS, spark)

    assert open_at(spark, tmp_path / "in").snapshot.version != before


def test_an_input_without_items_is_refused(spark: SparkSession, tmp_path: Path, input_format: str) -> None:
    if input_format in {"csv", "json"}:
        pytest.skip("rows of text files are counted by reading them; the run itself refuses zero rows")
    WRITERS[input_format](tmp_path / "in", [], spark)
    if input_format == "parquet":
        for file in (tmp_path / "in").iterdir():
            pq.write_table(pa.table({"id": pa.array([], pa.int64())}), file)

    with pytest.raises(SourceNotFoundError, match=r"\[INPUT_EMPTY\]"):
        open_at(spark, tmp_path / "in", format=input_format)


def test_a_location_without_anything_is_refused(spark: SparkSession, tmp_path: Path, input_format: str) -> None:
    with pytest.raises(SourceNotFoundError, match=r"\[INPUT_NOT_FOUND\].*nowhere") as caught:
        open_at(spark, tmp_path / "nowhere" / "in", format=input_format)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("input_format", OF_ROWS)
def test_rows_know_their_file(spark: SparkSession, tmp_path: Path, input_format: str) -> None:
    WRITERS[input_format](tmp_path / "in [1] %20 é", ROWS, spark)

    frame = open_at(spark, tmp_path / "in [1] %20 é", format=input_format).frame()

    assert frame is not None
    files = {plain_path(row[0]) for row in frame.select(SOURCE_FILE_COLUMN).distinct().collect()}
    assert files
    assert all(Path(file).is_file() and Path(file).parent == tmp_path / "in [1] %20 é" for file in files)


@pytest.mark.parametrize("input_format", OF_ROWS)
def test_columns_can_be_chosen_and_unknown_ones_are_named(
    spark: SparkSession, tmp_path: Path, input_format: str
) -> None:
    WRITERS[input_format](tmp_path / "in", ROWS, spark)

    frame = open_at(spark, tmp_path / "in", columns=["name"]).frame()

    assert frame is not None
    assert frame.columns == ["name", *HIDDEN_COLUMNS]
    with pytest.raises(SourceSchemaError, match=r"no column 'nam'.*'id', 'name'"):
        open_at(spark, tmp_path / "in", columns=["nam"])


@pytest.mark.parametrize("input_format", OF_FILES)
def test_hidden_files_are_left_out_and_counted(spark: SparkSession, tmp_path: Path, input_format: str) -> None:
    WRITERS[input_format](tmp_path / "in", ROWS, spark)
    a_file = next((tmp_path / "in").iterdir())
    for name in ("_SUCCESS", ".hidden", f"_{a_file.name}"):
        (tmp_path / "in" / name).write_bytes(a_file.read_bytes())

    source = open_at(spark, tmp_path / "in")

    assert items_of(source) == [row["name"] for row in ROWS]
    assert sum(source.snapshot.skipped.values()) == 3


@pytest.mark.parametrize("input_format", [name for name in OF_FILES if name != "files"])
def test_empty_files_are_left_out_and_counted(spark: SparkSession, tmp_path: Path, input_format: str) -> None:
    WRITERS[input_format](tmp_path / "in", ROWS, spark)
    ending = next((tmp_path / "in").iterdir()).suffix
    (tmp_path / "in" / f"zzz{ending}").touch()

    source = open_at(spark, tmp_path / "in")

    assert items_of(source) == [row["name"] for row in ROWS]
    assert source.snapshot.skipped == {"empty: 0 bytes": 1}


def test_an_empty_file_is_an_item_where_files_are_items(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "empty.txt").touch()

    assert open_at(spark, tmp_path / "in").snapshot.items == 1


@pytest.mark.parametrize("input_format", OF_FILES)
def test_a_file_that_changes_is_noticed(spark: SparkSession, tmp_path: Path, input_format: str) -> None:
    WRITERS[input_format](tmp_path / "in", ROWS, spark)
    source = open_at(spark, tmp_path / "in")
    a_file = min((tmp_path / "in").iterdir())

    os.utime(a_file, ns=(1, 1))

    with pytest.raises(SourceError, match=rf"\[INPUT_CHANGED\].*{a_file.name}"):
        source.check_unchanged()


@pytest.mark.parametrize("input_format", OF_FILES)
def test_globs_and_lists_name_files_once(spark: SparkSession, tmp_path: Path, input_format: str) -> None:
    WRITERS[input_format](tmp_path / "in", ROWS, spark)
    a_file = min((tmp_path / "in").iterdir())

    source = open_at(spark, [str(tmp_path / "*"), str(a_file)], format=input_format)

    assert items_of(source) == [row["name"] for row in ROWS]
    assert source.snapshot.skipped == {"named more than once": 1}


@pytest.mark.parametrize(
    "name", ["a [1].csv", "{a,b}.csv", "st*r.csv", "qu?.csv", "back\\slash.csv", "%20 #+&'é\n.csv"]
)
def test_odd_file_names_are_read_as_they_are(spark: SparkSession, tmp_path: Path, name: str) -> None:
    write_csv(tmp_path / "in", ROWS, spark)
    (tmp_path / "in" / "rows.csv").rename(tmp_path / "in" / name)

    source = open_at(spark, tmp_path / "in")

    assert items_of(source) == [row["name"] for row in ROWS]
    frame = source.frame()
    assert frame is not None
    assert plain_path(frame.select(SOURCE_FILE_COLUMN).first()[0]) == str(tmp_path / "in" / name)  # type: ignore[index]


def test_a_pattern_in_a_name_is_refused_where_spark_would_not_find_the_file(
    spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "in [1]").mkdir()
    (tmp_path / "in [1]" / "rows.json").write_text(json.dumps(ROWS, indent=1))

    with pytest.raises(SourceError, match=r"\[INPUT_NAME\].*input\.schema"):
        open_at(spark, tmp_path / "in [1]", options={"multiLine": "true", "inferTimestamp": "true"})
    assert items_of(open_at(spark, tmp_path / "in [1]", options={"multiLine": "true"}))


def test_a_colon_in_a_name_is_refused_by_name(spark: SparkSession, tmp_path: Path) -> None:
    write_csv(tmp_path / "in", ROWS, spark)
    (tmp_path / "in" / "rows.csv").rename(tmp_path / "in" / "10:30.csv")

    with pytest.raises(SourceError, match=r"\[INPUT_NAME\].*10:30\.csv"):
        open_at(spark, tmp_path / "in")


def test_partition_folders_become_columns_of_text(spark: SparkSession, tmp_path: Path) -> None:
    for value in ("01", "1", "1.0"):
        write_csv(tmp_path / "in" / f"part={value}", ROWS[:2], spark)
    setting = "spark.sql.sources.partitionColumnTypeInference.enabled"
    before = str(spark.conf.get(setting))
    spark.conf.set(setting, "true")
    try:
        frame = open_at(spark, tmp_path / "in").frame()
        assert spark.conf.get(setting) == "true", "the session is not ours to change"
    finally:
        spark.conf.set(setting, before)

    assert frame is not None
    assert sorted(row["part"] for row in frame.select("part").distinct().collect()) == ["01", "1", "1.0"]


def test_a_row_that_does_not_parse_is_no_row_of_nulls(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "rows.csv").write_text("id,x\n1,2\nx,3\n")
    source = open_at(spark, tmp_path / "in", schema="id bigint, x bigint")

    frame = source.frame()

    with pytest.raises(SourceError, match=r"\[INPUT_VALUE\].*'id'.*rows\.csv.*bigint"):
        source.check_contents()
    assert frame is not None
    with pytest.raises(Exception, match="INPUT_VALUE"):
        frame.collect()


@pytest.mark.parametrize("setting", ["spark.sql.files.ignoreCorruptFiles", "spark.sql.files.ignoreMissingFiles"])
def test_the_session_cannot_make_spark_pass_over_files(spark: SparkSession, tmp_path: Path, setting: str) -> None:
    write_parquet(tmp_path / "in", ROWS, spark)
    source = open_at(spark, tmp_path / "in")
    source.frame()  # Spark looks for the files when the frame is made, and again when it reads them
    if "Missing" in setting:
        (tmp_path / "in" / "b.parquet").unlink()
    else:
        (tmp_path / "in" / "b.parquet").write_bytes(b"PAR1 this is no Parquet file PAR1")
    spark.conf.set(setting, "true")
    try:
        frame = source.frame()
        assert frame is not None
        with pytest.raises(Exception, match="FAILED_READ_FILE"):
            frame.collect()
    finally:
        spark.conf.unset(setting)


def test_an_older_version_of_a_table_can_be_asked_for(spark: SparkSession, tmp_path: Path) -> None:
    write_delta(tmp_path / "in", ROWS[:20], spark)
    write_delta(tmp_path / "in", ROWS[20:], spark)

    source = open_at(spark, tmp_path / "in", version=0)

    assert (source.snapshot.version, source.snapshot.items) == (0, 20)
    assert len(items_of(source)) == 20
    with pytest.raises(SourceNotFoundError, match=r"\[INPUT_VERSION\].*from 0 to 1"):
        open_at(spark, tmp_path / "in", version=7)


def test_a_folder_of_mixed_files_is_an_input_of_files(spark: SparkSession, tmp_path: Path) -> None:
    write_csv(tmp_path / "in", ROWS, spark)
    (tmp_path / "in" / "readme.txt").write_text("about")

    assert open_at(spark, tmp_path / "in").snapshot.format == "files"


def test_azure_deployments_read_files_unless_they_say_otherwise(spark: SparkSession, tmp_path: Path) -> None:
    write_csv(tmp_path / "in", ROWS, spark)

    source = open_source(spark, Input(location=(str(tmp_path / "in"),)), is_files_by_default=True)

    assert source.snapshot.format == "files"


def two_csv_files(folder: Path, first: str, second: str) -> None:
    folder.mkdir()
    (folder / "a.csv").write_text(first)
    (folder / "b.csv").write_text(second)


@pytest.mark.parametrize("second", ["id,bmi,age\n2,21,31\n", "id,age,weight\n2,31,80\n", "id,age\n2,31\n"])
def test_csv_files_with_other_headers_are_not_read_by_position(
    spark: SparkSession, tmp_path: Path, second: str
) -> None:
    two_csv_files(tmp_path / "in", "id,age,bmi\n1,30,20\n", second)

    with pytest.raises(SourceSchemaError, match=r"\[INPUT_HEADERS\].*b\.csv.*a\.csv"):
        open_at(spark, tmp_path / "in")


def test_csv_quotes_and_line_ends_are_those_of_rfc_4180(spark: SparkSession, tmp_path: Path) -> None:
    texts = ['say "hi"', 'a "b, c" d', "C:\\", "two\nlines", "Grüße"]
    two_csv_files(tmp_path / "in", "id,name\n", "id,name\n")
    with (tmp_path / "in" / "a.csv").open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([["id", "name"], *enumerate(texts)])

    assert items_of(open_at(spark, tmp_path / "in")) == texts


@pytest.mark.parametrize("input_format", ["parquet", "csv"])
@pytest.mark.parametrize("subfolder", ["", "other=1"])
def test_files_beside_partition_folders_are_not_left_out(
    spark: SparkSession, tmp_path: Path, input_format: str, subfolder: str
) -> None:
    WRITERS[input_format](tmp_path / "in" / "part=1", ROWS[:10], spark)
    WRITERS[input_format](tmp_path / "in" / subfolder, ROWS[10:], spark)

    with pytest.raises(SourceSchemaError, match=r"\[INPUT_PARTITIONS\]"):
        open_at(spark, tmp_path / "in")


def test_a_partition_key_that_is_a_column_too_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    write_csv(tmp_path / "in" / "id=7", ROWS, spark)

    with pytest.raises(SourceSchemaError, match=r"\[INPUT_PARTITIONS\].*'id'"):
        open_at(spark, tmp_path / "in")


def test_parquet_files_of_different_columns_keep_all_of_them(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"id": [1]}), tmp_path / "in" / "a.parquet")
    pq.write_table(pa.table({"id": [2], "more": [0.5]}), tmp_path / "in" / "b.parquet")

    frame = open_at(spark, tmp_path / "in").frame()

    assert frame is not None
    assert sorted(tuple(row)[:2] for row in frame.collect()) == [(1, None), (2, 0.5)]


@pytest.mark.parametrize("input_format", ["parquet", "json"])
def test_a_declared_column_that_no_file_has_is_not_null_everywhere(
    spark: SparkSession, tmp_path: Path, input_format: str
) -> None:
    WRITERS[input_format](tmp_path / "in", ROWS, spark)

    with pytest.raises(SourceSchemaError, match=r"\[INPUT_COLUMNS\].*'Id'.*'id', 'name'"):
        open_at(spark, tmp_path / "in", schema="Id bigint, name string")


@pytest.mark.parametrize("subfolder", ["in", "in/part=a", "."])
def test_data_files_of_a_delta_table_are_not_read_without_its_log(
    spark: SparkSession, tmp_path: Path, subfolder: str
) -> None:
    spark.range(3).selectExpr("id", "'a' AS part").write.format("delta").partitionBy("part").save(str(tmp_path / "in"))

    with pytest.raises(SourceError, match=r"\[INPUT_IS_DELTA\].*--input-format delta"):
        open_at(spark, tmp_path / subfolder, format="parquet")


def test_names_that_spark_cannot_tell_apart_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    two_csv_files(tmp_path / "in", f"id,{SOURCE_FILE_COLUMN}\n1,2\n", f"id,{SOURCE_FILE_COLUMN}\n1,2\n")

    with pytest.raises(SourceSchemaError, match=r"\[INPUT_COLUMN_NAMES\]"):
        open_at(spark, tmp_path / "in")


@pytest.mark.parametrize(("one", "other"), [("id", "ID"), ("k", "\u212a")])
def test_columns_that_spark_takes_for_one_are_named(spark: SparkSession, tmp_path: Path, one: str, other: str) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({one: [1], other: [2]}), tmp_path / "in" / "a.parquet")

    with pytest.raises(SourceSchemaError, match=rf"\[INPUT_COLUMN_NAMES\].*'{one}'"):
        open_at(spark, tmp_path / "in")


def test_a_null_is_known_or_not_and_none_is_another_answer(
    spark: SparkSession, tmp_path: Path, input_format: str
) -> None:
    WRITERS[input_format](
        tmp_path / "in", [{**row, "name": None if row["id"] == 7 else row["name"]} for row in ROWS], spark
    )

    found = open_at(spark, tmp_path / "in").count_nulls(["id", "name"])

    if input_format in {"parquet", "delta"}:
        assert found == {"id": 0, "name": 1}
    assert found.items() <= {"id": 0, "name": 1}.items()
