"""The folder of a run: record, plan, manifest, logs; no reader ever sees half a file (driver)."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.errors import ConfigError, LineageError, RunNotFoundError
from sparkscore.record.shape import is_record, is_run_folder, read_json
from sparkscore.removal import put_in_place, remove_file
from sparkscore.stage import MiniBatchReport, StagedFile
from sparkscore.stage.report import CALL_SCHEMA
from sparkscore.worker.planned import write_plan

logger = logging.getLogger("sparkscore")

RUNS_VARIABLE = "SPARKSCORE_RUNS"
#: File that tells a folder of runs from others, so that no input takes its files for items.
RUNS_MARKER = ".sparkscore-runs"
_MANIFEST = "manifest.json"
_SCORED_AGAIN = "scored_again.json"
_SUM = "sha256"
_RUN_ID = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")
# Source: Spark finds the types of partition columns with Java's parseDouble; other readers use C's strtod.
_NUMBERS = {"nan", "inf", "infinity"}
# What lies beside the folders of runs and of stages: Spark's own files, and locks.
_LONGEST_RECORD = 64 * 1024 * 1024
_TAKEN = re.compile(r"spark-warehouse|spark\.log(\..*)?|metastore_db|derby\.log|.*\.lock(\..*)?", re.IGNORECASE)


#: Columns of the run table.
ATTEMPTS_SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("mini_batch", pa.string()),
        ("attempt", pa.int64()),
        *CALL_SCHEMA,
        ("worker", pa.string()),
        ("scored_at", pa.timestamp("us", "UTC")),
    ]
)


@dataclass(frozen=True)
class Manifest:
    """What a run publishes: it was scored, and no more failed than is tolerated.

    Attributes:
        files: the staged files of the predictions that count, those of the task attempts that succeeded.
        quarantined: the same of the quarantine.
        columns: the result's columns with Spark's names of their types.
        commit_info: what is written into the table's history.
        record: the run's record when that was decided.
    """

    files: tuple[StagedFile, ...]
    quarantined: tuple[StagedFile, ...]
    columns: Mapping[str, str]
    commit_info: Mapping[str, object]
    record: dict[str, Any]


@dataclass(frozen=True)
class ScoredAgain:
    """A run over failed items that was about to publish.

    Attributes:
        run_id: the run.
        origin: the run in whose quarantine its items were.
        items: their number.
        quarantined: how many of them failed again.
        quarantine: the table in which those are.
        format: the tables' format.
        output: the table of the others.
        run_id_column: name of the column there that holds the run id.
    """

    run_id: str
    origin: str
    items: int
    quarantined: int
    quarantine: str
    format: str
    output: str
    run_id_column: str


def runs_folder(explicit: str | Path | None = None) -> Path:
    """Give the folder that holds the runs: the given one, ``$SPARKSCORE_RUNS``, or ``./sparkscore-runs``."""
    return Path(explicit or os.environ.get(RUNS_VARIABLE) or "sparkscore-runs").absolute()


def make_run_id(now: datetime | None = None) -> str:
    """Make a run id that sorts by time.

    >>> make_run_id(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))[:-6]
    'run-20260102-030405-'
    """
    return f"run-{(now or datetime.now(UTC)):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def check_run_id(run_id: str) -> str:
    """Refuse a run id that cannot name a folder, or that a reader of partitions would take for a number.

    Raises:
        ConfigError: the id does not start with a letter, has other characters than letters, digits, ``_ . -``, ends
            with a full stop, which some stores drop, is a name of a number, like ``NaN``, or a name that is taken.
    """
    if not _is_run_id(run_id):
        raise ConfigError(
            code="RUN_ID",
            what="the run id",
            got=f"'{run_id[:140]}'",
            expected="a letter, then up to 127 letters, digits, '_', '.' or '-', without a full stop or '.lock' at the "
            "end, and no name of a number or of Spark's own files",
            next_step="Choose another --run-id, or leave it out.",
        )
    return run_id


def _is_run_id(run_id: str) -> bool:
    is_taken = run_id.lower() in _NUMBERS or _TAKEN.fullmatch(run_id) is not None
    return _RUN_ID.fullmatch(run_id) is not None and not run_id.endswith(".") and not is_taken


class RunFolder:
    """The folder of one run."""

    def __init__(self, runs: Path, run_id: str) -> None:
        self.run_id = check_run_id(run_id)
        self.path = runs / run_id
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
            code="RUN_FOLDER_NOT_OURS",
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
            self.script_output.mkdir(parents=True, exist_ok=True)
            (self.path.parent / RUNS_MARKER).touch()
            found = os.listdir(self.path.parent)  # noqa: PTH208 - names alone
        twin = next((name for name in found if name.lower() == self.run_id.lower()), self.run_id)
        if self.run_id not in found and twin != self.run_id:
            raise ConfigError(
                code="RUN_ID",
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
                code="RUNS_FOLDER",
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
            write_whole(self.path / "request.json", text + "\n")

    def read_request(self) -> dict[str, Any] | None:
        """Read what was asked for, if it was kept."""
        return read_json(self.path / "request.json")

    def write_code(self, files: Mapping[str, str], left_out: Mapping[str, str]) -> None:
        """Keep the digests of the code folder's files, to name those that differ when the run is taken up."""
        text = json.dumps({"files": dict(files), "left_out": dict(left_out)}, indent=2)
        with self.writing():
            write_whole(self.path / "code.json", text + "\n")

    def read_code(self) -> dict[str, dict[str, str]]:
        """Read what `write_code` kept, two empty parts if there is nothing."""
        found = read_json(self.path / "code.json") or {}
        parts = {name: found.get(name) for name in ("files", "left_out")}
        return {name: part if isinstance(part, dict) else {} for name, part in parts.items()}

    def read_record(self) -> dict[str, Any] | None:
        """Read the record, if the run has one."""
        record = read_json(self.path / "record.json", _LONGEST_RECORD)
        return record if record is not None and is_record(record, self.run_id) else None

    def write_record(self, record: dict[str, Any], check: Callable[[], None] = lambda: None) -> None:
        """Replace the record in one step.

        Args:
            record: the record.
            check: makes sure at the last moment that this driver may.

        Raises:
            LineageError: it cannot be written.
        """
        # Its columns are there from the moment on in which the run begins to publish.
        state = (
            "The result may be published: the same run id tells." if (record.get("output") or {}).get("columns") else ""
        )
        with self.writing(state):
            write_whole(self.path / "record.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n", check)

    def write_manifest(self, manifest: Manifest) -> None:
        """Say what counts. Staged files that the manifest does not name do not exist."""
        content = {"run_id": self.run_id, **asdict(manifest)}
        with self.writing():
            write_whole(self.path / _MANIFEST, json.dumps(content | {_SUM: _sum_of(content)}, indent=2) + "\n")

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
        content = read_json(self.path / _MANIFEST) or {}
        # An earlier version of sparkscore wrote no checksum, and none of the files either.
        has_sums = any(file.get("sha256") for name in ("files", "quarantined") for file in content.get(name, ()))
        written = content.pop(_SUM, None)
        if not content or (written is None and has_sums) or (written is not None and written != _sum_of(content)):
            raise self._changed_manifest()
        files = {name: tuple(StagedFile(**file) for file in content[name]) for name in ("files", "quarantined")}
        return Manifest(
            files["files"], files["quarantined"], content["columns"], content["commit_info"], content["record"]
        )

    def _changed_manifest(self) -> LineageError:
        return LineageError(
            code="MANIFEST_CHANGED",
            what=f"the manifest '{self.path / _MANIFEST}' of run '{self.run_id}'",
            got="other contents than sparkscore wrote",
            state="Nothing was published.",
            next_step=f"Drop what is staged with 'sparkscore publish {self.run_id} --discard' or 'sparkscore clean'; "
            "score again under another --run-id.",
        )

    def write_scored_again(self, runs: Iterable[ScoredAgain]) -> None:
        """Note the runs over failed items of this run, in the order in which they published."""
        content = {"runs": [asdict(run) for run in runs]}
        with self.writing():
            write_whole(self.path / _SCORED_AGAIN, json.dumps(content | {_SUM: _sum_of(content)}, indent=2) + "\n")

    def read_scored_again(self) -> list[ScoredAgain]:
        """Read which runs over failed items of this run were about to publish.

        Raises:
            LineageError: the note is not as it was written.
        """
        path = self.path / _SCORED_AGAIN
        if not path.exists():
            return []
        content = read_json(path) or {}
        if content.pop(_SUM, None) != _sum_of(content):
            raise LineageError(
                code="ONLY_FAILED_UNKNOWN",
                what=f"the note '{path}' of the runs over failed items of run '{self.run_id}'",
                got="other contents than sparkscore wrote",
                next_step="Bring the file back, or score the whole input again, into another --output.",
            )
        return [ScoredAgain(**run) for run in content["runs"]]

    def write_attempts(self, reports: Iterable[MiniBatchReport]) -> None:
        """Keep every attempt as ``attempts.parquet``, a row for each call of the model, for SQL over all runs."""
        rows = [
            {
                "run_id": self.run_id,
                "mini_batch": report.mini_batch,
                "attempt": number,
                **asdict(call),
                "worker": report.worker,
                "scored_at": report.scored_at,
            }
            for report in reports
            for number, call in enumerate(report.attempts, 1)
        ]
        unfinished = self.path / ".attempts.parquet"
        with self.writing():
            pq.write_table(pa.Table.from_pylist(rows, schema=ATTEMPTS_SCHEMA), unfinished)
            put_in_place(unfinished, self.path / "attempts.parquet")

    def write_plan(self, mini_batches: pa.Table) -> None:
        """Keep the planned mini-batches of files as ``plan.parquet``."""
        with self.writing():
            write_plan(str(self.path / "plan.parquet"), mini_batches)


def list_records(runs: Path) -> list[dict[str, Any]]:
    """Read the records of all runs, the newest first; what is no record is named in a warning and passed over."""
    records = []
    for path in sorted(runs.glob("*/record.json")):
        record = read_json(path, _LONGEST_RECORD)
        if record is not None and _is_run_id(path.parent.name) and is_record(record, path.parent.name):
            records.append(record)
        else:
            logger.warning("'%s' is not the record of a run; it is passed over", path)
    return sorted(records, key=lambda record: str(record["started_at"]), reverse=True)


def read_record(runs: Path, run_id: str) -> dict[str, Any]:
    """Read the record of one run.

    Raises:
        RunNotFoundError: there is no such run.
    """
    record = RunFolder(runs, run_id).read_record()
    if record is None:
        raise RunNotFoundError(
            code="RUN_NOT_FOUND",
            what=f"run '{run_id}' in '{runs}'",
            got="no record",
            state="",
            next_step="See 'sparkscore runs list', or name the folder with --runs.",
        )
    return record


def _sum_of(content: Mapping[str, Any]) -> str:
    """Give the checksum of a manifest's content, however it is laid out in its file."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_whole(path: Path, text: str, check: Callable[[], None] = lambda: None) -> None:
    """Write or replace a file in one step; no reader ever sees half of it.

    Args:
        path: the file.
        text: its new content.
        check: called at the last moment; the file stays as it is where this raises.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    # Names of files may hold what UTF-8 cannot; written as an escape, JSON can.
    with unfinished.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        check()
    except BaseException:
        remove_file(unfinished)
        raise
    put_in_place(unfinished, path)
