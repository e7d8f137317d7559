"""The protocol of the store of a run, which has its record, manifest, request, plan, calls and logs (driver).

`sparkscore.record.runs_folder.RunFolder` implements it with files. The rows that are scored and not yet published are
in the stage, whose protocols are in `sparkscore.stage.run_stage`. After an error, a call may still have had an effect:
it may have succeeded, and only its answer was lost.
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
    """The exclusive right of one driver to work on a run. If this driver dies, another one can take over the claim."""

    def __enter__(self) -> Self:
        """Claim the run for this driver.

        Raises:
            ConfigError: a live driver has the claim (code ``RUN_ID_RUNNING``), or the location of the claim has a file
                or folder that sparkscore did not write (code ``RUN_LOCK_FOREIGN``).
            LineageError: the claim cannot be written.
        """

    def __exit__(self, *_: object) -> None:
        """Give up the claim, unless another driver has taken it over."""

    def is_ours(self) -> bool:
        """Return whether this driver still has the claim.

        A driver can lose the claim, for example while its process is suspended: another driver may then take it over.

        Raises:
            OSError: the claim cannot be read.
        """

    def check(self) -> None:
        """Check that this driver still has the claim.

        Raises:
            SinkConflictError: this driver has lost the claim, for example because another driver has taken it over.
            OSError: the claim cannot be read.
        """


class RunStore(Protocol):
    """Stores the record, the manifest, the request, the plan, the calls and the logs of one run.

    The staged rows of the run are not in this store, but in the run's stage. Only the driver that has the claim may
    call the ``write_…`` methods. Any process may call the ``read_…`` methods at any time, and gets the old or the new
    content. After a crash or an error in a ``write_…`` method, the store has the old content or the new content, and
    the call can be repeated.

    Attributes:
        run_id: id of the run.
        path: location of the run, to show to users.
        log_file: log of the run, to show to users.
        spark_log_file: file with the output of the JVM that this driver starts.
        script_output: folder into which scripts on the workers may write files.
        script_logs: folder for the logs that scripts on the workers write with Azure's class ``EntryScript``.
    """

    run_id: str
    path: Path
    log_file: Path
    spark_log_file: Path
    script_output: Path
    script_logs: Path

    @property
    def runs(self) -> Path:
        """The runs folder, which contains this run and maybe others."""

    def refuse_foreign(self) -> None:
        """Raise an error if the location of the run has files that sparkscore did not write.

        Raises:
            ConfigError: there are files that sparkscore did not write.
        """

    def create(self) -> None:
        """Create the location of this run in the store, unless it exists.

        Raises:
            ConfigError: the location of the run has files that sparkscore did not write, or the store does not
                distinguish the run id from another one that differs only in case.
            LineageError: the store cannot be written.
        """

    def claim(self) -> Claim:
        """Return a context manager that claims the run for this driver."""

    def is_claimed(self) -> bool:
        """Return whether a live driver has the claim. The answer may already be outdated when the caller gets it."""

    def key(self) -> bytes:
        """Return the key for the digests of the run's secrets.

        The first call creates the key, so that only the user who runs this process can read it.

        Raises:
            LineageError: the key cannot be read or written.
        """

    def log_handler(self) -> logging.Handler:
        """Return a handler for Python's `logging` that appends to the run's log.

        Raises:
            LineageError: the log cannot be written.
        """

    def write_request(self, request: Mapping[str, Any]) -> None:
        """Write the request of the run, so that the run can be resumed by its id.

        Args:
            request: the request. If it is empty, because the real one may contain a secret, `read_request` returns None
                from then on.

        Raises:
            LineageError: the request cannot be written.
        """

    def read_request(self) -> dict[str, Any] | None:
        """Return the request of the run, or None if it was not written, was empty or cannot be read."""

    def write_code(self, files: Mapping[str, str], left_out: Mapping[str, str]) -> None:
        """Write the digests of the code folder's files, so that a resumed run can report which files have changed.

        Args:
            files: digest of each file that was sent to the workers, by name.
            left_out: reason why each other file or folder was not sent, by name.

        Raises:
            LineageError: the digests cannot be written.
        """

    def read_code(self) -> dict[str, dict[str, str]]:
        """Return what `write_code` stored for this run.

        Returns:
            a dictionary with the keys ``files`` (digests by file name) and ``left_out`` (reasons by file name). Both
            values are empty dictionaries if nothing was stored, or if it cannot be read.
        """

    def write_plan(self, mini_batches: pa.Table) -> None:
        """Write the planned mini-batches, for users to look at. The tasks read the plan in the stage instead.

        Raises:
            LineageError: the mini-batches cannot be written.
        """

    def write_record(self, record: RunRecord, check: Callable[[], None] = lambda: None) -> None:
        """Replace the record of the run.

        Args:
            record: the new record.
            check: called immediately before the record is replaced. If it raises an error, the old record stays, and
                the error is raised.

        Raises:
            LineageError: the record cannot be written.
        """

    def read_record(self) -> RunRecord | None:
        """Return the record of the run, or None if the run has no readable record."""

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest of the run.

        Raises:
            LineageError: the manifest cannot be written.
        """

    def has_manifest(self) -> bool:
        """Return whether the run has a manifest, even one in a format that `read_manifest` cannot read."""

    def read_manifest(self) -> Manifest | None:
        """Return the manifest of the run, or None if there is none.

        Raises:
            LineageError: the manifest cannot be read, was changed since it was written, or has a different format.
        """

    def write_scored_again(self, runs: Iterable[ScoredAgain]) -> None:
        """Write the list of the later runs that scored failed items of this run again.

        Args:
            runs: the runs, in the order in which they began to publish.

        Raises:
            LineageError: the list cannot be written.
        """

    def read_scored_again(self) -> list[ScoredAgain]:
        """Return the later runs that scored failed items of this run again. The list is empty if none was written.

        Raises:
            LineageError: the list cannot be read, or was changed since it was written.
        """

    def write_attempts(self, reports: Iterable[MiniBatchReport]) -> None:
        """Write the table of this run's calls, with one row for each call that the reports contain.

        The columns do not depend on the run, so that the tables of several runs can be queried together with SQL.

        Args:
            reports: the reports of the run's mini-batches.

        Raises:
            LineageError: the table cannot be written.
        """

    def read_attempts(self) -> pa.Table:
        """Return the table of this run's calls, or a table without rows if `write_attempts` was not called.

        Raises:
            LineageError: the table cannot be read.
        """
