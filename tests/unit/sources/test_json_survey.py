from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import LongType, StructField, StructType, VariantType

from sparkscore.errors import SparkscoreError
from sparkscore.plan import InputFile
from sparkscore.sources import shares
from sparkscore.sources.json_survey import JsonFiles, json_options, read_json
from sparkscore.spark.schema import columns_of, schema_of

# Small files are read on the driver, so no session is needed.
NO_SPARK = cast("SparkSession", None)
Read = Callable[..., JsonFiles]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_texts(*contents: str | bytes, declared: Any = "", wanted: Any = None, **options: str) -> JsonFiles:
        files = []
        for number, content in enumerate(contents):
            path = tmp_path / f"{'abc'[number]}.json"
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            files.append(InputFile(str(path), path.stat().st_size, 1))
        return read_json(NO_SPARK, files, json_options({"mode": "FAILFAST", **options}), types_of(declared), wanted)

    return read_texts


def types_of(declared: str | StructType) -> StructType | None:
    if isinstance(declared, StructType):
        return declared
    if not declared:
        return None
    return schema_of(dict(each.split(" ", 1) for each in declared.split("; ")))


def found_types(read: JsonFiles) -> dict[str, str]:
    assert read.schema is not None
    return columns_of(read.schema)


def told(read: Read, *contents: str | bytes, **more: Any) -> str:
    with pytest.raises(SparkscoreError) as caught:
        read(*contents, **more)
    return str(caught.value)


def test_types_are_those_of_all_values(read: Read) -> None:
    found = read(
        '{"i": 1, "x": 1, "s": "5", "b": true, "n": null, "o": {"k": 1}, "a": [1]}\n'
        '{"i": 9223372036854775807, "x": 0.5, "s": "007", "b": null, "o": {"m": ["t"], "k": 2.5}, "a": []}\n',
        '\r\n{"x": NaN}\r\n\n  {"a": [null, 2]}',
    )

    assert found.rows == 4
    assert found_types(found) == {
        "a": "array<bigint>",
        "b": "boolean",
        "i": "bigint",
        "n": "string",
        "o": "struct<k:double,m:array<string>>",
        "s": "string",
        "x": "double",
    }
    assert found.count_nulls(["i", "x", "b", "n", "none"]) == {"i": 2, "x": 1, "b": 3, "n": 4}


def test_texts_stay_texts_whatever_they_look_like(read: Read) -> None:
    found = read('{"a": "2026-01-31", "b": "10:30", "c": "1e5", "d": "true", "e": ""}')

    assert set(found_types(found).values()) == {"string"}


@pytest.mark.parametrize(
    "content",
    [
        '[{"a": 1}, {"a": 2}]',
        '[{"a": 1}]\n[{"a": 2}]\n',
        '{"a": 1}\r{"a": 2}',
        '{"a": 1}\r\n{"a": 2}\r\n',
        '\n\n{"a": 1}\n \t\n{"a": 2}',
        '\ufeff{"a": 1}\n{"a": 2}',
        '{"a": 1, "b": {}}\n{"a": 2, "b": {}}',
        '{"a": 1, "b": "\\ud83d\\ude00"}\n{"a": 2, "b": "\\\\ud800"}',
    ],
)
def test_other_forms_of_records_are_read(content: str, read: Read) -> None:
    found = read(content)

    assert found.rows == 2
    assert found_types(found)["a"] == "bigint"


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ('{"a": 1}{"a": 2}', "INPUT_RECORD", "another record behind the record"),
        ('{"a": 1} {"a": 2}', "INPUT_RECORD", "another record behind the record"),
        ('{"a": 1},', "INPUT_RECORD", "more text behind the record"),
        ('{"a": 1} # end', "INPUT_RECORD", "more text behind the record"),
        ('{"a": 1, "a": 2}', "INPUT_RECORD", "two fields 'a'"),
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "INPUT_RECORD", "two fields 'c'"),
        ('{"a": "\\ud83d"}', "INPUT_RECORD", "half a character"),
        ("{'a': 1}", "INPUT_RECORD", "double quotes"),
        ('{"a": 01}', "INPUT_RECORD", "no JSON"),
        ('{"a": 1,}', "INPUT_RECORD", "no JSON"),
        ('{"a": 1', "INPUT_RECORD", "does not end in its line"),
        ('{"a": "x', "INPUT_RECORD", "does not end in its line"),
        ("5", "INPUT_RECORD", "got a number, expected a JSON object"),
        ("null", "INPUT_RECORD", "got null, expected a JSON object"),
        ('[{"a": 1}, 5]', "INPUT_RECORD", "got a number, expected a JSON object"),
        ('{"a": ' + "[" * 5000 + "]" * 5000 + "}", "INPUT_RECORD", "nested too deep"),
        ('{"a": ' + "[" * 950 + "]" * 950 + "}", "INPUT_RECORD", "nested too deep"),
        (b'{"a": "caf\xe9"}', "INPUT_ENCODING", "'input.options.encoding'"),
        ('{"a": "\ud800"}'.encode("utf-8", "surrogatepass"), "INPUT_ENCODING", "not UTF-8"),
    ],
)
def test_what_is_no_record_is_refused_with_its_file_and_line(
    line: str | bytes, code: str, says: str, read: Read, tmp_path: Path
) -> None:
    whole = line if isinstance(line, bytes) else line.encode()

    message = told(read, '{"a": 1}', b'{"a": 1}\n\n' + whole + b'\n{"a": 1}')

    assert message.startswith(f"[{code}]")
    assert f"'{tmp_path / 'b.json'}'" in message
    assert "line 3" in message
    assert says in message


@pytest.mark.parametrize("content", ['[\n{"a": 1}\n]', '{\n "a": 1\n}', '[{"a": 1},\n {"a": 2}]'])
def test_a_value_over_several_lines_is_refused_with_the_option_that_reads_it(content: str, read: Read) -> None:
    assert "'input.options: {multiLine: true}'" in told(read, content)
    assert read(content, multiLine="true").rows == content.count('"a"')
    assert read(content, multiline="true").rows == content.count('"a"')


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ('{"a": 1}\n{"a": 2}\n', 2, "leave 'input.options.multiLine' out"),
        ('[\n{"a": 1},\n{"a": 1, "a": 2}\n]', 3, "two fields 'a'"),
        ('[\n{"a": 1}\n{"a": 2}\n]', 3, "neither a comma nor"),
        ('[\n{"a": 1},\n2\n]', 3, "got a number"),
        ('[\n{"a": 1},\n', 3, "no JSON"),
        ('[\n{"a": 1}\n]\n[]', 4, "more text"),
    ],
)
def test_a_file_that_is_not_one_value_is_refused_with_its_line(content: str, line: int, says: str, read: Read) -> None:
    message = told(read, content, multiLine="true")

    assert f"line {line}" in message
    assert says in message


@pytest.mark.parametrize(
    ("content", "says", "declare"),
    [
        ('{"a": 5}\n{"a": "5"}', "integers ('FILE', line 1) and texts ('FILE', line 2)", "'input.schema: a string'"),
        ('{"a": [1]}\n{"a": {"b": 1}}', "arrays ('FILE', line 1)", "a string"),
        ('{"a": [1, "x"]}', "column 'a[]'", "a string"),
        ('{"a": true}\n{"a": 1}', "true or false ('FILE', line 1)", "a string"),
        ('{"a": {"b": 1}}\n{"a": {"b": "x"}}', "column 'a.b'", "a string"),
        ('{"a": 9007199254740993}\n{"a": 0.5}', "a double does not hold ('FILE', line 1)", "a string"),
        ('{"a": 1}\n{"a": 9223372036854775808}', "a double does not hold ('FILE', line 2)", "a decimal(38,0)"),
        ('{"a": 1e400}', "beyond double", "a string"),
        ('{"a": 1e-400}', "beyond double", "a string"),
        ('{"a": 0.1234567890123456789}', "more digits than a double holds", "'double' takes the nearest"),
    ],
)
def test_values_that_no_type_holds_are_refused_with_the_schema_that_does(
    content: str, says: str, declare: str, read: Read, tmp_path: Path
) -> None:
    message = told(read, content)

    assert message.startswith("[INPUT_TYPES]")
    assert says.replace("FILE", str(tmp_path / "a.json")) in message
    assert declare in message
    assert read(content, wanted=["other"]).rows, "a column that is not read does no harm"


@pytest.mark.parametrize(
    ("number", "type_"),
    [
        ("-9223372036854775808", "bigint"),
        ("0.10000000000000000555", "double"),
        ("1e308", "double"),
        ("5e-324", "double"),
        ("12345678901234567.0", "double"),
        ("-0.0", "double"),
        ("Infinity", "double"),
    ],
)
def test_numbers_that_a_type_holds_are_accepted(number: str, type_: str, read: Read) -> None:
    assert found_types(read(f'{{"a": {number}}}')) == {"a": type_}


def test_a_double_that_was_written_as_an_integer_is_one(read: Read) -> None:
    assert found_types(read('{"a": 0.5}\n{"a": 100000000000000000000}\n{"a": 123456789012345680000}')) == {
        "a": "double"
    }


def test_names_that_spark_takes_for_one_are_refused(read: Read) -> None:
    assert "[INPUT_COLUMN_NAMES]" in told(read, '{"a": 1}\n{"A": 1}')
    assert "[INPUT_COLUMN_NAMES]" in told(read, '{"o": {"a": 1}}\n{"o": {"A": 1}}')


def test_a_declared_type_holds_each_value_or_names_its_line(read: Read, tmp_path: Path) -> None:
    message = told(read, '{"price": 19.99}\n{"price": 19.995}', declared="price decimal(10,2)")

    assert message.startswith("[INPUT_VALUE] column 'price' of the json input, declared decimal(10,2)")
    assert f"a number with more than 2 digits after the decimal point ('{tmp_path / 'a.json'}', line 2)" in message
    assert read('{"price": 19.99}\n{"price": 20}\n{"price": 19.990}', declared="price decimal(10,2)").rows == 3


def test_declared_columns_are_looked_at_and_others_not(read: Read) -> None:
    found = read('{"id": 1, "junk": 1}\n{"id": 2, "junk": "x"}\n{"junk": 1e400}', declared="id bigint")

    assert found.count_nulls(["id"]) == {"id": 1}
    assert found.schema is not None
    assert found.schema.names == ["id", "junk"]


def test_null_in_a_column_without_null_is_refused(read: Read) -> None:
    declared = StructType([StructField("id", LongType(), nullable=False)])

    assert read('{"id": 1}', declared=declared).count_nulls(["id"]) == {"id": 0}
    assert told(read, '{"id": 1}\n{"x": 1}', declared=declared).startswith("[INPUT_NULL] column 'id'")


def test_a_declared_type_that_arrow_does_not_know_is_sparks_matter(read: Read) -> None:
    assert read('{"v": [1, "x"]}', declared=StructType([StructField("v", VariantType())])).rows == 1


def test_a_packed_file_is_read_and_one_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    content = gzip.compress(b"".join(json.dumps({"a": number}).encode() + b"\n" for number in range(5000)))
    path.write_bytes(content)
    assert read_json(NO_SPARK, [InputFile(str(path), len(content), 1)], {}, None, None).rows == 5000

    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SparkscoreError, match=r"\[INPUT_UNREADABLE\].*a\.json\.gz"):
        read_json(NO_SPARK, [InputFile(str(path), len(content), 1)], {}, None, None)


def test_lines_are_counted_over_the_parts_of_a_file(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_SHARE_BYTES", 100)
    lines = [json.dumps({"a": number}) for number in range(500)]
    assert read("\n".join(lines)).rows == 500

    lines[377] = '{"a": 1, "a": 2}'
    assert "line 378" in told(read, "\r\n".join(lines))


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "utf-16-le"])
def test_another_encoding_needs_no_more_than_its_name(encoding: str, read: Read) -> None:
    content = '{"a": "café"}\n{"a": "ö"}\n'.encode(encoding)

    assert read(content, encoding=encoding).rows == 2
    assert json_options({"encoding": encoding})["lineSep"] == "\n"
    assert "[INPUT_ENCODING]" in told(read, content)


def test_what_is_nested_too_deep_to_have_a_type_is_refused(read: Read) -> None:
    content = '{"a": ' + "[" * 900 + "]" * 900 + "}"

    assert "[INPUT_TYPES]" in told(read, content)
    assert read(content, declared="a string").rows == 1


def test_a_mark_before_wide_text_in_lines_is_refused(read: Read) -> None:
    message = told(read, '{"a": 1}\n'.encode("utf-16"), encoding="UTF-16LE")

    assert message.startswith("[INPUT_ENCODING]")
    assert "iconv -f UTF-16 " in message
    assert read('[{"a": 1}]'.encode("utf-16"), encoding="UTF-16", multiLine="true").rows == 1


def test_nulls_are_not_known_where_spark_may_drop_records_or_values(read: Read) -> None:
    assert read('{"a": 1}\n', mode="PERMISSIVE").are_all_read is False
    assert read('{"a": 1}\n').are_all_read


def test_a_separator_of_the_user_ends_records(read: Read) -> None:
    assert read('{"a": 1};{"a": 2};', lineSep=";").rows == 2


def test_signs_of_windows_are_not_read_as_control_characters(read: Read) -> None:
    content = '{"a": "x"}\n{"a": "5 €"}\n'.encode("cp1252")

    assert "line 2" in (message := told(read, content, encoding="ISO-8859-1"))
    assert "windows-1252" in message
    assert "line 2" in told(read, b'[{"a": "x"},\n{"a": "5 \x80"}]', encoding="ISO-8859-1", multiLine="true")


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        (gzip.compress(b"{}"), "Rename the file"),
        (b"PK\x03\x04", "Unpack it"),
        (b"PAR1", "--input-format parquet"),
        ('{"a": 1}\n'.encode("utf-16"), "iconv -f UTF-16LE -t UTF-8"),
        ('{"a": 1}\n'.encode("utf-16-be"), "iconv -f UTF-16BE -t UTF-8"),
    ],
)
@pytest.mark.parametrize("is_multiline", ["false", "true"])
def test_a_file_that_is_no_text_at_all_is_called_what_it_is(
    content: bytes, fix: str, is_multiline: str, read: Read
) -> None:
    message = told(read, content, multiLine=is_multiline)

    assert message.startswith("[INPUT_ENCODING]")
    assert fix in message
    assert "WINDOWS" not in message


@pytest.mark.parametrize("options", [{"encoding": "utf-16"}, {"encoding": "cp1252"}, {"allowComments": "true"}])
def test_options_with_which_nothing_can_be_told_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(SparkscoreError, match=r"\[INPUT_(ENCODING|OPTIONS)\]"):
        json_options(options)


def test_options_of_types_leave_them_to_spark(read: Read) -> None:
    assert read('{"a": 5}\n{"a": "5"}', primitivesAsString="true").schema is None


def test_lines_that_the_deployment_drops_are_not_refused(read: Read) -> None:
    assert read('{"a": 5}\n{"a":\n{"a": 6}', mode="DROPMALFORMED").rows == 2
