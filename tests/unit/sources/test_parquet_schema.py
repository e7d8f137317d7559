from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql.types import ArrayType, LongType, StringType, StructField, StructType

from sparkscore.plan import InputFile
from sparkscore.sources.footers import read_footers
from sparkscore.sources.parquet_schema import all_nullable, schema_of_footers

TABLE = pa.table({"id": [1, 2], "many": [["a"], []], "both": [{"n": 1}, None]})
OF_SPARK: dict[str, Any] = {
    "type": "struct",
    "fields": [
        {"name": "id", "type": "long", "nullable": False, "metadata": {"comment": "the key"}},
        {
            "name": "many",
            "type": {"type": "array", "elementType": "string", "containsNull": False},
            "nullable": True,
            "metadata": {},
        },
        {
            "name": "both",
            "type": {
                "type": "struct",
                "fields": [{"name": "n", "type": "long", "nullable": True, "metadata": {}}],
            },
            "nullable": True,
            "metadata": {},
        },
    ],
}


def schema_of(folder: Path, *tables: pa.Table) -> StructType | None:
    paths = [folder / f"{number}.parquet" for number, _ in enumerate(tables)]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path)
    return schema_of_footers(read_footers([InputFile(str(path), 1, 1) for path in paths]).of_files)


def by_spark(text: str) -> pa.Table:
    return TABLE.replace_schema_metadata({"org.apache.spark.sql.parquet.row.metadata": text})


def changed(**parts: Any) -> str:
    fields = OF_SPARK["fields"]
    return json.dumps({**OF_SPARK, "fields": [{**fields[0], **parts}, *fields[1:]]})


def test_files_with_the_same_columns_have_the_schema_that_their_footers_show(tmp_path: Path) -> None:
    expected = "struct<id:bigint,many:array<string>,both:struct<n:bigint>>"

    for tables in ([TABLE], [TABLE, TABLE.slice(1)], [by_spark(json.dumps(OF_SPARK))]):
        found = schema_of(tmp_path, *tables)
        assert found is not None
        assert found.simpleString() == expected
        assert all_nullable(found) == found


@pytest.mark.parametrize(
    "tables",
    [
        [TABLE, TABLE.select(["id", "many"])],
        [TABLE, TABLE.select(["many", "id", "both"])],
        [TABLE.append_column("none", pa.nulls(2))],
        [by_spark(changed(type="integer"))],
        [by_spark(changed(name="ID"))],
        [by_spark(changed(type={"type": "udt", "serializedClass": "gASVCgAAAAAAAACMBm5vd2hlcmWULg=="}))],
        [by_spark(changed(metadata={"__COLLATIONS": {"id": "icu.UNICODE_CI"}}))],
        [by_spark("{")],
        [by_spark("[]")],
    ],
)
def test_spark_is_asked_where_the_footers_do_not_show_what_it_would_infer(
    tmp_path: Path, tables: list[pa.Table]
) -> None:
    assert schema_of(tmp_path, *tables) is None


def test_a_file_that_cannot_be_read_shows_no_schema_and_no_number_of_rows(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")

    footers = read_footers([InputFile(str(tmp_path / name), 1, 1) for name in ("a.parquet", "b.parquet")])

    assert schema_of_footers(footers.of_files) is None
    assert footers.count_rows() is None


def test_the_row_groups_have_their_rows_and_sizes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array(range(5), pa.int64())}), tmp_path / "a.parquet", row_group_size=2)
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), tmp_path / "b.parquet")

    footers = read_footers([InputFile(str(tmp_path / name), 1, 1) for name in ("a.parquet", "b.parquet")])

    first, second = footers.rows
    assert first is not None
    assert (first.path, first.rows) == (str(tmp_path / "a.parquet"), (2, 2, 1))
    assert min(first.sizes) > 0
    assert second is not None
    assert second.rows in {(), (0,)}
    assert footers.count_rows() == 5


def test_a_declared_column_may_be_null_in_the_rows() -> None:
    declared = StructType([StructField("x", ArrayType(LongType(), containsNull=False), nullable=False)])

    assert all_nullable(declared) == StructType([StructField("x", ArrayType(LongType()))])
    assert all_nullable(StructType([StructField("y", StringType())])).fields[0].nullable
