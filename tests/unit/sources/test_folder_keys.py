from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from sparkscore.errors import SourceSchemaError
from sparkscore.parquet.stored import UnreadableError
from sparkscore.plan import InputFile
from sparkscore.signature.same_name import folded
from sparkscore.sources.agreement import check_against_files, partition_keys
from sparkscore.sources.folder_keys import read_keys
from sparkscore.spark.schema import schema_of


@pytest.mark.parametrize(
    ("key", "column"),
    [
        ("ID", "id"),
        ("id", "Id"),
        ("id", "id"),
        ("\u0130d", "id"),
        ("\u0131d", "ID"),
        ("\u017fex", "sex"),
        ("\u212a", "k"),
    ],
)
def test_a_key_that_is_a_column_of_the_files_is_refused_whatever_its_case(key: str, column: str) -> None:
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_PARTITIONS\].*case"):
        check_against_files([key], None, ["x", column], "parquet")


@pytest.mark.parametrize(("key", "column"), [("id", "ids"), ("stra\u00dfe", "strasse"), ("\u00e9", "e")])
def test_other_names_are_other_columns(key: str, column: str) -> None:
    check_against_files([key], None, ["x", column], "parquet")
    assert folded(key) != folded(column)


@pytest.mark.parametrize("folders", ["ID=1/id=2", "id=1/id=2", "a=1/I=2/\u0131=3"])
def test_a_key_within_the_same_key_is_refused(folders: str) -> None:
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_PARTITIONS\].*same key"):
        partition_keys([InputFile(f"/in/{folders}/a.csv", 1, 1)], Path("/in"))


def test_keys_are_named_as_spark_reads_them() -> None:
    assert partition_keys([InputFile("/in/a%3Fb=1/c=2/a.csv", 1, 1)], Path("/in")) == ("a?b", "c")


def test_workers_get_keys_that_are_texts_without_spark() -> None:
    files = [InputFile(f"/in/{folder}/a.parquet", 1, 1) for folder in ("k=a%2Fb", "k=__HIVE_DEFAULT_PARTITION__")]

    keys = read_keys(Mock(spec=[]), files, Path("/in"), schema_of({"id": "bigint", "k": "string"}), ["k"], "UTC")

    assert [keys.values_of(file.path)["k"].as_py() for file in files] == ["a/b", None]


def test_bytes_of_a_character_beyond_ascii_in_a_folder_are_left_to_spark() -> None:
    files = [InputFile(f"/in/k={name}/a.parquet", 1, 1) for name in ("é", "%C3%A9")]

    with pytest.raises(UnreadableError, match="'/in/k=%C3%A9' has escaped bytes"):
        read_keys(Mock(spec=[]), files, Path("/in"), schema_of({"k": "string"}), ["k"], "UTC")
