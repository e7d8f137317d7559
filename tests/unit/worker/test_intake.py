from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from sparkscore.worker.intake import Intake, settle_types

MOMENT = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "+04:00"])
def test_instants_are_in_utc_in_every_session(zone: str) -> None:
    batch = pa.record_batch({"c0": pa.array([MOMENT, None], pa.timestamp("us", zone)), "c1": [1, 2]})

    settled = settle_types(batch, ["when", "id"])

    assert settled.schema == pa.schema({"when": pa.timestamp("us", "UTC"), "id": pa.int64()})
    assert settled.column("when").to_pylist() == [MOMENT, None]
    assert settled.to_pandas()["when"].dt.hour.tolist()[0] == 0


def test_texts_and_instants_deep_inside_are_settled() -> None:
    wide = pa.struct(
        {
            "texts": pa.list_(pa.large_string()),
            "map": pa.map_(pa.large_string(), pa.timestamp("us", "Asia/Tokyo")),
            "bytes": pa.large_binary(),
            "local": pa.timestamp("us"),
        }
    )
    value = {"texts": ["a", None], "map": [("k", MOMENT)], "bytes": b"x", "local": datetime(2026, 1, 1)}  # noqa: DTZ001

    settled = settle_types(pa.record_batch({"s": pa.array([value, None], wide)}))

    assert settled.schema.field("s").type == pa.struct(
        {
            "texts": pa.list_(pa.string()),
            "map": pa.map_(pa.string(), pa.timestamp("us", "UTC")),
            "bytes": pa.binary(),
            "local": pa.timestamp("us"),
        }
    )
    found = settled.column("s").to_pylist()
    assert found[1] is None
    assert found[0] == value | {"map": [("k", MOMENT.astimezone(ZoneInfo("UTC")))]}


def test_rows_that_are_settled_already_are_handed_on_without_a_copy() -> None:
    batch = pa.record_batch({"a": ["x"], "b": pa.array([MOMENT], pa.timestamp("us", "UTC"))})

    settled = settle_types(batch)

    assert settled == batch
    assert settled.column("a").buffers()[2].address == batch.column("a").buffers()[2].address


def test_batches_of_different_schemas_in_one_task_are_each_settled() -> None:
    moments = pa.array([MOMENT], pa.timestamp("us", "Asia/Tokyo"))
    field = pa.field("c0", pa.string(), nullable=False, metadata={"a": "b"})
    batches = [
        pa.record_batch({"c0": moments}),
        pa.record_batch({"c0": moments}),
        pa.record_batch({"c0": ["x"]}),
        pa.record_batch({"c0": ["y"]}, metadata={"pandas": "{}"}),
        pa.RecordBatch.from_arrays([pa.array(["z"])], schema=pa.schema([field])),
        pa.record_batch({"c0": pa.array(["w"], pa.large_string())}),
    ]
    intake = Intake(["when"])

    settled = [intake.settle(batch) for batch in batches]

    assert [batch.schema.field("when").type for batch in settled] == [pa.timestamp("us", "UTC")] * 2 + [pa.string()] * 4
    assert [batch.column("when").to_pylist() for batch in settled] == [[MOMENT], [MOMENT], ["x"], ["y"], ["z"], ["w"]]
    assert [batch.schema.metadata for batch in settled] == [None] * 6
    assert settled[4].schema.equals(pa.schema([field.with_name("when")]), check_metadata=True)


def test_names_that_are_right_already_are_kept_without_a_copy() -> None:
    batch = pa.record_batch({"a": ["x"]})

    assert Intake(["a"]).settle(batch) is batch
