"""What a model takes, and the columns that it gets."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import SignatureMismatchError
from sparkscore.scorers.feed import feed_columns, feed_tensor
from sparkscore.signature.matching import columns_without_null, describe_feeds, match_inputs, refuse_known_nulls
from sparkscore.signature.model_signature import ColumnInput, Feed, ModelInput, TensorInput
from sparkscore.signature.widening import is_exact, is_rounded

DOUBLE, FLOAT, INT, BIGINT = pa.float64(), pa.float32(), pa.int32(), pa.int64()
SCHEMA = pa.schema([("a", DOUBLE), ("b", DOUBLE), ("c", pa.string()), ("v", pa.list_(DOUBLE)), ("n", BIGINT)])

TYPES = {
    "i8": pa.int8(), "i16": pa.int16(), "i32": pa.int32(), "i64": pa.int64(),
    "u8": pa.uint8(), "u16": pa.uint16(), "u32": pa.uint32(), "u64": pa.uint64(),
    "f16": pa.float16(), "f32": pa.float32(), "f64": pa.float64(),
    "bool": pa.bool_(), "dec": pa.decimal128(4, 0), "dec2": pa.decimal128(6, 2), "null": pa.null(),
    "str": pa.string(), "lstr": pa.large_string(), "bin": pa.binary(), "lbin": pa.large_binary(),
    "date": pa.date32(), "date64": pa.date64(), "ntz": pa.timestamp("us"), "ns": pa.timestamp("ns"),
    "utc": pa.timestamp("us", "UTC"), "zone": pa.timestamp("us", "Asia/Kathmandu"), "time": pa.time64("us"),
    "span": pa.duration("us"),
}  # fmt: skip
MOMENTS = "ntz ns utc zone"
WIDER = {
    "i8": "i8 i16 i32 i64 f16 f32 f64",
    "i16": "i16 i32 i64 f32 f64",
    "i32": "i32 i64 f64",
    "i64": "i64",
    "u8": "u8 u16 u32 u64 i16 i32 i64 f16 f32 f64",
    "u16": "u16 u32 u64 i32 i64 f32 f64",
    "u32": "u32 u64 i64 f64",
    "u64": "u64",
    "f16": "f16 f32 f64",
    "f32": "f32 f64",
    "f64": "f64",
    "bool": "bool",
    "dec": "dec",
    "dec2": "dec2",
    "null": "null",
    "str": "str lstr",
    "lstr": "str lstr",
    "bin": "bin lbin",
    "lbin": "bin lbin",
    "date": f"date {MOMENTS}",
    "date64": f"date64 {MOMENTS}",
    "ntz": MOMENTS,
    "ns": MOMENTS,
    "utc": MOMENTS,
    "zone": MOMENTS,
    "time": "time",
    "span": "span",
}
NUMBERS = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f16", "f32", "f64", "dec", "dec2"]
FLOATS = {"f16", "f32", "f64"}
# Spark has no unsigned integers: its own become such where each value is one.
BY_VALUE = {(given, wanted) for given in NUMBERS[:4] for wanted in NUMBERS[4:8]}


def matched(
    inputs: Sequence[ModelInput],
    columns: pa.Schema | None = SCHEMA,
    chosen: Mapping[str, Sequence[str]] | None = None,
    *,
    rounds: bool = False,
) -> list[tuple[str | None, tuple[str, ...]]]:
    feeds = match_inputs(inputs, columns, chosen or {}, rounds=rounds)
    assert all(feed.rounds == rounds for feed in feeds if feed.columns)
    assert pickle.loads(pickle.dumps(feeds)) == feeds  # noqa: S301 - as Spark sends it
    return [(feed.name, feed.columns) for feed in feeds]


def refused(
    inputs: Sequence[ModelInput],
    columns: pa.Schema | None = SCHEMA,
    chosen: Mapping[str, Sequence[str]] | None = None,
    *,
    rounds: bool = False,
) -> SignatureMismatchError:
    with pytest.raises(SignatureMismatchError) as caught:
        match_inputs(inputs, columns, chosen or {}, rounds=rounds)
    assert caught.value.code == "SIGNATURE_MISMATCH"
    assert caught.value.next_step.endswith(".")
    return caught.value


# ---------------------------------------------------------------------------------------------------------- widening


def test_the_table_of_types_is_complete() -> None:
    assert WIDER.keys() == TYPES.keys()


@pytest.mark.parametrize("given", TYPES)
def test_a_type_goes_only_where_every_value_fits(given: str) -> None:
    allowed = set(WIDER[given].split())

    assert {name for name, type_ in TYPES.items() if is_exact(TYPES[given], type_)} == allowed
    for name, type_ in TYPES.items():
        for deep in (pa.list_, pa.large_list, lambda one: pa.list_(pa.list_(one)), lambda one: pa.list_(one, 3)):
            assert is_exact(deep(TYPES[given]), deep(type_)) == (name in allowed), name
            assert not is_exact(TYPES[given], deep(type_))
            assert not is_exact(deep(TYPES[given]), type_)


@pytest.mark.parametrize("given", TYPES)
def test_columns_match_where_the_table_says_so(given: str) -> None:
    columns = pa.schema([("x", TYPES[given])])

    for name, type_ in TYPES.items():
        for one in (ColumnInput("x", type_), TensorInput("x", type_, (-1, 1))):
            if name in WIDER[given].split() or (given, name) in BY_VALUE:
                assert matched([one], columns) == [("x", ("x",))]
            else:
                assert "column 'x': got " in refused([one], columns).what


@pytest.mark.parametrize("given", TYPES)
def test_only_numbers_are_rounded_and_only_to_floats(given: str) -> None:
    expected = FLOATS if given in NUMBERS else set()

    assert {name for name, type_ in TYPES.items() if is_rounded(TYPES[given], type_)} == expected
    assert {name for name, type_ in TYPES.items() if is_rounded(pa.list_(TYPES[given]), pa.list_(type_))} == expected


@pytest.mark.parametrize("given", TYPES)
def test_rounding_allows_what_the_tables_say(given: str) -> None:
    columns = pa.schema([("x", TYPES[given])])

    for name, type_ in TYPES.items():
        is_taken = name in WIDER[given].split() or (given, name) in BY_VALUE
        if is_taken or (given in NUMBERS and name in FLOATS):
            assert matched([ColumnInput("x", type_)], columns, rounds=True) == [("x", ("x",))]
        else:
            assert "model.round_inputs" not in refused([ColumnInput("x", type_)], columns, rounds=True).next_step


INTEGERS = st.sampled_from([TYPES[name] for name in NUMBERS[:8]])


@given(INTEGERS, st.sampled_from([TYPES[name] for name in NUMBERS[:11]]))
def test_an_integer_is_widened_if_the_ends_of_its_range_survive(given: pa.DataType, wanted: pa.DataType) -> None:
    signed = pa.types.is_signed_integer(given)
    ends = [-(2 ** (given.bit_width - 1)), 2 ** (given.bit_width - 1) - 1] if signed else [0, 2**given.bit_width - 1]

    try:
        survive = pa.array(ends, given).cast(wanted).cast(given).to_pylist() == ends
    except pa.ArrowInvalid:
        survive = False

    assert is_exact(given, wanted) == survive


@pytest.mark.parametrize(
    ("given", "wanted", "exact"),
    [
        (pa.struct([("p", INT), ("q", pa.string())]), pa.struct([("q", pa.string()), ("p", BIGINT)]), True),
        (pa.struct([("p", INT), ("q", pa.string())]), pa.struct([("p", INT)]), True),
        (pa.struct([("p", INT)]), pa.struct([("p", INT), ("q", pa.string())]), False),
        (pa.struct([("p", INT)]), pa.struct([("P", INT)]), False),
        (pa.struct([("p", BIGINT)]), pa.struct([("p", DOUBLE)]), False),
        (pa.list_(pa.struct([("p", INT)])), pa.list_(pa.struct([("p", DOUBLE)])), True),
        (pa.map_(pa.string(), INT), pa.map_(pa.string(), DOUBLE), True),
        (pa.map_(INT, INT), pa.map_(BIGINT, INT), True),
        (pa.map_(pa.string(), DOUBLE), pa.map_(pa.string(), FLOAT), False),
        (pa.map_(BIGINT, INT), pa.map_(INT, INT), False),
        (pa.map_(pa.string(), INT), pa.struct([("p", INT)]), False),
        (pa.struct([("p", INT)]), pa.map_(pa.string(), INT), False),
        (pa.list_(INT), pa.large_list(DOUBLE), True),
        (pa.list_(INT, 2), pa.list_(DOUBLE), True),
        (pa.list_(INT), pa.list_(pa.list_(INT)), False),
    ],
)
def test_types_within_types(given: pa.DataType, wanted: pa.DataType, exact: bool) -> None:  # noqa: FBT001 - a case
    assert is_exact(given, wanted) is exact


def test_structs_are_not_rounded() -> None:
    assert not is_rounded(pa.struct([("p", DOUBLE)]), pa.struct([("p", FLOAT)]))
    assert not is_rounded(pa.list_(DOUBLE), FLOAT)


# ------------------------------------------------------------------------------------------------------------ columns


def test_columns_go_by_name_in_the_models_order_and_others_stay_out() -> None:
    inputs = [ColumnInput("c", pa.string()), ColumnInput("a", DOUBLE)]

    assert match_inputs(inputs, SCHEMA, {}, rounds=False) == (
        Feed("c", ("c",), pa.string()),
        Feed("a", ("a",), DOUBLE),
    )


def test_a_column_of_any_type_goes_where_the_model_takes_any() -> None:
    for column in SCHEMA.names:
        assert matched([ColumnInput(column, None)]) == [(column, (column,))]


def test_columns_without_names_go_by_position() -> None:
    columns = pa.schema([("z", pa.int8()), ("a", pa.string())])

    assert matched([ColumnInput(None, DOUBLE), ColumnInput(None, pa.string())], columns) == [
        (None, ("z",)),
        (None, ("a",)),
    ]
    error = refused([ColumnInput(None, pa.string()), ColumnInput(None, DOUBLE)], columns)
    assert "column 'z': got tinyint, expected string; column 'a': got string, expected double" in error.what


@pytest.mark.parametrize("count", [1, 3])
def test_position_needs_as_many_columns(count: int) -> None:
    error = refused([ColumnInput(None, DOUBLE)] * count, pa.schema([("a", DOUBLE), ("b", DOUBLE)]))

    assert error.what.endswith(f"got 2 columns, expected {count} without names")
    assert "'input.columns'" in error.next_step


def test_names_beat_position_when_only_some_have_none() -> None:
    error = refused([ColumnInput(None, DOUBLE), ColumnInput("b", DOUBLE)], pa.schema([("a", DOUBLE), ("b", DOUBLE)]))

    assert "column '': got none" in error.what


def test_a_chosen_column_has_another_name() -> None:
    inputs = [ColumnInput("x", DOUBLE), ColumnInput("a", DOUBLE)]

    assert matched(inputs, SCHEMA, {"x": ["b"]}) == [("x", ("b",)), ("a", ("a",))]
    assert matched(inputs, SCHEMA, {"x": ["a"], "a": ["b"]}) == [("x", ("a",)), ("a", ("b",))]
    assert matched([ColumnInput(None, DOUBLE)], SCHEMA, {"input": ["b"]}) == [(None, ("b",))]


def test_an_optional_column_may_be_missing_but_not_of_another_type() -> None:
    optional = ColumnInput("x", DOUBLE, is_required=False)

    assert matched([optional, ColumnInput("a", DOUBLE)]) == [("a", ("a",))]
    assert matched([ColumnInput("b", DOUBLE, is_required=False)]) == [("b", ("b",))]
    assert "column 'c': got string, expected double" in refused([ColumnInput("c", DOUBLE, is_required=False)]).what


# ------------------------------------------------------------------------------------------------------------ tensors


@pytest.mark.parametrize(
    ("one", "chosen", "columns"),
    [
        (TensorInput("v", DOUBLE, (-1, 3)), {}, ("v",)),
        (TensorInput("v", DOUBLE, (-1, -1)), {}, ("v",)),
        (TensorInput("a", DOUBLE, (-1,)), {}, ("a",)),
        (TensorInput("a", DOUBLE, (-1, 1)), {}, ("a",)),
        (TensorInput("x", DOUBLE, (-1, 2)), {"x": ["b", "a"]}, ("b", "a")),
        (TensorInput("x", DOUBLE, (-1, 1, 2)), {"x": ["b", "a"]}, ("b", "a")),
        (TensorInput("x", DOUBLE, (-1, -1)), {"x": ["b", "a"]}, ("b", "a")),
        (TensorInput("x", DOUBLE, (5, 2)), {"x": ["b", "a"]}, ("b", "a")),
        (TensorInput("a", DOUBLE, (-1, 1)), {"a": ["b"]}, ("b",)),
        (TensorInput(None, DOUBLE, (-1, 2)), {"input": ["b", "a"]}, ("b", "a")),
        (TensorInput(None, DOUBLE, (-1, 2, 2)), {"input": ["v"]}, ("v",)),
        (TensorInput("x", None, (-1, 2)), {"x": ["c", "a"]}, ("c", "a")),
    ],
)
def test_a_tensor_gets_its_columns(one: TensorInput, chosen: dict[str, list[str]], columns: tuple[str, ...]) -> None:
    assert match_inputs([one], SCHEMA, chosen, rounds=False) == (Feed(one.name, columns, one.type, one.shape),)


@pytest.mark.parametrize("name", [None, "features"])
@pytest.mark.parametrize("width", [2, -1])
def test_a_tensor_alone_gets_all_columns(name: str | None, width: int) -> None:
    columns = pa.schema([("b", DOUBLE), ("a", INT)])

    assert matched([TensorInput(name, DOUBLE, (-1, width))], columns) == [(name, ("b", "a"))]


def test_one_of_several_tensors_gets_only_its_own_column() -> None:
    several = [TensorInput("a", DOUBLE, (-1, 1)), TensorInput("x", DOUBLE, (-1, 4))]

    assert "column 'x': got none, expected double" in refused(several).what
    assert matched(several, SCHEMA, {"x": ["v"]}) == [("a", ("a",)), ("x", ("v",))]


@pytest.mark.parametrize(
    ("given", "shape", "told"),
    [
        (pa.list_(BIGINT), (-1, 2), "got bigint, expected double"),
        (pa.list_(pa.list_(pa.string())), (-1, 2, 2), "got string, expected double"),
        (pa.list_(pa.list_(pa.list_(DOUBLE))), (-1, 2), "got array<double>, expected double"),
        (pa.struct([("p", DOUBLE)]), (-1, 1), "got struct<p:double>, expected double"),
        (pa.bool_(), (-1, 1), "got boolean, expected double"),
    ],
)
def test_a_tensors_values_have_its_type(given: pa.DataType, shape: tuple[int, ...], told: str) -> None:
    assert f"column 'v': {told}" in refused([TensorInput("v", DOUBLE, shape)], pa.schema([("v", given)])).what


@pytest.mark.parametrize(
    ("one", "chosen", "told", "name"),
    [
        (TensorInput("x", DOUBLE, (-1, 3)), {"x": ["a", "b"]}, "input 'x': got 2 columns, expected 3 values", "x"),
        (TensorInput("x", DOUBLE, (-1, 2, 3)), {"x": ["a"]}, "input 'x': got 1 columns, expected 6 values", "x"),
        (TensorInput(None, DOUBLE, (-1, 3)), {}, "input 'input': got 5 columns, expected 3 values", "input"),
        (TensorInput("x", DOUBLE, (-1,)), {"x": ["a", "b"]}, "input 'x': got 2 columns, expected 1 values", "x"),
    ],
)
def test_a_tensor_of_another_width_is_refused(
    one: TensorInput, chosen: dict[str, list[str]], told: str, name: str
) -> None:
    error = refused([one], SCHEMA, chosen)

    assert f"{told} in a row" in error.what
    assert f"'model.inputs: {{{name}: [COLUMN, …]}}'" in error.next_step


# -------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    "one",
    [
        TensorInput("x", pa.uint8(), (-1, 3, 8, 8)),
        TensorInput(None, FLOAT, (-1,)),
        TensorInput("x", None, (-1,)),
        ColumnInput("image", pa.binary()),
        ColumnInput(None, pa.binary()),
    ],
)
def test_files_go_to_one_tensor_of_numbers_or_one_column_of_bytes(one: ModelInput) -> None:
    shape = one.shape if isinstance(one, TensorInput) else None

    assert match_inputs([one], None, {}, rounds=True) == (Feed(one.name, (), one.type, shape),)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ([ColumnInput("x", DOUBLE)], "x double"),
        ([ColumnInput("x", None)], "x any type"),
        ([TensorInput("x", pa.string(), (-1, 2))], "x string[-1,2]"),
        ([TensorInput("x", pa.bool_(), (-1, 2))], "x boolean[-1,2]"),
        ([ColumnInput(None, pa.binary()), ColumnInput("k", BIGINT)], "input binary, k bigint"),
        ([TensorInput("x", FLOAT, (-1, 2)), TensorInput("y", FLOAT, (-1,))], "x float[-1,2], y float[-1]"),
    ],
)
def test_files_fit_nothing_else(inputs: list[ModelInput], told: str) -> None:
    error = refused(inputs, None)

    assert error.what == f"the input does not fit the model: the input is files, the model takes {told}"
    assert "'input.format'" in error.next_step


# ----------------------------------------------------------------------------------------------------------- refusals


def test_every_column_that_does_not_fit_is_told() -> None:
    error = refused([ColumnInput("a", FLOAT), ColumnInput("c", BIGINT), ColumnInput("z", DOUBLE)])

    assert str(error) == (
        "[SIGNATURE_MISMATCH] the input does not fit the model: column 'a': got double, expected float; "
        "column 'c': got string, expected bigint; column 'z': got none, expected double. Nothing was written. "
        "Rename or add the columns, or name them with 'model.inputs: {NAME: COLUMN}'."
    )


def test_ten_problems_are_told_and_the_others_counted() -> None:
    inputs = [ColumnInput(f"{number}!", DOUBLE) for number in range(13)]

    assert refused(inputs).what.count("got none") == 10
    assert refused(inputs).what.endswith("; and 3 more")
    assert "more" not in refused(inputs[:10]).what


@pytest.mark.parametrize(
    ("wanted", "hint"), [("Age", "age"), ("agee", "age"), ("CITY_NAME", "city_name"), ("zip", None), ("age ", "age")]
)
def test_a_near_name_is_offered_and_not_taken(wanted: str, hint: str | None) -> None:
    error = refused([ColumnInput(wanted, BIGINT)], pa.schema([("age", BIGINT), ("city_name", pa.string())]))

    told = f"column '{wanted}': got none, expected bigint"
    assert error.what.endswith(told if hint is None else f"{told}, did you mean '{hint}'")


def test_rounding_is_offered_only_where_it_helps() -> None:
    offer = "'model.round_inputs: true'"

    assert offer in refused([ColumnInput("n", DOUBLE)]).next_step
    assert offer in refused([ColumnInput("v", pa.list_(FLOAT))]).next_step
    assert offer in refused([TensorInput("v", FLOAT, (-1, 2))]).next_step
    assert offer not in refused([ColumnInput("c", DOUBLE)]).next_step
    assert offer not in refused([ColumnInput("a", BIGINT)]).next_step


def test_an_input_that_the_model_does_not_have_is_refused() -> None:
    error = refused([ColumnInput("a", DOUBLE), TensorInput(None, DOUBLE, (-1, 1))], SCHEMA, {"A": ["a"]})

    assert "'model.inputs' names 'A', the model has 'a', 'input'" in error.what


def test_a_chosen_column_that_is_not_there_is_refused() -> None:
    column = refused([ColumnInput("x", DOUBLE)], SCHEMA, {"x": ["B"]})
    tensor = refused([TensorInput("x", DOUBLE, (-1, 2))], SCHEMA, {"x": ["a", "z"]})

    assert "column 'B': got none, expected double, did you mean 'b'" in column.what
    assert "'model.inputs' names 'z', the input has 'a', 'b', 'c', 'n', 'v'" in tensor.what


def test_a_type_that_spark_lacks_keeps_its_name() -> None:
    error = refused([ColumnInput("a", pa.float16()), ColumnInput("b", pa.uint64())])

    assert "'a': got double, expected halffloat; column 'b': got double, expected uint64" in error.what


# -------------------------------------------------------------------------------------------------------- description


@pytest.mark.parametrize(
    ("feeds", "lines"),
    [
        ([], []),
        (
            [Feed("a", ("a",), DOUBLE), Feed("b", ("b",), DOUBLE)],
            ["inputs a, b (double) get the columns of the same name"],
        ),
        (
            [Feed(name, (name,), DOUBLE) for name in "abcde"],
            ["inputs a, b, c and 2 more (double) get the columns of the same name"],
        ),
        (
            [Feed("a", ("a",), DOUBLE), Feed("s", ("s",), pa.string()), Feed("b", ("b",), DOUBLE)],
            [
                "inputs a, b (double) get the columns of the same name",
                "input s (string) gets the column of the same name",
            ],
        ),
        (
            [Feed("x", ("a",), DOUBLE), Feed("b", ("b",), DOUBLE)],
            ["input b (double) gets the column of the same name", "input x (double) gets column a"],
        ),
        ([Feed("a", ("a",), None)], ["input a (any type) gets the column of the same name"]),
        ([Feed(None, ("a",), FLOAT)], ["unnamed input (float) gets column a"]),
        ([Feed("x", ("x",), pa.uint8(), (-1, 3))], ["input x (uint8[-1,3]) gets column x"]),
        ([Feed(None, tuple("abcd"), FLOAT, (-1, 4))], ["unnamed input (float[-1,4]) gets columns a, b, c and 1 more"]),
        ([Feed("x", (), pa.uint8(), (-1, 3, 8, 8))], ["input x (uint8[-1,3,8,8]) gets each file"]),
        ([Feed("x", (), pa.binary())], ["input x (binary) gets each file"]),
    ],
)
def test_feeds_are_described(feeds: list[Feed], lines: list[str]) -> None:
    assert describe_feeds(feeds) == lines


def test_inputs_without_names_take_the_chosen_columns_in_their_order() -> None:
    columns = pa.schema([("a", pa.float64()), ("b", pa.float64())])
    inputs = [ColumnInput(None, pa.float64())] * 2

    feeds = match_inputs(inputs, columns, {"input": ["b", "a"]}, rounds=False)

    assert [feed.columns for feed in feeds] == [("b",), ("a",)]


@pytest.mark.parametrize("chosen", [{"x": ["typo"]}, {"x": ["b", "a"]}])
def test_a_choice_that_cannot_be_met_is_refused_also_for_an_optional_input(chosen: dict[str, list[str]]) -> None:
    columns = pa.schema([("a", pa.float64()), ("b", pa.float64())])

    with pytest.raises(SignatureMismatchError):
        match_inputs([ColumnInput("x", pa.float64(), is_required=False)], columns, chosen, rounds=False)


def test_a_column_of_lists_is_not_joined_with_others() -> None:
    columns = pa.schema([("a", pa.float64()), ("b", pa.list_(pa.float64()))])

    with pytest.raises(SignatureMismatchError, match="of lists cannot be joined"):
        match_inputs([TensorInput("x", pa.float64(), (-1, -1))], columns, {}, rounds=False)


# -------------------------------------------------------------------------------------------------------------- NULLs


@pytest.mark.parametrize(
    ("feed", "is_refused"),
    [
        (Feed("n", ("n",), BIGINT), True),
        (Feed("n", ("n",), pa.bool_()), True),
        (Feed("n", ("n",), DOUBLE), False),
        (Feed("n", ("n",), pa.string()), False),
        (Feed("n", ("n",), None), False),
        (Feed("x", ("m", "n"), BIGINT, (-1, 2)), True),
        (Feed("x", ("m", "n"), pa.string(), (-1, 2)), True),
        (Feed("x", ("m", "n"), FLOAT, (-1, 2)), False),
    ],
)
def test_known_nulls_are_refused_where_they_have_no_value(feed: Feed, is_refused: bool) -> None:  # noqa: FBT001
    assert ("n" in columns_without_null([feed])) == is_refused
    refuse_known_nulls([feed], {"n": 0, "other": 3})
    if not is_refused:
        refuse_known_nulls([feed], {"n": 1200})
        return
    with pytest.raises(SignatureMismatchError) as caught:
        refuse_known_nulls([feed], {"n": 1200})
    assert "column 'n': got 1,200 NULLs" in caught.value.what
    assert "settings.error_threshold" in caught.value.next_step


def test_known_nulls_among_texts_have_an_advice_of_their_own() -> None:
    feeds = [Feed("t", ("t",), pa.string(), (-1, 1)), Feed("n", ("n",), BIGINT)]

    with pytest.raises(SignatureMismatchError) as caught:
        refuse_known_nulls(feeds, {"t": 3})
    assert "tensor of texts" in caught.value.next_step
    with pytest.raises(SignatureMismatchError, match="doubles"):
        refuse_known_nulls(feeds, {"t": 3, "n": 1})


DOUBT = "the files 'a' and 'b' do not have the same columns in the same order"
POSITIONS: list[list[ColumnInput] | list[TensorInput]] = [
    [ColumnInput(None, pa.float64()), ColumnInput(None, pa.float64())],
    [TensorInput(None, pa.float64(), (-1, 2))],
    [TensorInput("t", pa.float64(), (-1, -1))],
]


@pytest.mark.parametrize("inputs", POSITIONS)
def test_columns_without_an_order_do_not_go_by_position(inputs: list[ColumnInput] | list[TensorInput]) -> None:
    columns = pa.schema([("x", pa.float64()), ("y", pa.float64())])

    with pytest.raises(SignatureMismatchError, match=r"by position: the files 'a'.*'input\.columns: \[x, y\]'"):
        match_inputs(inputs, columns, {}, rounds=False, order_doubt=DOUBT)

    chosen = {inputs[0].name or "input": ["y", "x"]}
    feeds = match_inputs(inputs, columns, chosen, rounds=False, order_doubt=DOUBT)
    assert [column for feed in feeds for column in feed.columns] == ["y", "x"]
    assert match_inputs(inputs, columns, {}, rounds=False)


def test_columns_without_an_order_go_by_name_and_one_column_has_no_other() -> None:
    columns = pa.schema([("x", pa.float64()), ("y", pa.float64())])
    named = [ColumnInput("y", pa.float64()), ColumnInput("x", pa.float64())]

    assert [feed.columns for feed in match_inputs(named, columns, {}, rounds=False, order_doubt=DOUBT)] == [
        ("y",),
        ("x",),
    ]
    alone = [TensorInput(None, pa.float64(), (-1, 1))]
    assert match_inputs(alone, pa.schema([("x", pa.float64())]), {}, rounds=False, order_doubt=DOUBT)


@pytest.mark.parametrize("wanted", [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()])
@pytest.mark.parametrize("one", [ColumnInput, TensorInput])
def test_unsigned_integers_take_those_of_spark_value_by_value(wanted: pa.DataType, one: Any) -> None:
    """Spark has no unsigned integers: otherwise no column could feed such an input."""
    shape = () if one is ColumnInput else ((-1, 1),)
    rows = pa.table({"n": [0, 200]})

    (feed,) = match_inputs([one("n", wanted, *shape)], rows.schema, {}, rounds=False)

    fed = feed_tensor(rows, feed) if feed.shape else feed_columns(rows, [feed]).column("n").to_numpy()
    assert (str(fed.dtype), fed.ravel().tolist()) == (str(wanted), [0, 200])
    wrong = pa.table({"n": [-1, 5]})
    with pytest.raises(SignatureMismatchError, match=r"MODEL_INPUT_VALUE.*'n'"):
        feed_tensor(wrong, feed) if feed.shape else feed_columns(wrong, [feed])
    assert "expected uint" in refused([one("n", wanted, *shape)], columns=pa.schema([("n", pa.float64())])).what
