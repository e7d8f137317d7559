"""Spark DDL to Arrow and back."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import ConfigError
from sparkscore.signature import parse_ddl, to_ddl, type_name


def field_of(ddl: str) -> pa.Field:
    return parse_ddl(ddl).field(0)


@pytest.mark.parametrize(
    ("spelling", "type_", "name"),
    [
        ("tinyint", pa.int8(), "tinyint"),
        ("BYTE", pa.int8(), "tinyint"),
        ("smallint", pa.int16(), "smallint"),
        ("short", pa.int16(), "smallint"),
        ("int", pa.int32(), "int"),
        ("Integer", pa.int32(), "int"),
        ("bigint", pa.int64(), "bigint"),
        ("long", pa.int64(), "bigint"),
        ("float", pa.float32(), "float"),
        ("real", pa.float32(), "float"),
        ("double", pa.float64(), "double"),
        ("decimal", pa.decimal128(10, 0), "decimal(10,0)"),
        ("dec ( 7 )", pa.decimal128(7, 0), "decimal(7,0)"),
        ("NUMERIC(38, 38)", pa.decimal128(38, 38), "decimal(38,38)"),
        ("string", pa.string(), "string"),
        ("binary", pa.binary(), "binary"),
        ("boolean", pa.bool_(), "boolean"),
        ("date", pa.date32(), "date"),
        ("timestamp", pa.timestamp("us", "UTC"), "timestamp"),
        ("timestamp_ltz", pa.timestamp("us", "UTC"), "timestamp"),
        ("timestamp_ntz", pa.timestamp("us"), "timestamp_ntz"),
        ("array<array<int>>", pa.list_(pa.list_(pa.int32())), "array<array<int>>"),
        ("map<string,array<long>>", pa.map_(pa.string(), pa.list_(pa.int64())), "map<string,array<bigint>>"),
        (
            "struct<a:int, `b c` string>",
            pa.struct([("a", pa.int32()), ("b c", pa.string())]),
            "struct<a:int,`b c`:string>",
        ),
    ],
)
def test_types_and_their_aliases(spelling: str, type_: pa.DataType, name: str) -> None:
    field = field_of(f"x {spelling}")

    assert field.type == type_
    assert field.nullable
    assert type_name(field.type) == name


def test_names_options_and_comments() -> None:
    schema = parse_ddl(
        "a: int not null, `odd``name, 1` double NOT NULL COMMENT 'it''s \\'x\\'\\n', 1st string comment \"\""
    )

    assert schema.names == ["a", "odd`name, 1", "1st"]
    assert [field.nullable for field in schema] == [False, False, True]
    assert [(field.metadata or {}).get(b"comment") for field in schema] == [None, b"it's 'x'\n", b""]


@pytest.mark.parametrize(
    ("literal", "text"),
    [(r"'\u00e9'", "é"), (r"'\U0001F4A9'", "\U0001f4a9"), (r"'\101'", "A"), (r"'\q\t'", "q\t"), (r"'\%'", r"\%")],
)
def test_escapes_of_comments(literal: str, text: str) -> None:
    assert field_of(f"x int comment {literal}").metadata == {b"comment": text.encode()}


def test_a_lone_struct_is_its_columns() -> None:
    assert parse_ddl(" struct<a: int, b: string> ") == parse_ddl("a int, b string")
    assert parse_ddl("struct int").names == ["struct"]


@pytest.mark.parametrize(
    ("ddl", "position", "told"),
    [
        ("", 1, "at least one column"),
        ("  \n", 1, "at least one column"),
        ("double", 7, "a type"),
        ("a", 2, "a type"),
        ("a doubel", 3, "perhaps 'double'"),
        ("a xyzzy", 3, "such as bigint"),
        ("a int b string", 7, "a comma or the end"),
        ("a int,", 7, "a column name"),
        ("a int, A string", 8, "column 'A' twice"),
        ("a struct<x:int,X:int>", 16, "column 'X' twice"),
        ("a-b int", 2, "got '-'"),
        ("12 int", 1, "a column name"),
        ("1e5 int", 1, "a column name"),
        ("2bd int", 1, "a column name"),
        ("é int", 1, "got 'é'"),
        ("a int comment 'x' not null", 19, "NOT NULL, then COMMENT"),
        ("`` int", 1, "a column name"),
        ("`a int", 1, "got '`'"),
        ("a int not", 10, "NULL after NOT"),
        ("a int not null not null", 16, "got 'not'"),
        ("a int comment x", 15, "in quotes"),
        (r"a int comment '\UFFFFFFFF'", 15, "a Unicode character"),
        (r"a int comment '\ud83d'", 15, "a Unicode character"),
        ("a int default 1", 7, "got 'default'"),
        ("a array", 8, "'<'"),
        ("a array<int", 12, "'>'"),
        ("a map<int>", 10, "','"),
        ("a struct<>", 11, "without fields"),
        ("a struct<int>", 13, "a type"),
        ("a decimal(39,0)", 3, "1 to 38"),
        ("a decimal(0)", 3, "1 to 38"),
        ("a decimal(3,4)", 3, "1 to 38"),
        ("a decimal(-1)", 11, "got '-'"),
        ("a decimal(x)", 11, "a whole number"),
        ("a 'int'", 3, "a type"),
        ("a int)", 6, "a comma or the end"),
    ],
)
def test_what_cannot_be_read_says_where(ddl: str, position: int, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_ddl(ddl)

    assert caught.value.code == "OUTPUT_SCHEMA"
    assert f"character {position}:" in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["void", "interval", "variant", "char(3)", "character(3)", "varchar(9)", "time", "geometry", "geography(4326)"],
)
@pytest.mark.parametrize("place", ["x {}", "x array<{}>", "x map<string,{}>", "x struct<a:{}>"])
def test_types_that_no_result_can_hold_are_refused_by_name(name: str, place: str) -> None:
    with pytest.raises(ConfigError, match=name.split("(", maxsplit=1)[0]) as caught:
        parse_ddl(place.format(name))

    assert caught.value.code == "OUTPUT_SCHEMA"
    assert caught.value.exit_code == 2


def test_depth_is_bounded() -> None:
    assert type_name(field_of("x " + "array<" * 50 + "int" + ">" * 50).type).count("array") == 50
    with pytest.raises(ConfigError, match="more than 50 deep"):
        parse_ddl("x " + "array<" * 5000 + "int" + ">" * 5000)


def test_types_without_a_spark_name() -> None:
    assert type_name(pa.uint64()) == "Arrow uint64"
    assert type_name(pa.list_(pa.large_string())) == "Arrow list<item: large_string>"
    with pytest.raises(ConfigError, match="column 'a': got Arrow type uint64") as caught:
        to_ddl(pa.schema([("a", pa.uint64())]))
    assert caught.value.code == "OUTPUT_SCHEMA"


def column_names() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


def fields(types: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[list[pa.Field]]:
    comments = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    made = st.builds(
        lambda name, type_, nullable, comment: pa.field(
            name, type_, nullable, metadata=None if comment is None else {"comment": comment}
        ),
        column_names(),
        types,
        st.booleans(),
        comments,
    )
    return st.lists(made, min_size=1, max_size=4, unique_by=lambda field: field.name.lower())


def spark_types() -> st.SearchStrategy[pa.DataType]:
    names = [
        "tinyint",
        "smallint",
        "int",
        "bigint",
        "float",
        "double",
        "string",
        "binary",
        "boolean",
        "date",
        "timestamp",
    ]
    scalars = st.sampled_from([field_of(f"x {name}").type for name in [*names, "timestamp_ntz"]])
    decimals = st.tuples(st.integers(1, 38), st.integers(0, 38)).filter(lambda pair: pair[1] <= pair[0])
    return st.recursive(
        scalars | decimals.map(lambda pair: pa.decimal128(*pair)),
        lambda inner: st.one_of(
            inner.map(pa.list_), st.tuples(inner, inner).map(lambda pair: pa.map_(*pair)), fields(inner).map(pa.struct)
        ),
        max_leaves=6,
    )


@given(fields(spark_types()).map(pa.schema))
def test_ddl_round_trip(schema: pa.Schema) -> None:
    back = parse_ddl(to_ddl(schema))

    assert back == schema
    assert [field.metadata for field in back] == [field.metadata for field in schema]
    assert to_ddl(back) == to_ddl(schema)


@given(st.text(alphabet="ab`'\"\\<>(),: 1\ud800éintarystucmpd\n", max_size=40))
def test_any_text_is_read_or_refused(ddl: str) -> None:
    try:
        schema = parse_ddl(ddl)
    except ConfigError as error:
        assert error.code == "OUTPUT_SCHEMA"  # noqa: PT017 - both ends are fine, nothing else is
    else:
        assert parse_ddl(to_ddl(schema)) == schema
