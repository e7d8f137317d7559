"""What failed keeps the doubt about the order of its columns, which a model that takes them by position asks for."""

from __future__ import annotations

import pytest
from pyspark.sql.types import StructType

from sparkscore.record.run_record import RecordedInput, RecordedOutput, RecordedQuarantine, new_record
from sparkscore.sources.failed_items import FailedItems, FailedRowsSource, _in_order_of


class Session:
    """What is asked of a Spark session here."""

    def createDataFrame(self, _: object, schema: StructType) -> StructType:  # noqa: N802 - Spark's name
        return schema


def failed(doubt: str | None) -> FailedItems:
    record = new_record("night", None, {}).noting(
        quarantine=RecordedQuarantine(location="/out_quarantine", rows=1),
        output=RecordedOutput(format="delta"),
        input=RecordedInput(columns={"z": "double", "a": "double"}, order_doubt=doubt),
    )
    found = FailedItems.of(record)
    assert found is not None
    return found


def open_rows(items: FailedItems) -> FailedRowsSource:
    return FailedRowsSource(Session(), items, [('{"a": 1.0, "z": 2.0}', "f.json")])  # type: ignore[arg-type]  # see above


@pytest.mark.parametrize("doubt", [None, "", "a.json and b.json have other orders"])
def test_the_doubt_of_the_first_run_is_that_of_the_next(doubt: str | None) -> None:
    assert open_rows(failed(doubt)).snapshot.order_doubt == (doubt or "")


def test_the_users_order_counts_where_it_names_all_columns() -> None:
    whole = open_rows(_in_order_of(failed("two orders"), ["a", "z"]))
    part = open_rows(_in_order_of(failed("two orders"), ["a"]))

    assert [field.name for field in whole.frame()][:2] == ["a", "z"]  # type: ignore[union-attr]  # see Session
    assert whole.snapshot.order_doubt == ""
    assert part.snapshot.order_doubt == "two orders"
