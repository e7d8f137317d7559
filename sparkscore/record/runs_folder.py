"""Store each run in its own folder inside the runs folder. Runs on the driver.

All files except logs are replaced atomically: a reader sees either the old or the new content.
"""

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
from sparkscore.errors import ConfigError, LineageError
from sparkscore.record.attempts import ATTEMPTS_SCHEMA, attempts_of
from sparkscore.record.identity_key import key_in, new_key
from sparkscore.record.listing import record_of
from sparkscore.record.manifest import Manifest, content_of, manifest_in
from sparkscore.record.run_ids import check_run_id
from sparkscore.record.run_record import RunRecord
from sparkscore.record.run_store import RunStore
from sparkscore.record.scored_again import ScoredAgain, note_of, runs_in
from sparkscore.record.shape import RUN_MARKER, is_run_folder, read_json
from sparkscore.rotating_log import rotating_handler
from sparkscore.stage import MiniBatchReport
from sparkscore.stage.lock import RunLock, is_held
from sparkscore.stage.plan_file import write_plan
from sparkscore.stage.store import writing
from sparkscore.stage.surroundings import open_store

#: File that marks a runs folder, so that the files in it are not treated as input items.
RUNS_MARKER = ".sparkscore-runs"
_MANIFEST = "manifest.json"
_KEY = "identity.key"
_SCORED_AGAIN = "scored_again.json"


class RunFolder:
    """Stores a run as files in a folder. Implements `sparkscore.record.run_store.RunStore`.

    The constructor does not create the folder; `create` does.

    Args:
        runs: path of the runs folder.
        run_id: id of the run, which is also the name of its folder.

    Raises:
        ConfigError: the run id is not valid.
    """

    def __init__(self, runs: Path, run_id: str) -> None:
        self.run_id = check_run_id(run_id)
        self.path = runs / run_id
        self._store = open_store(self.path)
        self.lock_file = self.path / "lock"
        self.log_file = self.path / "run.log"
        self.spark_log_file = self.path / "spark.log"
        #: Folder into which scripts may write files. They are kept with the run, and sparkscore does not read them.
        self.script_output = self.path / "script_output"
        #: Folder for the logs that scripts write with Azure's ``EntryScript`` class. It has a subfolder for each host.
        self.script_logs = self.path / "script_logs"

    def refuse_foreign(self) -> None:
        """Raise an error if the run folder's path is taken by a file or folder that belongs to the user.

        Raises:
            ConfigError: the path exists, and is neither a folder of this run nor an empty folder.
        """
        if not os.path.lexists(self.path) or is_run_folder(self.path, self.run_id):
            return
        raise ConfigError(
            code=ErrorCode.RUN_FOLDER_NOT_OURS,
            what=f"run folder '{self.path}'",
            got="a file, or a folder with files that sparkscore has not made",
            expected="no such folder, or the folder of an earlier attempt at the run",
            state="Nothing was written.",
            next_step=f"Choose another --run-id than '{self.run_id}', or name another folder with --runs.",
        )

    def create(self) -> None:
        """Create the run's folder and, inside it, a folder for files written by scripts, unless they exist.

        Marker files in the run's folder and in the runs folder show that sparkscore made these folders.

        Raises:
            ConfigError: the path is taken by a file or folder that belongs to the user, or the file system is not
                case-sensitive and there is a run whose id differs only in case.
            LineageError: the folder cannot be created.
        """
        with self._writing("Nothing was written."):
            self.refuse_foreign()
            self._store.make()
            self._store.touch(RUN_MARKER)
            self._store.make(self.script_output.name)
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

    @property
    def runs(self) -> Path:
        """The runs folder that contains this run's folder."""
        return self.path.parent

    def claim(self) -> RunLock:
        """Return a context manager that acquires the run's lock."""
        return RunLock(self.lock_file, self.run_id)

    def is_claimed(self) -> bool:
        """Return whether a live driver holds the run's lock."""
        return is_held(self.lock_file)

    def key(self) -> bytes:
        """Return the key for hashing the run's secrets.

        The first call creates the key, in a file that only its owner can read.

        Raises:
            LineageError: the file cannot be read or written, or does not contain a key.
        """
        with self._writing():
            if self._store.find(_KEY) is None:
                self._store.put(_KEY, new_key(), is_private=True)
            return key_in(self._store.read(_KEY), self.path / _KEY, self.run_id)

    def log_handler(self) -> logging.Handler:
        """Return a `logging` handler that appends to the run's log. A large log is rotated.

        Raises:
            LineageError: the log cannot be opened.
        """
        with self._writing():
            return rotating_handler(self.log_file)

    @contextmanager
    def _writing(self, state: str = "") -> Iterator[None]:
        """Convert any `OSError` raised in the ``with`` block to a `LineageError` about the run's folder."""
        try:
            yield
        except OSError as error:
            raise LineageError(
                code=ErrorCode.RUNS_FOLDER,
                what=f"run folder '{self.path}'",
                got=error.strerror or type(error).__name__,
                expected="a folder that can be written",
                state=state or "Nothing was published.",
                next_step="Correct the cause, or name another folder with --runs or SPARKSCORE_RUNS, and run again.",
            ) from error

    def write_request(self, request: Mapping[str, Any]) -> None:
        """Write the run's request to ``request.json``, so that the run can be resumed by its id.

        Args:
            request: the request. Pass an empty mapping if the request may contain a secret. `read_request` then returns
                None.

        Raises:
            LineageError: the file cannot be written.
        """
        text = json.dumps(request, indent=2, default=str) if request else "null"
        with self._writing():
            self._put("request.json", text + "\n")

    def read_request(self) -> dict[str, Any] | None:
        """Return the request from ``request.json``, or None if it was not written, is empty or cannot be read."""
        return read_json(self.path / "request.json")

    def write_code(self, files: Mapping[str, str], left_out: Mapping[str, str]) -> None:
        """Write the digests of the files in the code folder to ``code.json``, so that a resumed run can report changes.

        Args:
            files: digests of the files that were sent to the workers, by file name.
            left_out: reasons why other files and folders were not sent, by name.

        Raises:
            LineageError: the file cannot be written.
        """
        text = json.dumps({"files": dict(files), "left_out": dict(left_out)}, indent=2)
        with self._writing():
            self._put("code.json", text + "\n")

    def read_code(self) -> dict[str, dict[str, str]]:
        """Return the content of ``code.json``, a dictionary with the keys ``files`` and ``left_out``.

        Both values are empty dictionaries if the file does not exist or cannot be read.
        """
        found = read_json(self.path / "code.json") or {}
        parts = {name: found.get(name) for name in ("files", "left_out")}
        return {name: part if isinstance(part, dict) else {} for name, part in parts.items()}

    def read_record(self) -> RunRecord | None:
        """Return the run record from ``record.json``, or None if the file has no readable record of this run.

        Files larger than 64 MiB are not read.
        """
        return record_of(self.path, self.run_id)

    def write_record(self, record: RunRecord, check: Callable[[], None] = lambda: None) -> None:
        """Replace the run record in ``record.json``.

        Args:
            record: the new record.
            check: called immediately before the record is replaced. If it raises an error, the old record is kept.

        Raises:
            LineageError: the record cannot be written.
        """
        resume = f"'sparkscore resume {record.run_id}'"
        state = f"Its rows may be published: {resume} finds out." if record.may_show_rows else ""
        text = json.dumps(record.as_dict(), indent=2, ensure_ascii=False)
        with self._writing(state):
            self._put("record.json", text + "\n", check)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the run's manifest to ``manifest.json``.

        Raises:
            LineageError: the file cannot be written.
        """
        text = json.dumps(content_of(manifest, self.run_id), indent=2)
        with self._writing():
            self._put(_MANIFEST, text + "\n")

    def has_manifest(self) -> bool:
        """Return whether the run has a ``manifest.json``."""
        return (self.path / _MANIFEST).exists()

    def read_manifest(self) -> Manifest | None:
        """Return the manifest from ``manifest.json``, or None if the run has no such file.

        Raises:
            LineageError: the manifest cannot be read, has changed since it was written, or has a different format.
        """
        if not self.has_manifest():
            return None
        file = self.path / _MANIFEST
        return manifest_in(read_json(file) or {}, file, self.run_id)

    def write_scored_again(self, runs: Iterable[ScoredAgain]) -> None:
        """Write to ``scored_again.json`` which later runs scored failed items of this run again.

        Args:
            runs: the runs, in the order in which they began to publish.

        Raises:
            LineageError: the file cannot be written.
        """
        text = json.dumps(note_of(runs), indent=2)
        with self._writing():
            self._put(_SCORED_AGAIN, text + "\n")

    def read_scored_again(self) -> list[ScoredAgain]:
        """Return the later runs that scored failed items of this run again, or an empty list if no list was written.

        Raises:
            LineageError: the list cannot be read, or has changed since it was written.
        """
        file = self.path / _SCORED_AGAIN
        return runs_in(read_json(file) or {}, file, self.run_id) if file.exists() else []

    def write_attempts(self, reports: Iterable[MiniBatchReport]) -> None:
        """Write the table of this run's calls to ``attempts.parquet``, with one row for each call in the reports.

        Args:
            reports: the reports of the run's mini-batches.

        Raises:
            LineageError: the file cannot be written.
        """
        with self._writing(), writing(self._store, "attempts.parquet") as file:
            pq.write_table(attempts_of(self.run_id, reports), file)

    def read_attempts(self) -> pa.Table:
        """Return the rows of ``attempts.parquet``, or an empty table if the file does not exist.

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
                next_step="Restore the file. The result does not depend on it.",
            ) from error

    def write_plan(self, mini_batches: pa.Table) -> None:
        """Write the planned mini-batches of input files to ``plan.parquet``, for users to look at.

        Raises:
            LineageError: the file cannot be written.
        """
        with self._writing():
            write_plan(str(self.path / "plan.parquet"), mini_batches)

    def _put(self, name: str, text: str, check: Callable[[], None] = lambda: None) -> None:
        # File names may contain bytes that are not UTF-8. These are written as escape sequences.
        self._store.put(name, text.encode(errors="backslashreplace"), check=check)


def open_run(runs: Path, run_id: str) -> RunStore:
    """Return the store of a run. The run need not exist, and nothing is created.

    Raises:
        ConfigError: the run id is not valid.
    """
    return RunFolder(runs, run_id)
