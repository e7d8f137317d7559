from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sparkscore.config import Deployment
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import HELD, RecordedQuarantine, RunRecord, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.run import result as subject
from sparkscore.run.result import Run
from sparkscore.sinks import StagedResult
from sparkscore.worker import QUARANTINE_SCHEMA

CONFIG = Deployment.model_validate({"output": {"location": "/out", "format": "parquet"}}).effective()


class Session:
    """A session that notes the frames that it is asked for."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, Any]] = []

    def createDataFrame(self, rows: Any, schema: Any) -> Any:  # noqa: N802 - Spark's name
        self.made.append((rows, schema))
        return "frame"


def made(folder: Path, session: Any, **parts: Any) -> Any:
    record: RunRecord = new_record("night", None, CONFIG).noting(**parts)
    return Run(record, lambda: "predictions", session, RunFolder(folder, "night"))  # type: ignore[arg-type,return-value]


def test_the_record_is_a_new_dictionary_for_each_call(tmp_path: Path) -> None:
    run = made(tmp_path, Session())

    run.record["state"] = "changed"

    assert run.record["state"] == run.recorded.state


def test_predictions_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    assert made(tmp_path, Session()).predictions() == "predictions"


def test_the_quarantine_of_a_run_without_one_has_its_columns_and_no_rows(tmp_path: Path) -> None:
    session = Session()

    assert made(tmp_path, session, quarantine=RecordedQuarantine()).quarantine() == "frame"

    ((rows, schema),) = session.made
    assert (rows, schema.names) == ([], QUARANTINE_SCHEMA.names)


@pytest.mark.parametrize("has_manifest", [True, False])
def test_the_quarantine_of_a_held_run_is_read_from_its_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_manifest: bool
) -> None:
    class Quarantine:
        def read_staged(self, staged: StagedResult) -> StagedResult:
            return staged

    monkeypatch.setattr(subject, "open_quarantine", lambda *_: Quarantine())
    run = made(tmp_path, Session(), state=HELD, stage="/stage")
    run._folder.create()
    if has_manifest:
        run._folder.write_manifest(Manifest((), (), {"x": "int"}, {}, run.recorded))

    staged: Any = run.quarantine()

    assert (staged.stage.location, staged.files) == ("/stage", ())
    assert staged.schema.names == QUARANTINE_SCHEMA.names


def test_attempts_are_the_rows_of_the_run_table(tmp_path: Path) -> None:
    session = Session()
    run = made(tmp_path, session)
    run._folder.create()
    run._folder.write_attempts([])

    assert run.attempts() == "frame"

    ((rows, schema),) = session.made
    assert isinstance(rows, pa.Table)
    assert rows.num_rows == 0
    assert "mini_batch" in schema.names


def test_first_rows_are_asked_of_spark_only_where_the_driver_cannot_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Row(dict[str, Any]):
        def asDict(self) -> dict[str, Any]:  # noqa: N802 - Spark's name
            return dict(self)

    class Frame:
        def limit(self, count: int) -> Frame:
            assert count == 5
            return self

        def collect(self) -> list[Row]:
            return [Row(asked="Spark")]

    run = Run(new_record("night", None, CONFIG), Frame, None, RunFolder(tmp_path, "night"))  # type: ignore[arg-type]

    assert run.first_rows(5) == [{"asked": "Spark"}]

    monkeypatch.setattr(subject, "read_first_rows", lambda *_: [{"asked": "nobody"}])
    assert run.first_rows(5) == [{"asked": "nobody"}]
