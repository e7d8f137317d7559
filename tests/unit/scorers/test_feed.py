"""Columns as a model takes them: the same values, or none."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import SignatureMismatchError
from sparkscore.scorers.feed import feed_columns, feed_tensor
from sparkscore.signature.matching import match_inputs
from sparkscore.signature.model_signature import ColumnInput, Feed, TensorInput

HALF, FLOAT, DOUBLE, BIGINT = pa.float16(), pa.float32(), pa.float64(), pa.int64()
NAN = math.nan
NOON = dt.datetime(2024, 7, 1, 12)  # noqa: DTZ001 - a clock reading


def column(values: list[Any], given: pa.DataType, wanted: pa.DataType | None, *, rounds: bool = False) -> pa.Table:
    return feed_columns(pa.table({"x": pa.array(values, given)}), [Feed("y", ("x",), wanted, None, rounds)])


def tensor(
    values: list[Any] | pa.Array,
    given: pa.DataType,
    wanted: pa.DataType | None,
    shape: tuple[int, ...] = (-1, -1),
    *,
    rounds: bool = False,
) -> np.ndarray[Any, Any]:
    found = feed_tensor(pa.table({"x": pa.array(values, given)}), Feed("y", ("x",), wanted, shape, rounds))
    assert found.flags.c_contiguous
    return found


def refusal(error: pytest.ExceptionInfo[SignatureMismatchError]) -> str:
    assert error.value.code == "MODEL_INPUT_VALUE"
    assert error.value.next_step.endswith(".")
    return error.value.sentence


# ------------------------------------------------------------------------------------------------------------ columns


@pytest.mark.parametrize(
    ("values", "given", "wanted", "expected"),
    [
        ([1, -128, 127], pa.int8(), BIGINT, [1, -128, 127]),
        ([2**32 - 1], pa.uint32(), DOUBLE, [2.0**32 - 1]),
        ([1, None], pa.int32(), DOUBLE, [1.0, None]),
        ([0.1, None], DOUBLE, DOUBLE, [0.1, None]),
        ([np.float32(0.1)], FLOAT, DOUBLE, [float(np.float32(0.1))]),
        ([5e-324, -0.0, math.inf], DOUBLE, DOUBLE, [5e-324, -0.0, math.inf]),
        ([3, None], pa.int8(), HALF, [3.0, None]),
        ([2**60, None], BIGINT, None, [2**60, None]),
        (["a", None], pa.string(), pa.large_string(), ["a", None]),
        ([b"\xff", None], pa.large_binary(), pa.binary(), [b"\xff", None]),
        ([True], pa.bool_(), pa.bool_(), [True]),
        ([dt.date(2024, 7, 1), None], pa.date32(), pa.timestamp("us"), [NOON.replace(hour=0), None]),
        ([NOON, None], pa.timestamp("us"), pa.timestamp("ms"), [NOON, None]),
        ([[1, 2], None, []], pa.list_(pa.int32()), pa.list_(DOUBLE), [[1.0, 2.0], None, []]),
        ([[1, None]], pa.list_(pa.int32()), pa.list_(BIGINT), [[1, None]]),
        ([{"p": 1, "q": "s"}], pa.struct({"p": pa.int8(), "q": pa.string()}), pa.struct({"p": DOUBLE}), [{"p": 1.0}]),
        ([[("k", 1)]], pa.map_(pa.string(), pa.int8()), pa.map_(pa.string(), DOUBLE), [[("k", 1.0)]]),
    ],
)
def test_a_column_has_the_models_name_and_type(
    values: list[Any], given: pa.DataType, wanted: pa.DataType | None, expected: list[Any]
) -> None:
    table = column(values, given, wanted)

    assert table.schema.field("y").type == (given if wanted is None else wanted)
    assert repr(table["y"].to_pylist()) == repr(expected)


def test_columns_stand_in_the_models_order_and_repeat_if_they_must() -> None:
    rows = pa.table({"a": [1], "b": [2], "c": [3]})

    table = feed_columns(rows, [Feed("z", ("b",), BIGINT), Feed(None, ("a",), BIGINT), Feed("b", ("b",), DOUBLE)])

    assert table.to_pylist() == [{"z": 2, "a": 1, "b": 2.0}]
    assert rows == pa.table({"a": [1], "b": [2], "c": [3]})


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
@pytest.mark.parametrize("unit", ["us", "ns"])
def test_a_moment_loses_its_zone_and_is_read_in_utc(zone: str, unit: str) -> None:
    moment = NOON.replace(tzinfo=dt.UTC)

    plain = column([moment, None], pa.timestamp("us", zone), pa.timestamp(unit))["y"]
    listed = column([[moment], None], pa.list_(pa.timestamp("us", zone)), pa.list_(pa.timestamp(unit)))["y"]

    assert plain.to_pylist() == [NOON, None]
    assert listed.to_pylist() == [[NOON], None]


@pytest.mark.parametrize("wanted", [None, pa.float64()])
def test_a_column_that_fits_is_not_copied(wanted: pa.DataType | None) -> None:
    rows = pa.table({"x": pa.array([1.0, 2.0, 3.0])}).slice(1)

    found = feed_columns(rows, (Feed("x", ("x",), wanted),)).column("x")

    assert found.to_pylist() == [2.0, 3.0]
    assert found.chunk(0).buffers()[1].address == rows.column("x").chunk(0).buffers()[1].address


def test_chunks_and_slices_give_their_own_rows() -> None:
    rows = pa.table({"x": pa.chunked_array([[[0, 1], [2, 3]], [], [[4, 5]]], pa.list_(BIGINT))})

    for start, count in ((0, 3), (1, 2), (2, 1), (1, 1), (3, 0)):
        part = rows.slice(start, count)
        expected = [[0, 1], [2, 3], [4, 5]][start : start + count]
        assert feed_columns(part, [Feed("y", ("x",), pa.list_(DOUBLE))])["y"].to_pylist() == expected
        assert feed_tensor(part, Feed("y", ("x",), DOUBLE, (-1, 2))).tolist() == expected


@pytest.mark.parametrize("wanted", [pa.int32(), BIGINT, pa.bool_()])
def test_no_null_among_integers_and_booleans(wanted: pa.DataType) -> None:
    with pytest.raises(SignatureMismatchError) as caught:
        column([True if wanted == pa.bool_() else 1, None, None], wanted, wanted)

    assert "input column 'x': got 2 NULLs, expected" in refusal(caught)
    assert "without NULLs" in refusal(caught)


@pytest.mark.parametrize(
    ("values", "given", "wanted"),
    [
        ([dt.datetime(1, 1, 1)], pa.timestamp("us"), pa.timestamp("ns")),  # noqa: DTZ001 - a clock reading
        ([NOON.replace(microsecond=1)], pa.timestamp("us"), pa.timestamp("ms")),
        ([dt.date(9999, 12, 31)], pa.date32(), pa.timestamp("ns")),
        ([[NOON.replace(microsecond=1)]], pa.list_(pa.timestamp("us")), pa.list_(pa.timestamp("ms"))),
        ([[1, 2, 3]], pa.list_(BIGINT), pa.list_(BIGINT, 2)),
        ([2**53 + 1], BIGINT, DOUBLE),
        ([300], BIGINT, pa.int8()),
        (["1x"], pa.string(), BIGINT),
        ([{"p": 1}], pa.struct({"p": BIGINT}), BIGINT),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_not_shown(
    values: list[Any], given: pa.DataType, wanted: pa.DataType
) -> None:
    with pytest.raises(SignatureMismatchError) as caught:
        column(values, given, wanted)

    assert "input column 'x': got values that are not " in refusal(caught)
    assert "1x" not in str(caught.value)
    assert caught.value.__suppress_context__


# ------------------------------------------------------------------------------------------------------------ tensors


@pytest.mark.parametrize(
    ("values", "given", "wanted", "shape", "expected"),
    [
        ([1, 2], pa.int8(), FLOAT, (-1, 1), [[1.0], [2.0]]),
        ([1, 2], pa.int8(), FLOAT, (-1,), [1.0, 2.0]),
        ([1, 2], pa.int8(), FLOAT, (-1, -1), [[1.0], [2.0]]),
        ([1, 2], pa.int8(), FLOAT, (-1, 1, 1), [[[1.0]], [[2.0]]]),
        ([1, 2], pa.int8(), FLOAT, (4, 1), [[1.0], [2.0]]),
        ([1, None], pa.int8(), FLOAT, (-1, 1), [[1.0], [NAN]]),
        ([1, None], pa.int8(), HALF, (-1, 1), [[1.0], [NAN]]),
        ([None, None], DOUBLE, DOUBLE, (-1,), [NAN, NAN]),
        ([0.1, -0.0], DOUBLE, DOUBLE, (-1,), [0.1, -0.0]),
        ([True, False], pa.bool_(), pa.bool_(), (-1, 1), [[True], [False]]),
        (["a", "ü"], pa.string(), pa.string(), (-1, 1), [["a"], ["ü"]]),
        ([b"a", b""], pa.binary(), pa.binary(), (-1,), [b"a", b""]),
        (["a", "b"], pa.string(), None, (-1, 1), [["a"], ["b"]]),
        ([[1, 2], [3, 4]], pa.list_(pa.int8()), BIGINT, (-1, 2), [[1, 2], [3, 4]]),
        ([[1, 2], [3, 4]], pa.large_list(pa.int8()), BIGINT, (-1, -1), [[1, 2], [3, 4]]),
        ([[1, 2], [3, 4]], pa.list_(pa.int8(), 2), BIGINT, (-1, -1), [[1, 2], [3, 4]]),
        ([[1, None]], pa.list_(pa.int8()), DOUBLE, (-1, 2), [[1.0, NAN]]),
        ([["a", "b"]], pa.list_(pa.string()), pa.string(), (-1, 2), [["a", "b"]]),
        ([[1, 2, 3, 4]], pa.list_(pa.int8()), BIGINT, (-1, 2, 2), [[[1, 2], [3, 4]]]),
        ([[1, 2, 3, 4]], pa.list_(pa.int8()), BIGINT, (-1, 2, -1), [[[1, 2], [3, 4]]]),
        ([[[1, 2], [3, 4]]], pa.list_(pa.list_(pa.int8())), BIGINT, (-1, 2, 2), [[[1, 2], [3, 4]]]),
        ([[[1, 2, 3]]], pa.list_(pa.list_(pa.int8())), BIGINT, (-1, -1, -1), [[[1, 2, 3]]]),
        ([[7], [8]], pa.list_(pa.int8()), BIGINT, (-1,), [7, 8]),
        ([[], []], pa.list_(pa.int8()), BIGINT, (-1, -1), [[], []]),
    ],
)
def test_one_column_becomes_a_tensor(
    values: list[Any], given: pa.DataType, wanted: pa.DataType | None, shape: tuple[int, ...], expected: list[Any]
) -> None:
    found = tensor(values, given, wanted, shape)

    assert repr(found.tolist()) == repr(expected)
    if wanted is not None and not pa.types.is_string(wanted) and not pa.types.is_binary(wanted):
        assert found.dtype == np.dtype(wanted.to_pandas_dtype())
    else:
        assert found.dtype == object


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((-1, 4), (2, 4)),
        ((-1, -1), (2, 4)),
        ((-1, 2, 2), (2, 2, 2)),
        ((-1, 2, -1), (2, 2, 2)),
        ((-1, -1, 2), (2, 2, 2)),
        ((-1, 1, 4, 1), (2, 1, 4, 1)),
    ],
)
def test_several_columns_stand_side_by_side_in_their_order(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    rows = pa.table({"a": [0, 4], "b": [1, 5], "c": [2.0, None], "d": pa.array([3, 7], pa.int8())})

    found = feed_tensor(rows, Feed("x", ("d", "b", "c", "a"), DOUBLE, shape))

    assert found.shape == expected
    np.testing.assert_array_equal(found.reshape(2, 4), [[3.0, 1.0, 2.0, 0.0], [7.0, 5.0, NAN, 4.0]])


@pytest.mark.parametrize("given", [FLOAT, DOUBLE, pa.int16(), HALF])
@pytest.mark.parametrize("cuts", [[], [2], [0, 1, 4]])
def test_a_matrix_has_the_bits_of_its_columns(given: pa.DataType, cuts: list[int]) -> None:
    odd_nan = np.array([0x7FC12345, 0xFF800001], np.uint32).view(np.float32)
    wanted = given if given in {FLOAT, DOUBLE, HALF} else DOUBLE
    values = [*odd_nan.tolist(), -0.0, 1.5, None] if given in {FLOAT, DOUBLE, HALF} else [1, 2, 3, 4, None]
    whole = pa.array(values, given)
    if given == FLOAT:
        whole = pa.concat_arrays([pa.array(odd_nan), whole.slice(2)])
    parts = [whole.slice(start, end - start) for start, end in zip([0, *cuts], [*cuts, 5], strict=True)]
    rows = pa.table({"a": pa.chunked_array(parts), "b": whole, "id": range(5)})

    found = feed_tensor(rows, Feed("x", ("a", "b", "a"), wanted, (-1, 3)))

    columns = [np.asarray(whole.cast(wanted).fill_null(pa.scalar(NAN).cast(wanted)).to_numpy())] * 3
    assert found.flags.c_contiguous
    assert found.tobytes() == np.stack(columns, axis=1).tobytes()


def test_columns_of_different_types_make_objects() -> None:
    rows = pa.table({"a": ["x", "y"], "b": [1, 2]})

    assert feed_tensor(rows, Feed("x", ("a", "b"), None, (-1, 2))).tolist() == [["x", 1], ["y", 2]]
    assert feed_tensor(rows, Feed("x", ("a", "a"), pa.string(), (-1, 2))).tolist() == [["x", "x"], ["y", "y"]]


@pytest.mark.parametrize(
    ("given", "columns", "shape", "expected"),
    [
        (DOUBLE, ("x",), (-1,), (0,)),
        (DOUBLE, ("x", "x"), (-1, 2), (0, 2)),
        (DOUBLE, ("x", "x"), (-1, -1), (0, 0)),
        (pa.list_(DOUBLE), ("x",), (-1, 3), (0, 3)),
        (pa.list_(pa.list_(DOUBLE)), ("x",), (-1, -1, 3), (0, 0, 3)),
    ],
)
def test_no_row_gives_an_empty_tensor(
    given: pa.DataType, columns: tuple[str, ...], shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    found = feed_tensor(pa.table({"x": pa.array([], given)}), Feed("x", columns, DOUBLE, shape))

    assert found.shape == expected
    assert found.dtype == np.float64


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_null_has_no_text_and_the_advice_does_not_speak_of_doubles(shape: tuple[int, ...]) -> None:
    with pytest.raises(SignatureMismatchError, match="got 1 NULLs") as caught:
        feed_tensor(pa.table({"x": ["a", None]}), Feed("x", ("x",), pa.string(), shape))

    assert "tensor of texts" in caught.value.next_step
    assert "doubles" not in caught.value.next_step


@pytest.mark.parametrize(
    ("values", "given", "shape", "told"),
    [
        ([1, None], BIGINT, (-1,), "got 1 NULLs, expected bigint without NULLs"),
        ([True, None], pa.bool_(), (-1,), "got 1 NULLs, expected boolean without NULLs"),
        (["a", None, None], pa.string(), (-1,), "got 2 NULLs, expected string without NULLs"),
        ([[1], None], pa.list_(BIGINT), (-1, 1), "got 1 NULLs, expected a list in every row"),
        ([[1.0], None], pa.list_(DOUBLE), (-1, 1), "got 1 NULLs, expected a list in every row"),
        ([[1, None]], pa.list_(BIGINT), (-1, 2), "got 1 NULLs, expected bigint without NULLs"),
        ([[1], [1, 2]], pa.list_(BIGINT), (-1, -1), "got lists of 1 to 2 values, expected lists of one length"),
        ([[[1], [1, 2]]], pa.list_(pa.list_(BIGINT)), (-1, -1, -1), "got lists of 1 to 2 values"),
        ([[[1], None]], pa.list_(pa.list_(BIGINT)), (-1, -1, -1), "got 1 NULLs, expected a list in every row"),
        ([[1, 2], [3, 4]], pa.list_(BIGINT), (-1, 3), "got 2 values in a row, expected shape [3]"),
        ([[1, 2], [3, 4]], pa.list_(BIGINT), (-1,), "got 2 values in a row, expected shape []"),
        ([[1, 2, 3]], pa.list_(BIGINT), (-1, 2, -1), "got 3 values in a row, expected shape [2, -1]"),
        ([[1, 2, 3]], pa.list_(BIGINT), (-1, 2, 2), "got 3 values in a row, expected shape [2, 2]"),
        ([1, 2], BIGINT, (-1, 2), "got 1 values in a row, expected shape [2]"),
    ],
)
def test_values_that_make_no_such_tensor_are_refused(
    values: list[Any], given: pa.DataType, shape: tuple[int, ...], told: str
) -> None:
    element = given
    while pa.types.is_list(element):
        element = element.value_type

    with pytest.raises(SignatureMismatchError) as caught:
        tensor(values, given, element, shape)

    assert refusal(caught).startswith(f"input column 'x': {told}")


def test_columns_of_another_width_are_told_by_name() -> None:
    rows = pa.table({name: [1.0] for name in "abcde"})

    with pytest.raises(SignatureMismatchError) as caught:
        feed_tensor(rows, Feed("x", tuple("abcde"), DOUBLE, (-1, 2, 3)))

    assert refusal(caught) == "input column 'a, b, c': got 5 values in a row, expected shape [2, 3]"


def test_a_tensor_never_writes_into_the_rows() -> None:
    rows = pa.table({"x": [1.0, 2.0], "y": [3.0, 4.0]})

    alone = feed_tensor(rows, Feed("x", ("x",), DOUBLE, (-1, 1)))
    both = feed_tensor(rows, Feed("x", ("x", "y"), DOUBLE, (-1, 2)))
    both[:] = 9

    assert not alone.flags.writeable
    assert rows == pa.table({"x": [1.0, 2.0], "y": [3.0, 4.0]})


# ----------------------------------------------------------------------------------------------------------- rounding


FLOATS = st.sampled_from([HALF, FLOAT, DOUBLE])
NUMBERS = st.lists(st.floats() | st.floats(-70000, 70000) | st.sampled_from([65519.99, 65520.0, 3e-8, 2.0**-150]))


def rounded(values: list[Any], given: pa.DataType, wanted: pa.DataType) -> np.ndarray[Any, Any]:
    with np.errstate(all="ignore"):
        found: np.ndarray[Any, Any] = np.array(values, given.to_pandas_dtype()).astype(wanted.to_pandas_dtype())
    return found


def in_range(values: list[Any], given: pa.DataType, wanted: pa.DataType) -> list[Any]:
    return [one for one in values if math.isinf(one) or not np.isinf(rounded([one], given, wanted)).any()]


def same_bits(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> bool:
    """Tell whether arrays are alike to the sign of zero; one NaN is as good as another."""
    is_nan = np.isnan(left)
    return (
        left.dtype == right.dtype
        and bool((is_nan == np.isnan(right)).all())
        and left[~is_nan].tobytes() == right[~is_nan].tobytes()
    )


@given(NUMBERS, FLOATS)
def test_doubles_are_rounded_as_numpy_rounds(values: list[float], wanted: pa.DataType) -> None:
    values = in_range(values, DOUBLE, wanted)
    expected = rounded(values, DOUBLE, wanted)

    assert same_bits(tensor(values, DOUBLE, wanted, (-1,), rounds=True), expected)
    assert same_bits(tensor([[one] for one in values], pa.list_(DOUBLE), wanted, (-1,), rounds=True), expected)
    assert same_bits(column(values, DOUBLE, wanted, rounds=True)["y"].to_numpy(), expected)


@given(st.lists(st.floats(width=32)), FLOATS)
def test_floats_are_rounded_as_numpy_rounds(values: list[float], wanted: pa.DataType) -> None:
    values = in_range(values, FLOAT, wanted)

    assert same_bits(tensor(values, FLOAT, wanted, (-1,), rounds=True), rounded(values, FLOAT, wanted))


INTEGERS = {pa.int64(): (-(2**63), 2**63 - 1), pa.uint64(): (0, 2**64 - 1), pa.int32(): (-(2**31), 2**31 - 1)}


@given(st.data(), st.sampled_from(list(INTEGERS)), FLOATS)
def test_integers_are_rounded_as_numpy_rounds(data: st.DataObject, given: pa.DataType, wanted: pa.DataType) -> None:
    low, high = INTEGERS[given]
    near = st.integers(max(low, -70000), 70000) | st.integers(max(low, -(2**25)), 2**25)
    values = in_range(data.draw(st.lists(st.integers(low, high) | near)), given, wanted)
    expected = rounded(values, given, wanted)

    assert same_bits(tensor(values, given, wanted, (-1,), rounds=True), expected)
    assert same_bits(column(values, given, wanted, rounds=True)["y"].to_numpy(), expected)


def test_rounding_keeps_null_nan_and_infinity() -> None:
    values = [math.inf, -math.inf, None, NAN, 0.1]

    assert repr(column(values, DOUBLE, FLOAT, rounds=True)["y"].to_pylist()) == repr(
        [math.inf, -math.inf, None, NAN, float(np.float32(0.1))]
    )
    assert repr(tensor(values, DOUBLE, HALF, (-1,), rounds=True).tolist()) == repr(
        [math.inf, -math.inf, NAN, NAN, float(np.float16(0.1))]
    )


@pytest.mark.parametrize(
    ("values", "given", "wanted"),
    [
        ([1e300, math.inf, None], DOUBLE, FLOAT),
        ([-3.5e38], DOUBLE, FLOAT),
        ([65520.0], DOUBLE, HALF),
        ([70000.0], FLOAT, HALF),
        ([70000, None], BIGINT, HALF),
        ([2**63], pa.uint64(), HALF),
        ([Decimal("70000.5"), None], pa.decimal128(7, 1), HALF),
    ],
)
def test_rounding_refuses_numbers_beyond_the_range_of_the_models_type(
    values: list[Any], given: pa.DataType, wanted: pa.DataType
) -> None:
    lists = [None if one is None else [one] for one in values]
    calls: list[Callable[[], object]] = [
        lambda: column(values, given, wanted, rounds=True),
        lambda: column(lists, pa.list_(given), pa.list_(wanted), rounds=True),
        lambda: tensor(values, given, wanted, (-1,), rounds=True),
    ]
    for call in calls:
        with pytest.raises(SignatureMismatchError) as caught:
            call()
        assert "input column 'x': got 1 numbers beyond the range of " in refusal(caught)


def test_rounding_changes_nothing_but_floats() -> None:
    with pytest.raises(SignatureMismatchError):
        column([1.5], DOUBLE, BIGINT, rounds=True)
    with pytest.raises(SignatureMismatchError):
        column([300], BIGINT, pa.int8(), rounds=True)


# --------------------------------------------------------------------------------------------------------- exactness


def integers(type_: pa.DataType) -> st.SearchStrategy[Any]:
    bits = type_.bit_width
    if pa.types.is_signed_integer(type_):
        return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.integers(0, 2**bits - 1)


MOMENTS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))  # noqa: DTZ001 - clock readings
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    **{type_: integers(type_) for type_ in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    **{type_: integers(type_) for type_ in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
    HALF: st.floats(width=16).map(np.float16),
    FLOAT: st.floats(width=32),
    DOUBLE: st.floats(),
    pa.decimal128(12, 3): st.decimals(-(10**9) + 1, 10**9 - 1, places=3),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(),
    pa.large_string(): st.text(),
    pa.binary(): st.binary(),
    pa.large_binary(): st.binary(),
    pa.date32(): st.dates(),
    pa.timestamp("us"): MOMENTS | st.datetimes(),
    pa.timestamp("us", "Asia/Kathmandu"): MOMENTS.map(lambda moment: moment.replace(tzinfo=dt.UTC)),
}
WANTED = [*VALUES, pa.timestamp("ns"), pa.timestamp("s"), pa.timestamp("us", "UTC")]


def equal(fed: Any, given: Any) -> bool:
    """Tell whether a model got the value that was given; it may have a wider type, a date is its first moment."""
    if isinstance(fed, list):
        return len(fed) == len(given) and all(map(equal, fed, given))
    if isinstance(fed, dt.datetime):
        if not isinstance(given, dt.datetime):
            given = dt.datetime.combine(given, dt.time())
        return _in_utc(fed) == _in_utc(given)
    if isinstance(fed, (float, np.floating)):
        if np.isnan(fed):
            return given is None or bool(np.isnan(given))
        return bool(fed == given) and math.copysign(1, fed) == math.copysign(1, given)
    return type(fed) is type(given) and bool(fed == given)


def _in_utc(moment: dt.datetime) -> dt.datetime:
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


@st.composite
def cases(draw: st.DrawFn) -> tuple[pa.DataType, pa.DataType, list[Any]]:
    given, wanted = draw(st.sampled_from(list(VALUES))), draw(st.sampled_from(WANTED))
    wanted = draw(st.sampled_from([given, wanted, wanted]))
    return given, wanted, draw(st.lists(VALUES[given] | st.none(), min_size=1, max_size=6))


@given(cases(), st.booleans())
def test_a_column_that_matches_is_fed_as_it_is_or_not_at_all(
    case: tuple[pa.DataType, pa.DataType, list[Any]],
    listed: bool,  # noqa: FBT001 - drawn
) -> None:
    given, wanted, values = case
    if listed:
        given, wanted, values = pa.list_(given), pa.list_(wanted), [values, [], None]
    rows = pa.table({"x": pa.array(values, given)})

    try:
        feeds = match_inputs([ColumnInput("x", wanted)], rows.schema, {}, rounds=False)
        fed = feed_columns(rows, feeds)["x"]
    except SignatureMismatchError as error:
        assert error.code in {"SIGNATURE_MISMATCH", "MODEL_INPUT_VALUE"}  # noqa: PT017 - one of two ends is right
        return

    assert fed.type == wanted
    assert fed.null_count == rows["x"].null_count
    assert equal(fed.to_pylist(), rows["x"].to_pylist())


SCALARS = [type_ for type_ in VALUES if not pa.types.is_temporal(type_) and not pa.types.is_decimal(type_)]


@given(st.data(), st.sampled_from(SCALARS), st.sampled_from(SCALARS), st.integers(1, 4))
def test_a_tensor_that_matches_holds_the_values_as_they_are(
    data: st.DataObject, given: pa.DataType, wanted: pa.DataType, width: int
) -> None:
    wanted = data.draw(st.sampled_from([given, wanted]))
    values = VALUES[given] | st.none() if data.draw(st.booleans()) else VALUES[given]
    lists = data.draw(st.lists(st.lists(values, min_size=width, max_size=width), min_size=1, max_size=4))
    names = [f"c{position}" for position in range(width)]
    apart = pa.table(
        {name: pa.array(column, given) for name, column in zip(names, zip(*lists, strict=True), strict=True)}
    )
    together = pa.table({"x": pa.array(lists, pa.list_(given))})

    for rows in (apart, together):
        try:
            (feed,) = match_inputs([TensorInput("x", wanted, (-1, width))], rows.schema, {}, rounds=False)
            fed = feed_tensor(rows, feed)
        except SignatureMismatchError as error:
            assert error.code in {"SIGNATURE_MISMATCH", "MODEL_INPUT_VALUE"}  # noqa: PT017 - one of two ends is right
            continue
        assert fed.shape == (len(lists), width)
        assert equal(
            fed.tolist(), [[one if one is None else pa.scalar(one, given).as_py() for one in row] for row in lists]
        )


@given(st.decimals(-(10**9), 10**9, places=2))
def test_a_decimal_is_rounded_to_the_nearest_float(value: Decimal) -> None:
    rows = pa.table({"s": pa.array([value], pa.decimal128(12, 2))})

    fed = feed_columns(rows, [Feed("s", ("s",), pa.float64(), None, True)])

    assert fed.column("s").to_pylist() == [float(value)]


def test_lists_of_another_shape_are_refused_though_their_totals_are_equal() -> None:
    rows = pa.table({"x": [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]})

    with pytest.raises(SignatureMismatchError, match=r"lists of shape \[3, 2\]"):
        feed_tensor(rows, Feed("x", ("x",), pa.float64(), (-1, 2, 3)))
