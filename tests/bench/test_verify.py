from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.verify import TOLERANCE, compare, compare_values, count_rows, read_result


def result(ids: list[int], predictions: list[float], **carried: list[object]) -> pa.Table:
    return pa.table({"id": ids, **carried, "prediction": pa.array(predictions, pa.float32())})


def test_a_result_is_read_by_id_from_every_shown_file(tmp_path: Path) -> None:
    (tmp_path / "run_id=1").mkdir()
    (tmp_path / "_stage").mkdir()
    pq.write_table(result([3, 1], [0.3, 0.1]), tmp_path / "run_id=1" / "a.parquet")
    pq.write_table(result([2], [0.2]), tmp_path / "b.parquet")
    pq.write_table(result([9], [0.9]), tmp_path / "_stage" / "c.parquet")

    assert read_result(tmp_path, "parquet", ["id", "prediction"]).column("id").to_pylist() == [1, 2, 3]
    assert count_rows(tmp_path, "parquet") == 3


def test_a_delta_table_is_read_by_its_log(tmp_path: Path) -> None:
    write_deltalake(tmp_path, result([2, 1], [0.2, 0.1]))
    pq.write_table(result([7], [0.7]), tmp_path / "not-in-the-log.parquet")

    assert read_result(tmp_path, "delta", ["id"]).column("id").to_pylist() == [1, 2]


def test_equal_results_are_equal_to_the_bit_in_any_type_that_holds_them() -> None:
    wider = result([1, 2], [0.5, float("nan")]).cast(pa.schema({"id": pa.int64(), "prediction": pa.float64()}))

    assert compare(wider, result([1, 2], [0.5, float("nan")])).text == "equal to the bit"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (result([1], [0.1]), "1 rows instead of 2"),
        (result([1, 1], [0.1, 0.2]), "column 'id' differs"),
        (result([1, 2], [0.1, 0.3]), "values differ by up to 1e-01"),
        (result([1, 2], [0.2, 0.1]), "values differ"),
        (result([1, 2], [0.1, float("nan")]), "1 values are missing"),
    ],
    ids=["lost", "doubled", "changed", "swapped", "missing"],
)
def test_what_is_wrong_is_said(found: pa.Table, said: str) -> None:
    verdict = compare(found, result([1, 2], [0.1, 0.2]))

    assert not verdict.is_right
    assert said in verdict.text


@pytest.mark.parametrize("name", ["a", None], ids=["text", "null"])
def test_a_carried_column_must_be_the_same(name: str | None) -> None:
    verdict = compare(result([1], [0.1], c00=[name]), result([1], [0.1], c00=["b"]))

    assert (verdict.is_right, verdict.text) == (False, "column 'c00' differs")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(-1, 1))
def test_a_difference_is_tolerated_up_to_the_tolerance(values: list[float], share: float) -> None:
    wanted = np.array(values)
    step = share * 0.9 * TOLERANCE * np.maximum(1.0, np.abs(wanted))

    assert compare_values(wanted + step, wanted).is_right
    assert not compare_values(wanted + 3 * TOLERANCE * np.maximum(1.0, np.abs(wanted)), wanted).is_right
