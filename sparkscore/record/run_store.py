"""Protocols for storing a run's record, manifest, request, plan, calls and logs. Runs on the driver.

`sparkscore.record.runs_folder.RunFolder` stores them as files. Rows that are scored but not yet published are in the
stage instead; see `sparkscore.stage.run_stage`. If a call raises an error, the operation may still have succeeded: for
example, the answer may have been lost on the way back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import pyarrow as pa

from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import RunRecord
from sparkscore.record.scored_again import ScoredAgain
from sparkscore.stage import MiniBatchReport


class Claim(Protocol):
    """One driver's exclusive right to work on a run. If this driver dies, another one can take over the claim."""

    def __enter__(self) -> Self:
        """Claim the run for this driver.

        Raises:
            ConfigError: a live driver has claimed the run (code ``RUN_ID_RUNNING``), or there is a file or folder at
                the claim's location that sparkscore did not write (code ``RUN_LOCK_FOREIGN``).
            LineageError: the claim cannot be written.
        """

    def __exit__(self, *_: object) -> None:
        """Give up the claim, unless another driver has taken it over."""

    def is_ours(self) -> bool:
        """Return whether this driver still has the claim.

        Another driver may take over the claim, for example while this process is suspended.

        Raises:
            OSError: the claim cannot be read.
        """

    def check(self) -> None:
        """Check that this driver still has the claim.

        Raises:
            SinkConflictError: this driver has lost the claim, for example because another driver took it over.
            OSError: the claim cannot be read.
        """


class RunStore(Protocol):
    """Stores the record, manifest, request, plan, calls and logs of a run.

    The run's staged rows are not in this store, but in the run's stage. Only the driver that has claimed the run may
    call the ``write_…`` methods. Any process may call the ``read_…`` methods at any time; they return either the old or
    the new content. If a ``write_…`` method crashes or raises an error, the store has the old or the new content, and
    the call can be repeated.

    Attributes:
        run_id: id of the run.
        path: location of the run, to show to users.
        log_file: the run's log, to show to users.
        spark_log_file: file for the output of the JVM that this driver starts.
        script_output: folder into which scripts on the workers may write files.
        script_logs: folder for the logs that scripts on the workers write with Azure's ``EntryScript`` class.
    """

    run_id: str
    path: Path
    log_file: Path
    spark_log_file: Path
    script_output: Path
    script_logs: Path

    @property
    def runs(self) -> Path:
        """The runs folder that contains this run."""

    def refuse_foreign(self) -> None:
        """Raise an error if the run's location has files that sparkscore did not write.

        Raises:
            ConfigError: such files exist.
        """

    def create(self) -> None:
        """Create the run's location in the store, unless it exists.

        Raises:
            ConfigError: the location has files that sparkscore did not write, or the store is not case-sensitive and
                already has a run whose id differs only in case.
            LineageError: the store cannot be written.
        """

    def claim(self) -> Claim:
        """Return a context manager that claims the run for this driver."""

    def is_claimed(self) -> bool:
        """Return whether a live driver has claimed the run. This may change at any time."""

    def key(self) -> bytes:
        """Return the key for hashing the run's secrets.

        The first call creates the key. Only the user who runs this process can read it.

        Raises:
            LineageError: the key cannot be read or written.
        """

    def log_handler(self) -> logging.Handler:
        """Return a `logging` handler that appends to the run's log.

        Raises:
            LineageError: the log cannot be written.
        """

    def write_request(self, request: Mapping[str, Any]) -> None:
        """Write the run's request, so that the run can be resumed by its id.

        Args:
            request: the request. Pass an empty mapping if the request may contain a secret. `read_request` then returns
                None.

        Raises:
            LineageError: the request cannot be written.
        """

    def read_request(self) -> dict[str, Any] | None:
        """Return the run's request, or None if it was not written, is empty or cannot be read."""

    def write_code(self, files: Mapping[str, str], left_out: Mapping[str, str]) -> None:
        """Write the digests of the files in the code folder, so that a resumed run can report which files have changed.

        Args:
            files: digests of the files that were sent to the workers, by file name.
            left_out: reasons why other files and folders were not sent, by name.

        Raises:
            LineageError: the digests cannot be written.
        """

    def read_code(self) -> dict[str, dict[str, str]]:
        """Return the information about the code folder that `write_code` stored for this run.

        Returns:
            a dictionary with the keys ``files`` (digests of the files that were sent to the workers, by file name) and
            ``left_out`` (reasons why other files and folders were not sent, by name). Both values are empty
            dictionaries if nothing was stored or the stored content cannot be read.
        """

    def write_plan(self, mini_batches: pa.Table) -> None:
        """Store a copy of the planned mini-batches for users to look at. Tasks read the plan from the stage instead.

        Raises:
            LineageError: the mini-batches cannot be written.
        """

    def write_record(self, record: RunRecord, check: Callable[[], None] = lambda: None) -> None:
        """Replace the run record.

        Args:
            record: the new record.
            check: called immediately before the record is replaced. If it raises an error, the old record is kept.

        Raises:
            LineageError: the record cannot be written.
        """

    def read_record(self) -> RunRecord | None:
        """Return the run record, or None if there is no readable record."""

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the run's manifest.

        Raises:
            LineageError: the manifest cannot be written.
        """

    def has_manifest(self) -> bool:
        """Return whether the run has a manifest, even one in a format that `read_manifest` cannot read."""

    def read_manifest(self) -> Manifest | None:
        """Return the run's manifest, or None if the run has no manifest.

        Raises:
            LineageError: the manifest cannot be read, has changed since it was written, or has a different format.
        """

    def write_scored_again(self, runs: Iterable[ScoredAgain]) -> None:
        """Write the list of later runs in which failed items of this run were scored again.

        Args:
            runs: the runs, in the order in which they began to publish.

        Raises:
            LineageError: the list cannot be written.
        """

    def read_scored_again(self) -> list[ScoredAgain]:
        """Return the later runs in which failed items of this run were scored again. Empty if no list was written.

        Raises:
            LineageError: the list cannot be read, or has changed since it was written.
        """

    def write_attempts(self, reports: Iterable[MiniBatchReport]) -> None:
        """Write the table of this run's calls, with one row for each call in the reports.

        The columns are the same for all runs, so that the tables of several runs can be queried together with SQL.

        Args:
            reports: the reports of the run's mini-batches.

        Raises:
            LineageError: the table cannot be written.
        """

    def read_attempts(self) -> pa.Table:
        """Return the table of this run's calls, or an empty table if no table was written.

        Raises:
            LineageError: the table cannot be read.
        """
