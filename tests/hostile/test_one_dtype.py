"""A column has one dtype in a run: the same text of it in every mini-batch, wherever the NULL is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore.config import Input
from sparkscore.sources import open_source
from sparkscore.sources.rows import find_nulls
from tests.support.ledger import check_ledger, read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
COUNT = 60
# The NULL stands alone in the third of six mini-batches.
WITH_NULL = [None if number == 25 else 10_000 + number for number in range(COUNT)]
SEEN = """
def run(frame):
    if frame['id'].isin(BAD).any():
        raise ValueError('bad')
    flags = frame['flag'].dtype if 'flag' in frame else ''
    return [f'{value} {frame["code"].dtype} {flags}' for value in frame['code']]
"""
SETTINGS: dict[str, Any] = {"mini_batch_size": 10, "retry_settings": {"max_retries": 0}}


def script(*bad: int) -> str:
    return SEEN.replace("BAD", str(list(bad)))


def rows_of(codes: list[int | None]) -> pa.Table:
    flags = [None if code is None else code % 2 == 0 for code in codes]
    return pa.table(
        {
            "id": pa.array(range(COUNT), pa.int64()),
            "code": pa.array(codes, pa.int64()),
            "flag": flags,
            "big": pa.array([2**53 + 1 + number for number in range(COUNT)], pa.int64()),
        }
    )


def write_parquet(place: Path, rows: pa.Table, spark: SparkSession) -> None:
    del spark
    pq.write_table(rows, place, row_group_size=20)


def write_bare_parquet(place: Path, rows: pa.Table, spark: SparkSession) -> None:
    del spark
    pq.write_table(rows, place, write_statistics=False)


def write_csv(place: Path, rows: pa.Table, spark: SparkSession) -> None:
    del spark
    pyarrow.csv.write_csv(rows, place)


def write_json(place: Path, rows: pa.Table, spark: SparkSession) -> None:
    del spark
    lines = ({name: value for name, value in row.items() if value is not None} for row in rows.to_pylist())
    place.write_text("\n".join(map(json.dumps, lines)))


def write_delta(place: Path, rows: pa.Table, spark: SparkSession) -> None:
    spark.createDataFrame(rows).coalesce(1).write.format("delta").save(str(place))


WRITERS: dict[str, Callable[[Path, pa.Table, SparkSession], None]] = {
    "rows.parquet": write_parquet, "bare.parquet": write_bare_parquet, "rows.csv": write_csv, "rows.jsonl": write_json,
    "delta": write_delta,
}  # fmt: skip


def forms(output: Path) -> set[str]:
    """Give the dtypes that the script saw."""
    return {text.partition(" ")[2] for text in read_table(output)["prediction"].to_pylist() if text is not None}


@pytest.mark.parametrize("name", WRITERS)
def test_a_null_anywhere_makes_the_column_float64_everywhere_and_changes_no_carried_value(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, name: str
) -> None:
    rows = rows_of(WITH_NULL)
    WRITERS[name](tmp_path / name, rows, spark)
    deployment = make_deployment(script(), settings=SETTINGS)

    done = sparkscore.score(spark, deployment, input=tmp_path / name, output=tmp_path / "out")

    assert forms(tmp_path / "out") == {"float64 object"}
    assert done.record["input"]["nulls"] == {"id": False, "code": True, "flag": True, "big": False}
    scored = read_table(tmp_path / "out").sort_by("id")
    assert scored["prediction"].to_pylist()[24:27] == [
        "10024.0 float64 object",
        "nan float64 object",
        "10026.0 float64 object",
    ]
    for column in rows.column_names:
        assert scored[column].to_pylist() == rows[column].to_pylist()
        assert not pa.types.is_floating(scored[column].type)


def test_a_null_in_a_row_that_is_deleted_does_not_count(spark: SparkSession, tmp_path: Path) -> None:
    write_delta(tmp_path / "delta", rows_of(WITH_NULL), spark)
    table = f"delta.`{tmp_path / 'delta'}`"
    spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    spark.sql(f"DELETE FROM {table} WHERE id = 25")  # noqa: S608 - a folder of this test
    now, before = (
        open_source(spark, Input(location=(str(tmp_path / "delta"),), version=version), is_files_by_default=False)
        for version in (None, 0)
    )
    frame: Any = now.frame()

    assert before.count_nulls(["id", "code"]) == {"id": 0, "code": 1}
    assert now.count_nulls(["id", "code"]) == {"id": 0}
    assert find_nulls(frame, ["code"], "delta") == {"code": False}


def test_what_failed_is_scored_again_in_the_form_that_it_had(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    write_parquet(tmp_path / "rows.parquet", rows_of(WITH_NULL), spark)
    deployment = make_deployment(script(3), settings={**SETTINGS, "error_threshold": -1})
    options: dict[str, Any] = {"output": tmp_path / "out"}
    first = sparkscore.score(spark, deployment, **options, input=tmp_path / "rows.parquet")
    (deployment.parent / "code" / "score.py").write_text(script())

    second = sparkscore.score(spark, deployment, **options, only_failed=first.record["run_id"])

    # Among what failed is no NULL.
    assert forms(tmp_path / "out") == {"float64 object"}
    assert first.record["input"]["nulls"] == second.record["input"]["nulls"]
    check_ledger(second.record, tmp_path / "runs", [3])


def test_a_run_that_is_taken_up_goes_by_what_it_has_decided(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bare_parquet(tmp_path / "rows.parquet", rows_of(WITH_NULL), spark)
    deployment = make_deployment(script(), settings=SETTINGS)
    options: dict[str, Any] = {"input": tmp_path / "rows.parquet", "output": tmp_path / "out", "run_id": "night"}
    with monkeypatch.context() as patched:

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr("sparkscore.run.pipeline.decide", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sparkscore.score(spark, deployment, **options)
    # Whoever counts again counts nothing.
    monkeypatch.setattr("sparkscore.run.nulls.find_nulls", lambda *_: pytest.fail("it was decided"))

    done = sparkscore.score(spark, deployment, **options)

    assert forms(tmp_path / "out") == {"float64 object"}
    assert done.record["input"]["nulls"] == {"id": False, "code": True, "flag": True, "big": False}


def test_not_null_is_believed_and_a_null_that_comes_is_a_failed_row(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    rows = rows_of(WITH_NULL).select(["id", "code"]).append_column("price", [[0.5] * 30 + [None] + [0.5] * 29])
    write_bare_parquet(tmp_path / "rows.parquet", rows, spark)
    deployment = make_deployment(script(), settings={**SETTINGS, "error_threshold": 2})
    settings = {"input.schema": "id bigint NOT NULL, code bigint NOT NULL, price double NOT NULL"}

    done = sparkscore.score(
        spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out", settings=settings
    )

    assert forms(tmp_path / "out") == {"int64 "}
    assert done.record["counts"]["failed"] == 2
    failed = read_table(tmp_path / "out_quarantine").sort_by("row").to_pylist()
    assert [(row["error_code"], json.loads(row["row"])) for row in failed] == [
        ("INPUT_NULL", {"id": 25, "code": None, "price": 0.5}),
        ("INPUT_NULL", {"id": 30, "code": 10_030, "price": None}),
    ]


def test_columns_are_read_where_nothing_else_tells(spark: SparkSession, tmp_path: Path) -> None:
    rows = rows_of(WITH_NULL).rename_columns(["id", "a.b", "c`d", "e"])
    write_bare_parquet(tmp_path / "rows.parquet", rows, spark)
    source = open_source(spark, Input(location=(str(tmp_path / "rows.parquet"),)), is_files_by_default=False)
    frame: Any = source.frame()

    assert source.count_nulls(["id", "a.b"]) == {}
    assert find_nulls(frame, ["id", "a.b", "c`d"], "parquet") == {"id": False, "a.b": True, "c`d": True}
    assert find_nulls(frame.where("id < 0"), ["id"], "parquet") == {"id": False}


def test_a_renamed_column_is_not_taken_for_the_one_that_has_its_old_name_in_the_files(
    spark: SparkSession, tmp_path: Path
) -> None:
    write_delta(tmp_path / "delta", rows_of(WITH_NULL), spark)
    table = f"delta.`{tmp_path / 'delta'}`"
    mapping = "'delta.columnMapping.mode' = 'name', 'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5'"
    spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ({mapping})")
    for old, new in (("id", "old"), ("code", "id"), ("old", "code")):
        spark.sql(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    source = open_source(spark, Input(location=(str(tmp_path / "delta"),)), is_files_by_default=False)
    frame: Any = source.frame()

    assert source.count_nulls(["id", "code"]) == {}
    assert find_nulls(frame, ["id", "code"], "delta") == {"id": True, "code": False}
