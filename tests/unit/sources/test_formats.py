from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.config import Input
from sparkscore.errors import ConfigError
from sparkscore.sources.formats import detect_format


def detected(location: Path | tuple[Path, ...], *, is_azure: bool = False, is_no_code: bool = False) -> str:
    locations = location if isinstance(location, tuple) else (location,)
    config = Input(location=tuple(map(str, locations)))
    return detect_format(config, is_files_by_default=is_azure, is_no_code=is_no_code)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.parquet", "b.snappy.PARQUET"], "parquet"),
        (["a.csv", "b.CSV.gz"], "csv"),
        (["a.json", "b.jsonl", "c.json.gz", "d.jsonl.gz"], "json"),
        (["a.csv", "b.parquet"], "files"),
        (["a.csv", "b.png"], "files"),
        (["a.png", "csv", "parquet.d"], "files"),
        (["a.gz"], "files"),
        ([], "files"),
        (["_SUCCESS", ".a.parquet.crc", "a.parquet"], "parquet"),
    ],
)
def test_the_ending_of_all_files_tells_the_format(names: list[str], expected: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("x")

    assert detected(tmp_path) == expected


def test_azures_deployments_get_files_unless_the_input_is_a_delta_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    assert detected(tmp_path, is_azure=True) == "files"

    (tmp_path / "_delta_log").mkdir()

    assert detected(tmp_path, is_azure=True) == "delta"
    assert detected(tmp_path) == "delta"


def test_a_delta_table_beside_another_location_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "table" / "_delta_log").mkdir(parents=True)
    (tmp_path / "a.csv").write_text("x")

    assert detected((tmp_path / "table", tmp_path / "a.csv")) == "csv"


def test_a_store_is_not_searched_for_the_format() -> None:
    with pytest.raises(ConfigError, match="--input-format parquet") as caught:
        detect_format(Input(location=("s3a://bucket/in",)), is_files_by_default=False)

    assert caught.value.code == "LOCATION_REMOTE"


def test_what_the_deployment_says_holds_without_a_look(tmp_path: Path) -> None:
    config = Input(location=(str(tmp_path / "nowhere"),), format="parquet")

    assert detect_format(config, is_files_by_default=True) == "parquet"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.csv", "b.CSV", "_SUCCESS"], "csv"),
        (["a.parquet", "b.pqt"], "parquet"),
        (["a.png", "b.jpg"], "files"),
        (["a.bin"], "files"),
    ],
)
def test_a_model_of_azures_gets_what_the_endings_say(names: list[str], expected: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("x")

    assert detected(tmp_path, is_no_code=True) == expected


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a.csv", "b.txt"], "'a.csv' and 'b.txt'"),
        (["a.csv", "b.parquet"], "'a.csv' and 'b.parquet'"),
        (["a.jsonl"], "'a.jsonl'.*--input-format json"),
        (["a.csv", "b.avro", "c.png"], "'a.csv' and 'c.png'"),
    ],
)
def test_files_that_azure_does_not_read_are_refused_by_name(names: list[str], told: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("x")

    with pytest.raises(ConfigError, match=told) as caught:
        detected(tmp_path, is_no_code=True)

    assert caught.value.code == "INPUT_ENDINGS"
