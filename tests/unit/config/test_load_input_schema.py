from __future__ import annotations

import pytest

from sparkscore.config import load_deployment
from sparkscore.errors import ConfigError


@pytest.mark.parametrize("text", ["id bigint, x strng", "id", "id bigint,, x int", "id bigint; x int", "a array<int"])
def test_an_input_schema_that_is_no_list_of_columns_is_refused_with_the_deployment(text: str) -> None:
    with pytest.raises(ConfigError, match=r"input\.schema"):
        load_deployment(None, {"input.schema": text})


@pytest.mark.parametrize(
    "text",
    [
        "id bigint NOT NULL, x double COMMENT 'a'",
        "name varchar(3)",
        "größe double",
        "s string COLLATE UTF8_LCASE",
        "d date, p decimal(10,2), l array<struct<a: int>>",
        "v variant",
    ],
)
def test_what_spark_reads_is_left_to_it(text: str) -> None:
    deployment = load_deployment(None, {"input.schema": text})

    assert deployment.input.schema_ddl == text
