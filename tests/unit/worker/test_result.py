from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, ItemFailure, Outcome
from sparkscore.scorers.failed import PartlyScored
from sparkscore.signature import parse_ddl
from sparkscore.stage.dictionaries import decode
from sparkscore.worker.result import LINEAGE_SCHEMA, LineageValues, ResultSpec, make_outcome, with_known, without_known

AT = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
LINEAGE = LineageValues("run-1", "churn", "7")
ROWS = pa.table({"id": [1, 2, 3], "vector": [[0.1], None, [float("nan")]], "text": ["a", None, "c"]})


def spec(ddl: str = "prediction bigint", carried: tuple[str, ...] = (), **more: Any) -> ResultSpec:
    return ResultSpec(parse_ddl(ddl), carried, more.pop("renamed", ()), more.pop("lineage", LINEAGE), **more)


def outcome(returned: object, mini_batch: MiniBatch, result: ResultSpec) -> Outcome:
    made = make_outcome(returned, mini_batch, result, AT)
    assert made.items == mini_batch.item_count == made.scored + made.failed
    assert made.table is not None
    assert decode(made.table).schema == result.schema(
        pa.schema([]) if mini_batch.rows is None else mini_batch.rows.schema
    )
    return made


def source_files(returned: object, mini_batch: MiniBatch) -> list[str | None]:
    table = outcome(returned, mini_batch, spec()).table
    assert table is not None
    files: list[str | None] = table.column("source_file").to_pylist()
    return files


def test_columns_stand_in_order_carried_predicted_lineage() -> None:
    made = outcome([7, 8, 9], MiniBatch("0", ("file:/in/a%20b",), ROWS), spec(carried=("vector", "id")))

    assert made.table is not None
    assert made.table.column_names == ["vector", "id", "prediction", *LINEAGE_SCHEMA.names]
    assert made.table.slice(0, 1).to_pylist() == [
        {"vector": [0.1], "id": 1, "prediction": 7, "run_id": "run-1", "model_name": "churn", "model_version": "7",
         "scored_at": AT, "source_file": "/in/a b"},
    ]  # fmt: skip
    assert (made.items, made.scored, made.failure) == (3, 3, None)


def test_carried_columns_are_the_same_memory() -> None:
    made = outcome([7, 8, 9], MiniBatch("0", (), ROWS), spec(carried=("vector", "text")))

    assert made.table is not None
    for name in ("vector", "text"):
        ours = [buffer and buffer.address for buffer in made.table.column(name).chunk(0).buffers()]
        assert ours == [buffer and buffer.address for buffer in ROWS.column(name).chunk(0).buffers()]


def test_lineage_is_as_small_for_many_rows_as_its_indices() -> None:
    rows = pa.table({"id": pa.array(range(10_000), pa.int32())})
    lineage = LineageValues("r" * 100, "m" * 100, "v" * 100)

    made = outcome(list(range(10_000)), MiniBatch("0", ("/in/" + "f" * 100,), rows), spec(lineage=lineage))

    assert made.table is not None
    assert made.table.select(["run_id", "model_name", "model_version", "source_file"]).nbytes < 4 * 4 * 10_000 + 1000


def test_mini_batches_of_other_columns_and_other_specs_get_their_own_schema() -> None:
    files, rows = ("/in/a",), pa.table({"id": ["a"], "x": [0.5]})

    outcome([1], MiniBatch("0", files, ROWS.slice(0, 1)), spec(carried=("id",)))
    outcome([1], MiniBatch("0", files, rows), spec(carried=("id",)))
    outcome([1], MiniBatch("0", files, rows), spec(carried=("x",)))
    outcome([1], MiniBatch("0", files), spec())


def test_columns_can_be_renamed_wherever_they_come_from() -> None:
    renamed = (("prediction", "score"), ("run_id", "job"), ("id", "key"))

    schema = spec(carried=("id",), renamed=renamed).schema(ROWS.schema)

    assert schema.names == ["key", "score", "job", "model_name", "model_version", "scored_at", "source_file"]


def test_a_carried_column_keeps_a_name_that_it_shares_with_an_added_one() -> None:
    schema = spec("id string", carried=("id",), renamed=(("id", "label"),)).schema(ROWS.schema)

    assert schema.names[:2] == ["id", "label"]


def test_a_run_without_a_model_has_null_for_it() -> None:
    made = outcome([1], MiniBatch("0", ("/in/a",)), spec(lineage=LineageValues("run-1", None, None)))

    assert made.table is not None
    assert made.table.select(["model_name", "model_version"]).to_pylist() == [
        {"model_name": None, "model_version": None}
    ]


@given(st.integers(1, 6), st.integers(0, 9))
def test_items_without_an_element_count_as_failed(items: int, elements: int) -> None:
    files = tuple(f"/in/{number}" for number in range(items))

    made = outcome(list(range(elements)), MiniBatch("0", files), spec())

    assert made.table is not None
    assert (made.failed, made.table.num_rows) == (max(0, items - elements), elements)
    assert (made.failure is not None) == (elements < items)
    if made.failure is not None:
        assert made.failure.code == "OUTPUT_ROWS"
        assert f"{elements} elements for {items} items" in made.failure.message


@pytest.mark.parametrize("elements", [0, 2, 4])
def test_beside_carried_columns_there_is_exactly_one_element_per_row(elements: int) -> None:
    made = make_outcome(list(range(elements)), MiniBatch("4-2", (), ROWS), spec(carried=("id",)), AT)

    assert made.failure is not None
    assert (made.scored, made.table, made.elements, made.failure.code) == (0, None, elements, "OUTPUT_ROWS")
    assert f"got {elements} elements for 3 rows" in made.failure.message
    assert "'output.carry: []'" in made.failure.next_step


@pytest.mark.parametrize(
    "returned",
    [["a"], ("a", "b"), iter(["a"]), np.array(["a"]), pd.Series(["a"]), pd.DataFrame({"x": ["a"]}), pa.array(["a"])],
)
def test_a_wrong_number_of_elements_is_found_before_their_types(returned: object) -> None:
    made = make_outcome(returned, MiniBatch("4-2", (), ROWS), spec(carried=("id",)), AT)

    assert made.failure is not None
    assert (made.failure.code, made.elements) == ("OUTPUT_ROWS", 2 if isinstance(returned, tuple) else 1)


@pytest.mark.parametrize("elements", [0, 2, 3, 5])
def test_without_carried_columns_a_frame_may_have_any_number_of_rows(elements: int) -> None:
    frame = pd.DataFrame({"prediction": pd.Series(range(elements), dtype="int64")})

    made = outcome(frame, MiniBatch("0", (), ROWS), spec())

    assert made.table is not None
    assert (made.table.num_rows, made.scored) == (elements, min(3, elements))


@pytest.mark.parametrize(
    ("files", "elements", "named"),
    [
        (("/in/a",), 1, ["/in/a"]),
        (("/in/a",), 3, ["/in/a"] * 3),
        (("/in/a",), 0, []),
        (("/in/a", "/in/b"), 2, ["/in/a", "/in/b"]),
        (("/in/a", "/in/b"), 1, [None]),
        (("/in/a", "/in/b"), 3, [None] * 3),
        (("/in/50%25 off", "/in/b"), 2, ["/in/50%25 off", "/in/b"]),
    ],
)
def test_a_file_is_named_only_where_it_is_certain(
    files: tuple[str, ...], elements: int, named: list[str | None]
) -> None:
    assert source_files(list(range(elements)), MiniBatch("0", files)) == named


def test_a_frame_with_as_many_rows_as_files_names_none() -> None:
    frame = pd.DataFrame({"prediction": [0, 1]})

    assert source_files(frame, MiniBatch("0", ("/in/a", "/in/b"))) == [None, None]
    assert source_files(frame, MiniBatch("0", ("/in/a",))) == ["/in/a", "/in/a"]


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (("file:///in/a%20b.csv",), ["/in/a b.csv"] * 3),
        (("abfss://c@a/x%23y",), ["abfss://c@a/x#y"] * 3),
        ((), [None] * 3),
        (("/a", "/b", "/c"), [None] * 3),
    ],
)
def test_rows_name_the_one_file_they_were_read_from(files: tuple[str, ...], named: list[str | None]) -> None:
    assert source_files([1, 2, 3], MiniBatch("0", files, ROWS)) == named


def test_a_partition_value_that_cannot_be_kept_fails_the_mini_batch_under_its_new_name() -> None:
    result = spec("label string", renamed=(("label", "key"),), partition_by=("key",))

    with pytest.raises(OutputContractError, match="OUTPUT_PARTITION_VALUE"):
        make_outcome(["a", "", "c"], MiniBatch("0", (), ROWS), result, AT)


def test_a_type_that_was_not_promised_is_refused() -> None:
    with pytest.raises(OutputContractError, match="OUTPUT_TYPE"):
        make_outcome([0.5], MiniBatch("0", ("/in/a",)), spec(), AT)


class Unreadable:
    def __array__(self, *_: object, **__: object) -> Any:
        raise RuntimeError("a value of Ada's")


class UnreadableList(list[int]):
    def __iter__(self) -> Any:
        raise RuntimeError("a value of Ada's")


class Zone(dt.tzinfo):
    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        raise RuntimeError("a value of Ada's")

    tzname = dst = utcoffset  # type: ignore[assignment]  # all three raise


@pytest.mark.parametrize("is_frame", [True, False])
def test_rows_that_the_script_sorted_are_not_joined_by_position(*, is_frame: bool) -> None:
    returned: Any = pd.Series([3.0, 1.0, 2.0], index=[2, 0, 1], name="prediction")
    returned = returned.to_frame() if is_frame else returned
    mini_batch = MiniBatch("0", (), pa.table({"id": [0, 1, 2]}))
    spec = ResultSpec(pa.schema([("prediction", pa.float64())]), ("id",), (), LineageValues("r", None, None))

    with pytest.raises(OutputContractError, match=r"\[OUTPUT_ORDER\].*sort_index"):
        make_outcome(returned, mini_batch, spec, AT)
    with pytest.raises(OutputContractError, match=r"\[OUTPUT_ORDER\].*reset_index"):
        make_outcome(pd.Series([1.0, 2.0, 3.0], index=[7, 5, 9]), mini_batch, spec, AT)


IMAGES = MiniBatch("0", ("/in/a", "/in/b", "/in/c"))
UNREADABLE = Failure(ErrorCode.SCRIPT_RUN, "OSError", "no image")


def part(returned: object, *positions: int) -> PartlyScored:
    return PartlyScored(returned, tuple(ItemFailure(position, UNREADABLE) for position in positions))


def test_items_that_the_scorer_refuses_fail_alone() -> None:
    made = make_outcome(part([7, 9], 1), IMAGES, spec(), AT)

    assert (made.items, made.scored, made.failure) == (3, 2, UNREADABLE)
    assert [failed.position for failed in made.failures] == [1]
    assert made.table is not None
    assert made.table["prediction"].to_pylist() == [7, 9]
    assert made.table["source_file"].to_pylist() == ["/in/a", "/in/c"]


def test_a_mini_batch_of_which_the_scorer_refuses_all_items_has_no_rows() -> None:
    made = make_outcome(part([], 0, 1, 2), IMAGES, spec(), AT)

    assert (made.items, made.scored, made.table, made.failure) == (3, 0, None, UNREADABLE)


def test_a_generator_that_raises_is_a_failure_of_the_output() -> None:
    def values() -> Any:
        yield 1
        raise ValueError("no second value")

    with pytest.raises(OutputContractError, match="ValueError"):
        make_outcome(values(), IMAGES, spec(), AT)


CARRIED = st.lists(st.sampled_from(["id", "vector", "text"]), unique=True, max_size=3).map(tuple)


@given(
    carried=CARRIED,
    files=st.sampled_from([(), ("/in/a",), ("/a", "/b", "/c")]),
    renamed=st.sampled_from([(), (("id", "key"), ("run_id", "job"), ("text", "source"))]),
    has_failures=st.booleans(),
)
def test_a_worker_adds_again_what_its_child_left_out(
    carried: tuple[str, ...],
    files: tuple[str, ...],
    renamed: tuple[tuple[str, str], ...],
    *,
    has_failures: bool,
) -> None:
    result = spec("prediction bigint, label string", carried, renamed=renamed)
    mini_batch = MiniBatch("0", files, ROWS)
    failures = (ItemFailure(1, Failure(ErrorCode.SCRIPT_RUN)),) if has_failures else ()
    returned: object = [(7, "a"), (8, None)] if has_failures else [(7, "a"), (8, None), (9, "c")]
    made = outcome(PartlyScored(returned, failures) if has_failures else returned, mini_batch, result)

    sent = without_known(made, mini_batch, result)
    again = with_known(sent, mini_batch, replace(result), AT)

    assert made.table is not None
    assert sent.table is not None
    assert again.table is not None
    assert sent.table.column_names == [result.name_of_added(name) for name in ("prediction", "label")]
    assert again.table.schema.equals(made.table.schema, check_metadata=True)
    assert str(again.table.to_pylist()) == str(made.table.to_pylist())  # NaN is not equal to itself
    assert replace(again, table=None) == replace(made, table=None)


def test_a_failed_outcome_has_nothing_to_add() -> None:
    failed = Outcome(3, 0, failure=Failure(ErrorCode.SCRIPT_RUN))

    mini_batch = MiniBatch("0", (), ROWS)
    assert with_known(without_known(failed, mini_batch, spec()), mini_batch, spec(), AT) is failed


@pytest.mark.parametrize("files", [("/in/a",), ("/in/a", "/in/b")])
@pytest.mark.parametrize("is_frame", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_worker_names_the_files_of_the_rows_that_its_child_sent(
    files: tuple[str, ...], count: int, *, is_frame: bool
) -> None:
    mini_batch, result = MiniBatch("0", files), spec("prediction bigint")
    made = outcome(pd.DataFrame({"prediction": [7] * count}) if is_frame else [7] * count, mini_batch, result)

    again = with_known(without_known(made, mini_batch, result), mini_batch, result, AT)

    assert again == made
