"""SQL functions on Spark 4.0: pandas changes some values on the way, so those rows fail."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sparkscore.errors import ConfigError, SourceSchemaError
from sparkscore.minibatch import MiniBatch, MiniBatchLimit
from sparkscore.scorers import ScriptSpec
from sparkscore.signature import parse_ddl
from sparkscore.worker import EngineSpec, LineageValues, ResultSpec
from sparkscore.worker.sql_arguments import Argument
from sparkscore.worker.sql_call import FunctionSpec
from sparkscore.worker.sql_pandas import call_from_pandas, call_with_frame, refuse_types
from tests.support.scorers import Loads, RecordingScorer


def echo(mini_batch: MiniBatch) -> object:
    assert mini_batch.rows is not None
    return mini_batch.rows.column(0).to_pylist()


def spec(type_: pa.DataType, result: str = "y bigint") -> FunctionSpec:
    schema = parse_ddl(result)
    spec = ResultSpec(schema, ("x",), (), LineageValues("", None, "1"), columns=7, is_proven=True)
    engine = EngineSpec("sql/pandas", ScriptSpec(b"", "score.py"))
    return FunctionSpec("f", (Argument("x", type_),), engine, spec, tuple(schema.names), "1", MiniBatchLimit(items=100))


def called(function: FunctionSpec, series: pd.Series[Any], loads: Loads) -> pd.DataFrame:
    loads.coming = [RecordingScorer(echo)]
    return call_from_pandas(function, [series], {})


def test_integers_beside_null_come_back_as_integers_and_from_2_to_the_53_on_they_fail(loads: Loads) -> None:
    found = called(spec(pa.int64()), pd.Series([1.0, math.nan, float(2**53 + 1), 1.0 - 2.0**53]), loads)

    assert found["y"].tolist() == [1, pd.NA, pd.NA, 1 - 2**53]
    assert [text is not pd.NA for text in found["error"]] == [False, False, True, False]
    assert pa.Array.from_pandas(found["y"]).type == pa.int64()


def test_integers_without_null_are_exact(loads: Loads) -> None:
    assert called(spec(pa.int64()), pd.Series([2**63 - 1, -(2**63)]), loads)["y"].tolist() == [2**63 - 1, -(2**63)]


def test_large_doubles_are_taken_where_no_integer_can_hide(loads: Loads) -> None:
    numbers = [1e300, -0.0, math.inf]

    assert called(spec(pa.float64(), "y double"), pd.Series(numbers), loads)["y"].tolist() == numbers


@pytest.mark.parametrize(
    ("values", "type_"),
    [(["a\0b", None, "é"], pa.string()), ([b"\0\xff", None], pa.binary()), ([True, None], pa.bool_())],
)
def test_objects_arrive_as_they_are(loads: Loads, values: list[Any], type_: pa.DataType) -> None:
    ddl = {pa.string(): "y string", pa.binary(): "y binary", pa.bool_(): "y boolean"}[type_]

    found = called(spec(type_, ddl), pd.Series(values, dtype=object), loads)

    assert [None if value is pd.NA else value for value in found["y"]] == values


def test_a_struct_is_a_frame_whose_other_columns_do_not_matter(loads: Loads) -> None:
    loads.coming = [RecordingScorer(echo)]
    frame = pd.DataFrame({"other": [math.nan, 1e300], "X": np.array([1, 2], np.int32)})

    found = call_with_frame(spec(pa.int64()), frame)

    assert found["y"].tolist() == [1, 2]


def test_times_and_nested_values_are_refused(loads: Loads) -> None:
    for values in (pd.Series(pd.to_datetime(["2020-01-01"])), pd.Series([np.array([1.0])], dtype=object)):
        with pytest.raises(SourceSchemaError, match=r"Spark 4\.0 passes others through pandas"):
            called(spec(pa.string()), values, loads)


@pytest.mark.parametrize(
    ("type_", "result", "is_refused"),
    [
        (pa.float64(), "y double", False),
        (pa.float64(), "y array<double>", False),
        (pa.float64(), "y array<array<double>>", True),
        (pa.float64(), "y timestamp", True),
        (pa.timestamp("us"), "y double", True),
        (pa.list_(pa.float64()), "y double", True),
    ],
)
def test_types_that_pandas_would_change_are_refused_at_the_registration(
    type_: pa.DataType, result: str, *, is_refused: bool
) -> None:
    if is_refused:
        with pytest.raises(ConfigError, match=r"Use Spark 4\.1 or later"):
            refuse_types(spec(type_, result))
    else:
        refuse_types(spec(type_, result))
