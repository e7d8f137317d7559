"""Run scoring scripts that were written for Azure ML in this process, without Spark."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pyarrow as pa

from sparkscore.digest import digest_of_path
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Outcome
from sparkscore.scorers import ScriptSpec
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.script import ScriptScorer
from sparkscore.scripts.checking import check_script
from sparkscore.scripts.packing import pack_script
from sparkscore.worker import LineageValues, ResultSpec
from sparkscore.worker.result import make_outcome, read_returned


def model_files(path: Path, name: str = "", version: str = "1") -> ModelFiles:
    """Return the description of a model that the driver sends to the workers."""
    return ModelFiles(name or path.stem, version, str(path), digest_of_path(path))


class Endpoint:
    """A scoring script as a worker runs it, from the check on the driver to the rows of the result."""

    def __init__(self, folder: Path, files: dict[str, str], fields: dict[str, Any]) -> None:
        self.output, model = folder / "output", folder / "model"
        code, work = folder / "code", folder / "work"
        for made in (self.output, code, work):
            made.mkdir()
        for name, text in files.items():
            (code / name).parent.mkdir(parents=True, exist_ok=True)
            (code / name).write_text(dedent(text))
        script = next(iter(files))
        check_script(code / script)
        spec = ScriptSpec(
            code=pack_script(code, script).code,
            script=script,
            model=model_files(model) if model.exists() else None,
            output_folder=str(self.output),
            work_folder=str(work),
        )
        self._scorer = ScriptScorer(replace(spec, **fields))
        try:
            self._scorer.load()
        except BaseException:
            self._scorer.close()
            raise

    def score(self, items: list[Path] | pa.Table, carried: tuple[str, ...] = ()) -> Outcome:
        """Score one mini-batch. The columns are those of the returned values, because no schema is declared."""
        rows = items if isinstance(items, pa.Table) else None
        batch = MiniBatch("0-0", () if rows is not None else tuple(map(str, items)), rows)
        returned = self._scorer.score(batch)
        found = read_returned(returned, None).table.schema
        spec = ResultSpec(found, carried, (), LineageValues("run-1", "model", "1"))
        return make_outcome(returned, batch, spec, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))

    def predictions(self, items: list[Path] | pa.Table) -> list[dict[str, object]]:
        outcome = self.score(items)
        assert outcome.failure is None
        assert outcome.table is not None
        rows: list[dict[str, object]] = outcome.table.drop_columns(
            ["run_id", "model_name", "model_version", "scored_at", "source_file"]
        ).to_pylist()
        return rows

    def close(self) -> None:
        self._scorer.close()


Deploy = Callable[..., Endpoint]
