from __future__ import annotations

import glob
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import ConfigError
from sparkscore.location import is_remote, local_path, plain_path, spark_path

FILE_NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."})


@pytest.mark.parametrize(
    "location", ["s3://b/x", "abfss://c@a.dfs.core.windows.net/x", "hdfs:/x", "dbfs:/x", "S3A://b/x"]
)
def test_stores_are_remote_and_cannot_be_used_as_local_paths(location: str) -> None:
    assert is_remote(location)
    with pytest.raises(ConfigError) as caught:
        local_path(location)
    assert caught.value.code == "LOCATION_REMOTE"
    assert location.partition(":")[0].lower() in str(caught.value)


@pytest.mark.parametrize(
    "location", ["/data", "data", "./s3:/x", "file:/data", "file:///data", "a:b", "C:/x", "/a/s3://b"]
)
def test_paths_and_file_uris_are_local(location: str) -> None:
    assert not is_remote(location)


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/data/a%20b", "/data/a%20b"),
        ("file:/data/a%20b", "/data/a b"),
        ("file:///data/a%20b", "/data/a b"),
        ("file:////data", "/data"),
        ("relative/x", "relative/x"),
    ],
)
def test_only_uris_are_decoded(location: str, path: str) -> None:
    assert local_path(location) == Path(path)


@given(FILE_NAMES)
def test_what_spark_says_of_a_local_file_becomes_its_plain_path(name: str) -> None:
    path = f"/data/{name}"

    assert plain_path(f"file://{quote(path)}") == path
    assert plain_path(f"file:{quote(path)}") == path
    assert plain_path(path) == path


def test_the_address_on_a_store_is_decoded_and_keeps_its_scheme() -> None:
    assert plain_path("abfss://c@a/x%20y%23z") == "abfss://c@a/x y#z"


@given(FILE_NAMES)
def test_an_escaped_path_is_a_glob_pattern_for_itself_alone(name: str) -> None:
    # Hadoop's patterns know a backslash as Java's do; here the rule is undone by hand and compared.
    escaped = spark_path(f"/data/{name}")

    undone, characters = [], iter(escaped)
    for character in characters:
        assert character not in "[]{}*?"
        undone.append(next(characters) if character == "\\" else character)
    assert "".join(undone) == f"/data/{name}"


def test_a_path_without_pattern_characters_stays_as_it_is() -> None:
    assert spark_path(Path("/data/a b,c'é")) == "/data/a b,c'é"
    assert not glob.has_magic(spark_path("/data/plain"))
