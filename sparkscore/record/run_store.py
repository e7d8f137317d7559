"""The protocol of the store that keeps everything of a run but its stage: record, manifest, request and more (driver).

`sparkscore.record.runs_folder.RunFolder` implements it with files. `sparkscore.stage.run_stage` has the protocols of
the stage, with the rows that are scored and not published. Each method says what it promises after a crash of the
driver, and after a *lost answer*: an `OSError` for a call that took effect. A method that cannot write raises a
`LineageError`.
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
    """The exclusive right of one driver to work on a run. Another driver can take it over after the driver died."""

    def __enter__(self) -> Self:
        """Claim the run.

        After a crash of this driver another one can take the claim over. After a lost answer this call finds out
        whether it has the claim.

        Raises:
            ConfigError: code ``RUN_ID_RUNNING``: another driver, which is alive, has the claim.
            LineageError: the claim cannot be written.
        """

    def __exit__(self, *_: object) -> None:
        """Give the claim back, unless another driver took it over. Never raises."""

    def is_ours(self) -> bool:
        """Whether this driver still has the claim. It can lose the claim while its process is suspended."""

    def check(self) -> None:
        """Check that this driver still has the claim.

        Raises:
            SinkConflictError: another driver took it over.
        """


class RunStore(Protocol):
    """Keeps everything of one run that is not in its stage.

    Only the driver that has the claim writes. Any process may read at any time, and gets the old or the new content.
    After a crash or a lost answer of a method ``write_…`` the old content is there, or the new content. Calling such
    a method again is safe.

    Attributes:
        run_id: the run.
        path: location of the run, to show to users.
        log_file: the log of the run, to show to users.
        spark_log_file: the output of the JVM that this driver starts.
        script_output: folder into which scripts on the workers may write files.
        script_logs: folder into which Azure's ``EntryScript`` writes the logs of scripts on the workers.
    """

    run_id: str
    path: Path
    log_file: Path
    spark_log_file: Path
    script_output: Path
    script_logs: Path

    @property
    def runs(self) -> Path:
        """The location of this run and all others, from which `open_run` opens them."""

    def refuse_foreign(self) -> None:
        """Raise a `ConfigError` if there are files at the location of the run that sparkscore did not write."""

    def create(self) -> None:
        """Prepare the store for this run, unless an earlier attempt did. Calling this again is safe.

        Raises:
            ConfigError: there are files at the location of the run that sparkscore did not write.
        """

    def claim(self) -> Claim:
        """Return a context manager that claims the run."""

    def is_claimed(self) -> bool:
        """Whether a living driver has the claim. The answer may be out of date at once."""

    def key(self) -> bytes:
        """Return the key for the digests of this run's secrets. It is made once, and only its owner can read it.

        After a crash or a lost answer there is one key, or none.
        """

    def log_handler(self) -> logging.Handler:
        """Return a handler that appends to the run's log."""

    def write_request(self, request: Mapping[str, Any]) -> None:
        """Write the request, so that the run can be resumed by its id.

        Args:
            request: the request. Empty if it may contain a secret; then an older request is removed as well.
        """

    def read_request(self) -> dict[str, Any] | None:
        """Return the request, or None if it was not written."""

    def write_code(self, files: Mapping[str, str], left_out: Mapping[str, str]) -> None:
        """Write the digests of the code folder's files, and the files that were left out with the reasons."""

    def read_code(self) -> dict[str, dict[str, str]]:
        """Return the parts ``files`` and ``left_out`` that `write_code` wrote; both are empty if it was not called."""

    def write_plan(self, mini_batches: pa.Table) -> None:
        """Write the planned mini-batches, for users to look at. The plan that tasks read is in the stage."""

    def write_record(self, record: RunRecord, check: Callable[[], None] = lambda: None) -> None:
        """Replace the record.

        Args:
            record: the record.
            check: called at the last moment before the record is replaced. If it raises, the old record stays.
        """

    def read_record(self) -> RunRecord | None:
        """Return the record, or None if there is none."""

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest. From then on the run can be published without its input and model."""

    def has_manifest(self) -> bool:
        """Whether there is a manifest, of this version or another."""

    def read_manifest(self) -> Manifest | None:
        """Return the manifest, or None if there is none.

        Raises:
            LineageError: the manifest was changed since it was written, or it has another format.
        """

    def write_scored_again(self, runs: Iterable[ScoredAgain]) -> None:
        """Write the list of the runs that scored failed items of this run again, in the order of publishing."""

    def read_scored_again(self) -> list[ScoredAgain]:
        """Return the list of runs that `write_scored_again` wrote, or an empty list.

        Raises:
            LineageError: the list was changed since it was written.
        """

    def write_attempts(self, reports: Iterable[MiniBatchReport]) -> None:
        """Write the run table of this run, with one row for each call of the model, for SQL over all runs."""

    def read_attempts(self) -> pa.Table:
        """Return the rows that `write_attempts` wrote, or a table without rows.

        Raises:
            LineageError: the rows cannot be read.
        """
