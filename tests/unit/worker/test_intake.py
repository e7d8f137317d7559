from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from sparkscore.worker.intake import settle_types

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
