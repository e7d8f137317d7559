from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers import ScriptSpec
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scripts.packing import pack_script
from sparkscore.signature import parse_ddl
from sparkscore.worker.engine import EngineSpec, LocalEngine
from sparkscore.worker.result import LineageValues, ResultSpec

AT = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
RESULT = ResultSpec(parse_ddl("prediction bigint"), (), (), LineageValues("r", None, None))


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text("def run(b):\n    return [1] * len(b)")
    code = pack_script(tmp_path / "code", "score.py").code
    scorer = ScriptSpec(code, "score.py", work_folder=str(tmp_path), dtypes=Dtypes(are_arrow=True))
    made = LocalEngine(EngineSpec("a", scorer, not_null=("x", "t", "elsewhere")))
    made.load()
    yield made
    made.close()


@pytest.mark.parametrize("name", ["x", "t"])
def test_a_null_in_a_column_of_any_type_that_is_declared_not_null_fails_its_mini_batch(engine: Any, name: str) -> None:
    rows = {"x": pa.array([0.5, 1.5]), "t": pa.array(["a", "b"]), "free": pa.nulls(2, pa.int64())}
    rows[name] = pa.concat_arrays([rows[name].slice(1), pa.nulls(1, rows[name].type)])

    outcome = engine.score(MiniBatch("0", (), pa.table(rows)), RESULT, AT)
    probed = engine.probe(MiniBatch("0", (), pa.table(rows)), None)

    for failure in (outcome.failure, probed.failure):
        assert failure.code == "INPUT_NULL"
        assert f"'{name}'" in failure.message
        assert "declares them NOT NULL" in failure.message


def test_rows_without_such_a_null_and_files_are_scored(engine: Any) -> None:
    rows = pa.table({"x": [0.5], "t": ["a"], "free": pa.nulls(1)})

    assert engine.score(MiniBatch("0", (), rows), RESULT, AT).scored == 1
    assert engine.score(MiniBatch("0", ("/in/a",)), RESULT, AT).scored == 1
