"""The folder of a run: record, plan, manifest, logs; no reader ever sees half a file (driver)."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, LineageError, RunNotFoundError
from sparkscore.record.attempts import ATTEMPTS_SCHEMA, attempts_of
from sparkscore.record.manifest import Manifest, content_of, manifest_in
from sparkscore.record.run_ids import check_run_id, is_run_id
from sparkscore.record.run_record import RunRecord, record_in
from sparkscore.record.scored_again import ScoredAgain, note_of, runs_in
from sparkscore.record.shape import RUN_MARKER, is_run_folder, read_json
from sparkscore.stage import MiniBatchReport
from sparkscore.stage.store import writing
from sparkscore.stage.surroundings import open_store
from sparkscore.worker.planned import write_plan

logger = logging.getLogger("sparkscore")

RUNS_VARIABLE = "SPARKSCORE_RUNS"
#: File that tells a folder of runs from others, so that no input takes its files for items.
RUNS_MARKER = ".sparkscore-runs"
_MANIFEST = "manifest.json"
_SCORED_AGAIN = "scored_again.json"
_LONGEST_RECORD = 64 * 1024 * 1024


def runs_folder(explicit: str | Path | None = None) -> Path:
    """Give the folder that holds the runs: the given one, ``$SPARKSCORE_RUNS``, or ``./sparkscore-runs``."""
    return Path(explicit or os.environ.get(RUNS_VARIABLE) or "sparkscore-runs").absolute()


class RunFolder:
    """The folder of one run."""

    def __init__(self, runs: Path, run_id: str) -> None:
        self.run_id = check_run_id(run_id)
        self.path = runs / run_id
        self.store = open_store(self.path)
        self.lock_file = self.path / "lock"
        self.log_file = self.path / "run.log"
        self.spark_log_file = self.path / "spark.log"
        #: Scripts may write files here; nothing reads them, they are kept with the run.
        self.script_output = self.path / "script_output"
        #: Where Azure's ``EntryScript`` keeps the script's own logs, a folder for each host; made by the script.
        self.script_logs = self.path / "script_logs"

    def refuse_foreign(self) -> None:
        """Raise a ConfigError for a folder of the user's that has the run's name: its files would be written over."""
        if not os.path.lexists(self.path) or is_run_folder(self.path, self.run_id):
            return
        raise ConfigError(
            code=ErrorCode.RUN_FOLDER_NOT_OURS,
            what=f"run folder '{self.path}'",
            got="a file, or a folder with files that sparkscore has not made",
            expected="nothing there, or what an earlier attempt at the run has left",
            state="Nothing was written.",
            next_step=f"Choose another --run-id than '{self.run_id}', or name another place with --runs.",
        )

    def create(self) -> None:
        """Make the folder.

        Raises:
            ConfigError, LineageError: something of the user's is there; it cannot be made.
        """
        with self.writing("Nothing was written."):
            self.refuse_foreign()
            self.store.make()
            self.store.touch(RUN_MARKER)
            self.store.make(self.script_output.name)
            open_store(self.path.parent).touch(RUNS_MARKER)
            found = os.listdir(self.path.parent)  # noqa: PTH208 - names alone
        twin = next((name for name in found if name.lower() == self.run_id.lower()), self.run_id)
        if self.run_id not in found and twin != self.run_id:
            raise ConfigError(
                code=ErrorCode.RUN_ID,
                what=f"the run id '{self.run_id}'",
                got=f"a run '{twin}' in a store that takes both names for one",
                expected="an id that differs in more than upper and lower case",
                next_step="Choose another --run-id.",
            )

    @contextmanager
    def writing(self, state: str = "") -> Iterator[None]:
        """Say that the run's folder cannot be written, whatever the body could not write there.

        Args:
            state: what that means for the data.

        Raises:
            LineageError: the body raised an OSError.
        """
        try:
            yield
        except OSError as error:
            raise LineageError(
                code=ErrorCode.RUNS_FOLDER,
                what=f"run folder '{self.path}'",
                got=error.strerror or type(error).__name__,
                expected="a folder that can be written",
                state=state or "Nothing was published.",
                next_step="Correct the cause, or name another place with --runs or SPARKSCORE_RUNS, and run again.",
            ) from error

    def write_request(self, request: Mapping[str, Any]) -> None:
        """Keep what was asked for, so that the run can be taken up by its id.

        Args:
            request: what was asked for; nothing where it holds a secret, and then no older request is left either.
        """
        text = json.dumps(request, indent=2, default=str) if request else "null"
        with self.writing():
            self._put("request.json", text + "\n")

    def read_request(self) -> dict[str, Any] | None:
        """Read what was asked for, if it was kept."""
        return read_json(self.path / "request.json")

    def write_code(self, files: Mapping[str, str], left_out: Mapping[str, str]) -> None:
        """Keep the digests of the code folder's files, to name those that differ when the run is taken up."""
        text = json.dumps({"files": dict(files), "left_out": dict(left_out)}, indent=2)
        with self.writing():
            self._put("code.json", text + "\n")

    def read_code(self) -> dict[str, dict[str, str]]:
        """Read what `write_code` kept, two empty parts if there is nothing."""
        found = read_json(self.path / "code.json") or {}
        parts = {name: found.get(name) for name in ("files", "left_out")}
        return {name: part if isinstance(part, dict) else {} for name, part in parts.items()}

    def read_record(self) -> RunRecord | None:
        """Read the record, if the run has one."""
        return _record_in(self.path / "record.json", self.run_id)

    def write_record(self, record: RunRecord, check: Callable[[], None] = lambda: None) -> None:
        """Replace the record in one step.

        Args:
            record: the record.
            check: makes sure at the last moment that this driver may.

        Raises:
            LineageError: it cannot be written.
        """
        # Its columns are there from the moment on in which the run begins to publish.
        state = "The result may be published: the same run id tells." if record.output.columns else ""
        text = json.dumps(record.as_dict(), indent=2, ensure_ascii=False)
        with self.writing(state):
            self._put("record.json", text + "\n", check)

    def write_manifest(self, manifest: Manifest) -> None:
        """Say what counts. Staged files that the manifest does not name do not exist."""
        text = json.dumps(content_of(manifest, self.run_id), indent=2)
        with self.writing():
            self._put(_MANIFEST, text + "\n")

    def has_manifest(self) -> bool:
        """Whether it was decided what counts."""
        return (self.path / _MANIFEST).exists()

    def read_manifest(self) -> Manifest | None:
        """Read what counts, if that was decided.

        Raises:
            LineageError: the manifest is not as it was written.
        """
        if not self.has_manifest():
            return None
        file = self.path / _MANIFEST
        return manifest_in(read_json(file) or {}, file, self.run_id)

    def write_scored_again(self, runs: Iterable[ScoredAgain]) -> None:
        """Note the runs over failed items of this run, in the order in which they published."""
        text = json.dumps(note_of(runs), indent=2)
        with self.writing():
            self._put(_SCORED_AGAIN, text + "\n")

    def read_scored_again(self) -> list[ScoredAgain]:
        """Read which runs over failed items of this run were about to publish.

        Raises:
            LineageError: the note is not as it was written.
        """
        file = self.path / _SCORED_AGAIN
        return runs_in(read_json(file) or {}, file, self.run_id) if file.exists() else []

    def write_attempts(self, reports: Iterable[MiniBatchReport]) -> None:
        """Keep every attempt as ``attempts.parquet``, a row for each call of the model, for SQL over all runs."""
        with self.writing(), writing(self.store, "attempts.parquet") as file:
            pq.write_table(attempts_of(self.run_id, reports), file)

    def read_attempts(self) -> pa.Table:
        """Read the calls that `write_attempts` kept; none where the run made none.

        Raises:
            LineageError: the file cannot be read.
        """
        file = self.path / "attempts.parquet"
        if not file.exists():
            return ATTEMPTS_SCHEMA.empty_table()
        try:
            return pq.read_table(file)
        except (OSError, pa.ArrowException) as error:
            raise LineageError(
                code=ErrorCode.ATTEMPTS_UNREADABLE,
                what=f"the run table '{file}' of run '{self.run_id}'",
                got=type(error).__name__,
                expected="the file as the run wrote it",
                next_step="Bring the file back; the result does not depend on it.",
            ) from error

    def write_plan(self, mini_batches: pa.Table) -> None:
        """Keep the planned mini-batches of files as ``plan.parquet``."""
        with self.writing():
            write_plan(str(self.path / "plan.parquet"), mini_batches)

    def _put(self, name: str, text: str, check: Callable[[], None] = lambda: None) -> None:
        # Names of files may hold what UTF-8 cannot; written as an escape, JSON can.
        self.store.put(name, text.encode(errors="backslashreplace"), check=check)


def list_records(runs: Path) -> list[RunRecord]:
    """Read the records of all runs, the newest first; what is no record is named in a warning and passed over."""
    records = []
    for path in sorted(runs.glob("*/record.json")):
        run_id = path.parent.name
        record = _record_in(path, run_id) if is_run_id(run_id) else None
        if record is not None:
            records.append(record)
        else:
            logger.warning("'%s' is not the record of a run; it is passed over", path)
    return sorted(records, key=lambda record: record.started_at, reverse=True)


def read_record(runs: Path, run_id: str) -> RunRecord:
    """Read the record of one run.

    Raises:
        RunNotFoundError: there is no such run.
    """
    record = RunFolder(runs, run_id).read_record()
    if record is None:
        raise RunNotFoundError(
            code=ErrorCode.RUN_NOT_FOUND,
            what=f"run '{run_id}' in '{runs}'",
            got="no record",
            state="",
            next_step="See 'sparkscore runs list', or name the folder with --runs.",
        )
    return record


def _record_in(path: Path, run_id: str) -> RunRecord | None:
    content = read_json(path, _LONGEST_RECORD)
    return None if content is None else record_in(content, run_id)
