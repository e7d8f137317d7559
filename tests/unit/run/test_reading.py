from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from sparkscore.errors import ConfigError
from sparkscore.minibatch import MiniBatchLimit
from sparkscore.parquet import ColumnRead, ParquetReader
from sparkscore.row_units import FileRows
from sparkscore.run import PreparedRun
from sparkscore.run.reading import columns_to_read, decide_reader, refuse_reader, samples_of
from sparkscore.signature.model_signature import Feed
from sparkscore.sources.planned_rows import PlannedRows
from sparkscore.stage import Decision, StageFolder

Ask = Callable[..., PreparedRun]
ROWS = PlannedRows(ParquetReader((ColumnRead("id", pa.int64()),)), (FileRows("/in/a", (10,), (80,)),))


def source(found: PlannedRows | str, columns: object = ("id",)) -> Any:
    return SimpleNamespace(planned_rows=lambda: found, columns=lambda: columns)


@pytest.mark.parametrize(
    ("setting", "found", "expected"),
    [
        ("auto", ROWS, (ROWS, "")),
        ("worker", ROWS, (ROWS, "")),
        ("auto", "it is odd", (None, "it is odd")),
        ("spark", ROWS, (None, "'input.reader' is spark")),
    ],
)
def test_the_workers_read_what_they_can(
    ask: Ask, tmp_path: Path, setting: str, found: PlannedRows | str, expected: object
) -> None:
    prepared, stage = ask(input__reader=setting), StageFolder(tmp_path)

    assert decide_reader(prepared, source(found), stage) == expected
    assert decide_reader(prepared, source(found), stage) == expected


def test_a_resumed_run_keeps_its_reader(ask: Ask, tmp_path: Path) -> None:
    stage = StageFolder(tmp_path)
    decide_reader(ask(), source("a footer cannot be read"), stage)

    assert decide_reader(ask(), source(ROWS), stage) == (None, "a footer cannot be read")
    stage.keep(Decision.READER, json.dumps(["worker", ""]).encode())
    with pytest.raises(ConfigError, match=r"\[INPUT_READER\].*it is odd.*--run-id"):
        decide_reader(ask(), source("it is odd"), stage)


def test_a_run_that_an_earlier_version_began_is_read_by_spark_to_its_end(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "0-0").write_bytes(b"")

    assert decide_reader(ask(), source(ROWS), StageFolder(tmp_path))[0] is None


def test_the_reader_that_a_deployment_asks_for_is_refused_where_it_cannot_read(ask: Ask) -> None:
    refuse_reader(ask(input__reader="worker"), source(ROWS))
    refuse_reader(ask(), source("it is odd"))

    for of_source in (source("it is odd"), source(ROWS, columns=None)):
        with pytest.raises(ConfigError, match=r"\[INPUT_READER\].*'input\.reader: auto'"):
            refuse_reader(ask(input__reader="worker"), of_source)


def test_a_script_gets_all_columns_and_a_model_its_own(ask: Ask) -> None:
    feeds = (Feed("x", ("a", "b"), None), Feed("y", ("b", "c"), None))
    model: Any = SimpleNamespace(script=None)
    rows = MiniBatchLimit(items=10)

    assert columns_to_read(model, feeds, ["id"], ["n"], rows) == ("a", "b", "c", "id", "n")
    assert columns_to_read(model, None, ["id"], [], rows) is None
    assert columns_to_read(model, feeds, ["id"], [], MiniBatchLimit(size_bytes=10)) is None
    assert columns_to_read(ask(), feeds, ["id"], [], rows) is None


@pytest.mark.parametrize(
    ("limit", "parts"),
    [
        (MiniBatchLimit(items=4), [("b", 0, 4), ("b", 4, 4), ("b", 8, 2), ("a", 0, 1)]),
        (MiniBatchLimit(), [("b", 0, 10), ("a", 0, 1)]),
        (MiniBatchLimit(size_bytes=9), [("b", 0, 10)] * 10),
    ],
)
def test_the_probe_gets_mini_batches_with_several_rows_first(
    limit: MiniBatchLimit, parts: list[tuple[str, int, int]]
) -> None:
    files = (FileRows("a", (1,), (8,)), FileRows("empty", (), ()), FileRows("b", (4, 6), (8, 8)))

    samples = samples_of(PlannedRows(ROWS.reader, files), limit)

    assert [(each.part.path, each.part.first_row, each.part.row_count) for each in samples] == parts
    assert sum(each.item_count for each in samples) == (10 if limit.size_bytes else 11)
