"""`columns` renames columns of the result, and advice about names and types names what can be set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pyspark.sql.types import LongType, StringType, StructField, StructType

from sparkscore.config import Deployment
from sparkscore.errors import ConfigError, SinkSchemaError
from sparkscore.run.columns import ResultColumns, decide_columns
from sparkscore.sinks.delta_names import refuse_names
from sparkscore.sinks.origins import Origins
from sparkscore.sinks.target import Target, check_same_columns
from sparkscore.worker import LineageValues

LINEAGE = ["run_id", "model_name", "model_version", "scored_at", "source_file"]


def decide(
    renamed: dict[str, str],
    *inputs: str,
    carried: tuple[str, ...] | None = None,
    added: str = "prediction",
    **output: Any,
) -> ResultColumns:
    rows = StructType([StructField(name, LongType()) for name in inputs])
    deployment = Deployment.model_validate({"columns": renamed, "output": output})
    predictions = pa.schema([(added, pa.int64())])
    return decide_columns(
        deployment, predictions, inputs if carried is None else carried, rows, LineageValues("r", None, None)
    )


@pytest.mark.parametrize(
    ("renamed", "expected"),
    [
        ({"the city": "city"}, ["id", "city", "prediction", *LINEAGE]),
        ({"id": "key", "prediction": "score"}, ["key", "the city", "score", *LINEAGE]),
        ({"id": "the city", "the city": "id"}, ["the city", "id", "prediction", *LINEAGE]),
        ({"id": "prediction", "prediction": "id"}, ["prediction", "the city", "id", *LINEAGE]),
        ({"id": "ID"}, ["ID", "the city", "prediction", *LINEAGE]),
    ],
)
def test_columns_get_their_new_names(renamed: dict[str, str], expected: list[str]) -> None:
    result = decide(renamed, "id", "the city")

    assert result.schema.names == expected
    assert result.spec.schema(pa.schema([("id", pa.int64()), ("the city", pa.int64())])).names == expected


def test_a_shared_name_is_that_of_the_added_column() -> None:
    assert decide({"run_id": "job"}, "run_id").schema.names == ["run_id", "prediction", "job", *LINEAGE[1:]]
    assert decide({"y": "z"}, "y", added="y").schema.names == ["y", "z", *LINEAGE]


@pytest.mark.parametrize(
    ("renamed", "advice"),
    [
        ({"id": "prediction"}, "columns: {id: sparkscore_prediction"),
        ({"id": "Prediction"}, "columns: {id: sparkscore_Prediction"),
        ({"id": "x", "city": "x"}, "columns: {id: sparkscore_x, city: x}"),
        ({"id": "CITY"}, "columns: {id: sparkscore_CITY}"),
        ({"id": "source_file"}, "columns: {id: sparkscore_source_file"),
        ({"prediction": "id"}, "columns: {prediction: sparkscore_id}"),
    ],
)
def test_new_names_that_clash_are_refused_and_the_advice_helps(renamed: dict[str, str], advice: str) -> None:
    with pytest.raises(ConfigError, match="COLUMN_CLASH") as caught:
        decide(renamed, "id", "city")

    assert advice in caught.value.next_step
    assert decide(line_of(caught.value.next_step), "id", "city")


def test_what_is_not_in_the_result_cannot_be_renamed() -> None:
    with pytest.raises(ConfigError, match=r"COLUMNS_UNKNOWN.*'nothing'"):
        decide({"nothing": "x"}, "id")
    with pytest.raises(ConfigError, match=r"COLUMNS_UNKNOWN.*Carry 'id' with 'output.carry'"):
        decide({"id": "x"}, "id", carried=())


def test_partitions_have_the_new_names() -> None:
    assert decide({"id": "key"}, "id", partition_by=["key"]).spec.partition_by == ("key",)
    with pytest.raises(ConfigError, match=r"'id', which is 'key' in the result"):
        decide({"id": "key"}, "id", partition_by=["id"])


def line_of(advice: str) -> dict[str, str]:
    """Read the line of a deployment that an advice quotes."""
    found = yaml.safe_load(advice[advice.index("columns: ") : advice.index("}'") + 1])
    return dict(found["columns"])


@pytest.mark.parametrize(
    ("inputs", "renamed"),
    [
        (["my col"], {}),
        (["a b", "a,b", "A_B", "a=b"], {}),
        (["id", "x;y"], {"prediction": "the score"}),
        (["()", "on off", "\t", "größe (cm)", "yes no"], {"run_id": "run id"}),
        (['quoted "x" {y}', "it's; a"], {"prediction": "no"}),
        (["a b"], {"a b": "c d"}),
    ],
)
def test_names_that_delta_does_not_store_are_refused_with_a_line_that_helps(
    inputs: list[str], renamed: dict[str, str]
) -> None:
    result = decide(renamed, *inputs)

    with pytest.raises(SinkSchemaError, match="OUTPUT_COLUMN_NAMES") as caught:
        refuse_names(result.schema, result.origins)

    mended = decide(line_of(caught.value.next_step), *inputs)
    refuse_names(mended.schema, mended.origins)


def test_a_name_inside_a_struct_cannot_be_renamed() -> None:
    inner = StructType([StructField("a b", LongType())])

    with pytest.raises(SinkSchemaError, match=r"'a b'.*Write Parquet, or leave columns out") as caught:
        refuse_names(StructType([StructField("s", inner)]), Origins())
    assert "columns:" not in caught.value.next_step


def differing(result: ResultColumns, existing: dict[str, str]) -> str:
    ours = {field.name: field.dataType.simpleString() for field in result.schema}
    with pytest.raises(SinkSchemaError, match="OUTPUT_SCHEMA_DIFFERS") as caught:
        check_same_columns(Target(Path("/t"), "append", (), "r", "run_id"), existing, ours, result.origins)
    return caught.value.next_step


def test_types_that_drifted_are_set_where_they_come_from() -> None:
    result = decide({"id": "key", "prediction": "score"}, "id", "the day")
    existing = {field.name: field.dataType.simpleString() for field in result.schema}

    assert differing(result, existing | {"key": "int"}).endswith("'input.schema', with 'id int' among them.")
    assert "'input.schema', with '`the day` string' among them" in differing(result, existing | {"the day": "string"})
    both = differing(result, existing | {"key": "int", "score": "double"})
    assert "'input.schema', with 'id int'" in both
    assert "'output.schema', with 'prediction double'" in both
    assert "schema'" not in differing(result, {name: kind for name, kind in existing.items() if name != "score"})


def test_columns_more_and_fewer_are_named() -> None:
    result = decide({}, "id")
    existing = {field.name: field.dataType.simpleString() for field in result.schema}

    assert "'output.carry'" in differing(result, {name: kind for name, kind in existing.items() if name != "id"})
    returned = differing(result, {name: kind for name, kind in existing.items() if name != "prediction"})
    assert "do not return 'prediction'" in returned
    assert "'output.carry'" not in returned
    of_others = differing(result, {name: kind for name, kind in existing.items() if name != "model_name"})
    assert of_others == "Name another --output."
    assert "carry or return 'site'" in differing(result, existing | {"site": StringType().simpleString()})
