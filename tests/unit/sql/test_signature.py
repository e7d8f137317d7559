"""The arguments and results of SQL functions, and what a user is told who has not declared them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.signature.model_signature import ColumnInput, TensorInput
from sparkscore.sql import SqlFunction, prepare_function
from sparkscore.sql.signature import _argument_of
from sparkscore.worker.sql_arguments import Argument

Make = Callable[..., SqlFunction]
SCRIPT = "def run(frame): return [1.0] * len(frame)"


def test_arguments_are_the_columns_of_the_input_in_order(make: Make) -> None:
    function = make(input={"schema": "a int NOT NULL, b string COMMENT 'text', c double", "columns": ["c", "b"]})

    assert function.arguments == (Argument("c", pa.float64()), Argument("b", pa.string(), comment="text"))


def test_results_are_renamed_as_in_a_job_and_have_the_error_and_the_version(make: Make) -> None:
    function = make(output={"schema": "error string, p double"}, columns={"error": "reason"})

    assert function.outputs.names == ["reason", "p", "error", "model_version"]


@pytest.mark.parametrize("name", ["error", "Model_Version"])
def test_a_result_with_a_taken_name_is_refused_with_the_line_that_renames_it(make: Make, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"'columns: \{{{name}: model_{name}\}}'") as refused:
        make(output={"schema": f"p double, {name} string"})

    line = re.search(r"'(columns: [^']*)'", str(refused.value))
    assert line is not None
    again = make(output={"schema": f"p double, {name} string"}, name="again", **yaml.safe_load(line[1]))
    assert again.columns == ("p", f"model_{name}")


def test_a_script_of_files_takes_their_paths(make: Make) -> None:
    (argument,) = make(input={"format": "files"}).arguments

    assert (argument.name, argument.type, argument.nullable) == ("path", pa.string(), False)


@pytest.mark.parametrize(
    "sections", [{"input": {}, "output": {}}, {"input": {"format": "parquet"}, "output": {"mode": "append"}}]
)
def test_the_lines_to_add_work_when_they_are_pasted(
    make_deployment: Callable[..., Path], sections: dict[str, dict[str, Any]]
) -> None:
    path = make_deployment(SCRIPT, **{key: value for key, value in sections.items() if value})
    for section in ("output", "input"):
        with pytest.raises(ConfigError, match="are not known") as refused:
            prepare_function("f", path)
        assert refused.value.code == ErrorCode.SQL_SIGNATURE
        paste(path, str(refused.value), section)

    function = prepare_function("f", path)

    assert [each.name for each in function.arguments] == ["age", "bmi"]
    assert function.columns == ("prediction",)


def paste(path: Path, message: str, section: str) -> None:
    text = path.read_text()
    if under := re.search(rf"[Aa]dd under '{section}:' the line '([^']*)'", message):
        text = text.replace(f"{section}:\n", f"{section}:\n  {under[1]}\n")
    else:
        line = re.search(r"[Aa]dd the line '([^']*)' to the deployment", message)
        assert line is not None
        text += f"{line[1]}\n"
    path.write_text(text)


def test_defaults_have_the_type_of_their_argument(make: Make) -> None:
    settings = {"a": {"default": 3}, "b": {"comment": "b"}, "c": {"default": "x"}, "d": {"default": 2.5}}
    function = make(input={"schema": "a double, b double, c string, d decimal(4,1)"}, sql={"arguments": settings})

    found = [
        None if each.default is None else (each.default.type, each.default.to_pylist()) for each in function.arguments
    ]
    assert found[:2] == [(pa.float64(), [3.0]), None]
    assert str(found[2:]) == "[(DataType(string), ['x']), (Decimal128Type(decimal128(4, 1)), [Decimal('2.5')])]"


def test_null_is_a_default_too(make: Make) -> None:
    sql = {"arguments": {"a": {"default": None}}}

    argument, _ = make(input={"schema": "a double, b double"}, sql=sql).arguments

    assert argument.default is not None
    assert (argument.default.type, argument.default.to_pylist()) == (pa.float64(), [None])


def test_null_is_no_default_of_an_argument_that_must_not_be_null(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"'sql\.arguments\.a\.default': got null"):
        make(input={"schema": "a double NOT NULL"}, sql={"arguments": {"a": {"default": None}}})


@pytest.mark.parametrize(("schema", "default"), [("a int", 2.5), ("a double", "x"), ("a tinyint", 300)])
def test_a_default_that_does_not_fit_is_refused(make: Make, schema: str, default: object) -> None:
    with pytest.raises(ConfigError, match=r"'sql\.arguments\.a\.default'") as refused:
        make(input={"schema": schema}, sql={"arguments": {"a": {"default": default}}})

    assert refused.value.code == ErrorCode.SQL_DEFAULT


def test_a_setting_for_an_unknown_argument_is_refused(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"'sql\.arguments' names 'bmj'"):
        make(sql={"arguments": {"bmj": {"comment": "?"}}})


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (ColumnInput("x", pa.float32()), pa.float32()),
        (ColumnInput("x", pa.uint8()), pa.int16()),
        (ColumnInput("x", pa.float64(), accepts=("integer", "boolean")), pa.float64()),
        (ColumnInput("x", None, accepts=("number", "boolean")), pa.float64()),
        (ColumnInput("x", None, accepts=("text",)), pa.string()),
        (TensorInput("x", pa.float32(), (-1, 4)), pa.list_(pa.float32())),
        (TensorInput("x", pa.float32(), (-1, 1)), pa.float32()),
        (TensorInput("x", pa.float16(), (-1,)), pa.float32()),
        (TensorInput("x", pa.int64(), (-1, 2, -1)), pa.list_(pa.list_(pa.int64()))),
        (TensorInput("x", None, (-1, 2)), None),
        (ColumnInput("x", None), None),
    ],
)
def test_each_input_of_a_model_has_the_type_that_sql_knows(one: Any, expected: pa.DataType | None) -> None:
    found = _argument_of(one, 0, rounds=False)

    assert (None if found is None else found.type) == expected


def test_a_model_that_rounds_takes_doubles_and_an_optional_column_may_be_left_out() -> None:
    rounded = _argument_of(TensorInput("x", pa.float32(), (-1, 1)), 0, rounds=True)
    optional = _argument_of(ColumnInput("x", pa.string(), is_required=False), 0, rounds=False)
    required = _argument_of(ColumnInput("x", pa.int64(), is_required=False), 0, rounds=False)

    assert rounded is not None
    assert rounded.type == pa.float64()
    assert optional is not None
    assert optional.default is not None
    assert optional.default.to_pylist() == [None]
    assert required is not None
    assert required.default is None
