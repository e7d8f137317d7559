from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql.types import StructType

from sparkscore.errors import ConfigError, SinkError
from sparkscore.models.model_description import ModelDescription
from sparkscore.record.run_record import RecordedInput, RecordedOutput, RecordedQuarantine, new_record
from sparkscore.run import nulls as subject
from sparkscore.run.nulls import decide_nulls, dtypes_of
from sparkscore.run.prepare import PreparedRun, prepare
from sparkscore.signature.model_signature import Feed, ModelSignature
from sparkscore.sources import FailedItems
from sparkscore.stage import StageFolder
from sparkscore.stage.layout import NULLS, known_in
from sparkscore.stage.local_store import LocalStore

SCRIPT = "def run(mini_batch):\n    return [1] * len(mini_batch)\n"
COLUMNS = "a bigint, b tinyint, c boolean, d double, e string, f array<bigint>, g decimal(9,0), h date"
OPEN = (Feed("x", ("a",), None), Feed("y", ("b",), pa.float64()), Feed("c", ("c",), pa.bool_(), takes_null=True))
Make = Callable[..., PreparedRun]


@dataclass
class Rows:
    """What is asked of a DataFrame of Spark's here."""

    schema: Any

    @classmethod
    def of(cls, ddl: str) -> Rows:
        pairs = [column.split() for column in ddl.split(", ")]
        return cls(StructType.fromJson({"fields": [_field(name, kind) for name, kind in pairs]}))


def _field(name: str, kind: str) -> dict[str, Any]:
    known = {"bigint": "long", "tinyint": "byte"}
    nested = {"type": "array", "elementType": "long", "containsNull": True}
    type_ = nested if kind.startswith("array") else known.get(kind, kind)
    return {"name": name, "type": type_, "nullable": True, "metadata": {}}


@dataclass
class Input:
    """A source whose metadata tells some counts; asks are what it was asked for."""

    counts: Mapping[str, int]
    rows: Rows | None = field(default_factory=lambda: Rows.of(COLUMNS))
    asks: list[list[str]] = field(default_factory=list)

    @property
    def snapshot(self) -> Any:
        return type("Snapshot", (), {"format": "parquet"})

    def columns(self) -> StructType | None:
        return None if self.rows is None else self.rows.schema

    def frame(self) -> Any:
        return self.rows

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        self.asks.append(list(columns))
        return {name: self.counts[name] for name in columns if name in self.counts}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Give the columns that were read to count their NULLs; all have one."""
    asked: list[list[str]] = []

    def find(frame: object, columns: list[str], what: str) -> dict[str, bool]:
        del frame, what
        asked.append(list(columns))
        return dict.fromkeys(columns, True)

    monkeypatch.setattr(subject, "find_nulls", find)
    return asked


@pytest.fixture
def make(make_deployment: Callable[..., Path]) -> Make:
    def prepared(kind: Any = None, failed: Mapping[str, bool] | None = None, **config: object) -> PreparedRun:
        deployment = make_deployment(SCRIPT, input={"location": "in.csv", **config}, output={"location": "out"})
        made = prepare(deployment, run_id="night")
        if kind:
            made = replace(made, script=None, description=ModelDescription(kind, (), ModelSignature()))
        if failed is not None:
            made = replace(made, failed=FailedItems("old", "q", "delta", {}, "old", nulls=failed))
        return made

    return prepared


def test_a_script_gets_integers_and_booleans_that_are_counted_as_far_as_possible_without_reading(
    make: Make, read: list[list[str]], tmp_path: Path
) -> None:
    source = Input({"a": 0, "b": 2, "d": 9})

    found = decide_nulls(make(), source, None, StageFolder(tmp_path))  # type: ignore[arg-type]  # as much of a source as is asked

    assert found == {"a": False, "b": True, "c": True}
    assert source.asks == [["a", "b", "c"]]
    assert read == [["c"]]


def test_nothing_is_read_where_metadata_tells_it_all_or_nothing_matters(
    make: Make, read: list[list[str]], tmp_path: Path
) -> None:
    told: Any = Input({"a": 0, "b": 2, "c": 0})
    prepared = make()

    assert decide_nulls(prepared, told, None, StageFolder(tmp_path)) == {"a": False, "b": True, "c": False}
    for others in (Input({}, rows=None), Input({}, rows=Rows.of("d double, e string"))):
        assert decide_nulls(prepared, others, None, StageFolder(tmp_path / "x")) == {}  # type: ignore[arg-type]
    assert read == []


@pytest.mark.parametrize(
    ("case", "columns"),
    [
        ((None, None, {"dtypes": "arrow"}), []),
        (("sklearn", None, {}), ["a", "b", "c"]),
        (("sklearn", None, {"dtypes": "arrow"}), ["a", "b", "c"]),
        (("mlflow", OPEN, {}), ["a", "c"]),
        (("mlflow", (Feed("x", ("a", "b"), None, (-1, 2)),), {}), []),
        (("mlflow", (Feed("a", ("a",), pa.int64()),), {}), []),
        (("onnx", (Feed("a", ("a",), None),), {}), []),
        (("spark", None, {}), []),
    ],
)
def test_only_columns_that_a_model_gets_as_they_come_are_counted(
    make: Make, read: list[list[str]], tmp_path: Path, case: tuple[Any, Any, Any], columns: list[str]
) -> None:
    kind, feeds, config = case
    found = decide_nulls(make(kind, **config), Input({}), feeds, StageFolder(tmp_path))  # type: ignore[arg-type]

    assert list(found) == columns
    assert read == ([columns] if columns else [])


def test_an_attempt_that_takes_the_run_up_goes_by_what_the_first_decided(
    make: Make, read: list[list[str]], tmp_path: Path
) -> None:
    prepared = make()
    first = decide_nulls(prepared, Input({"a": 0, "b": 0}), None, StageFolder(tmp_path))  # type: ignore[arg-type]
    again: Any = Input({"a": 7, "b": 7, "c": 7})

    assert decide_nulls(prepared, again, None, StageFolder(tmp_path)) == first == {"a": False, "b": False, "c": True}
    assert again.asks == []
    assert read == [["c"]]
    assert known_in(LocalStore(tmp_path))(NULLS)
    (tmp_path / NULLS).write_bytes(b'{"a": true}' + bytes(32))
    with pytest.raises(SinkError, match="STAGE_CHANGED"):
        decide_nulls(prepared, again, None, StageFolder(tmp_path))


def test_failed_items_go_by_what_the_run_in_which_they_failed_has_decided(
    make: Make, read: list[list[str]], tmp_path: Path
) -> None:
    failed: Any = Input({"a": 0, "b": 1, "c": 0})

    found = decide_nulls(make(failed={"a": True, "b": False, "gone": True}), failed, None, StageFolder(tmp_path))

    assert found == {"a": True, "b": False, "c": False}
    assert failed.asks == [["c"]]
    assert read == []


def test_the_record_of_a_run_tells_the_next_what_was_decided() -> None:
    record = new_record("night", None, {}).noting(
        quarantine=RecordedQuarantine(location="q", rows=1), output=RecordedOutput(format="delta")
    )

    def nulls_of(told: RecordedInput) -> Mapping[str, bool] | None:
        found = FailedItems.of(record.noting(input=told))
        return None if found is None else found.nulls

    assert nulls_of(RecordedInput(columns={"a": "bigint"}, nulls={"a": True})) == {"a": True}
    assert nulls_of(RecordedInput(columns={}, nulls=None)) == {}


def test_workers_are_told_what_was_decided_and_the_log_says_it(
    make: Make, read: list[list[str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    del read
    prepared = make(nulls="nan")

    with caplog.at_level(logging.INFO, "sparkscore"):
        found = decide_nulls(prepared, Input({"a": 0, "b": 1}), None, StageFolder(tmp_path))  # type: ignore[arg-type]
    dtypes = dtypes_of(prepared, found)

    assert dtypes.with_null == {"b", "c"}
    assert (dtypes.are_arrow, dtypes.nan) == (False, True)
    assert "integers are float64 and booleans object in columns with a NULL: 'b', 'c'" in caplog.text
    assert "integer and boolean columns without a NULL keep their type: 'a'" in caplog.text


def test_nan_is_refused_where_columns_hold_null_itself(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"\[INPUT_NULLS\]"):
        make(nulls="nan", dtypes="arrow")
