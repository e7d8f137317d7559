"""What is kept of a run beside its stage, in the run's own terms: claim, record, manifest, requests, calls (driver).

`sparkscore.record.runs_folder.RunFolder` is the form in files. `sparkscore.stage.run_stage` has the other part: what is
scored and not yet published. Each method says what it promises after a crash of the driver, and after a *lost answer*:
an `OSError` for a call that took effect. A method that cannot write raises a `LineageError`.
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
    """The right of one driver to work on a run. A dead driver's claim does not stop anybody for long."""

    def __enter__(self) -> Self:
        """Claim the run.

        After a crash the claim is that of a dead driver, and another driver can take it over. After a lost answer this
        call finds out whether the claim is its own.

        Raises:
            ConfigError: code ``RUN_ID_RUNNING``: another driver has the claim, and it is alive.
            LineageError: the claim cannot be written.
        """

    def __exit__(self, *_: object) -> None:
        """Give the claim back, unless another driver took it over. Never raises."""

    def is_ours(self) -> bool:
        """Whether this driver still has the claim. It may lose it while its process stands still."""

    def check(self) -> None:
        """Check that this driver still has the claim.

        Raises:
            SinkConflictError: another driver took it over.
        """


class RunStore(Protocol):
    """What is kept of one run.

    Only the driver that has the claim writes; anybody may read at any time and finds each part as a whole, old or new.
    After a crash or a lost answer of a ``write_…`` the old content is there, or the new one, never a mixture; writing
    it again is safe.

    Attributes:
        run_id: the run.
        runs: where this run and the others are kept.
        path: where this run is kept, for people.
        log_file: this driver's log of the run; shown to people.
        spark_log_file: the output of the JVM that this driver starts.
        script_output: folder that workers see, into which scripts may write files.
        script_logs: folder that workers see, into which Azure's stand-ins write logs of scripts.
    """

    run_id: str
    path: Path
    log_file: Path
    spark_log_file: Path
    script_output: Path
    script_logs: Path

    @property
    def runs(self) -> Path:
        """Where this run and the others are kept."""

    def refuse_foreign(self) -> None:
        """Raise a `ConfigError` if something that sparkscore did not make is in the way. Only reads."""

    def create(self) -> None:
        """Make room for the run, unless an earlier attempt did. Calling this again is safe.

        Raises:
            ConfigError: something that sparkscore did not make is in the way.
        """

    def claim(self) -> Claim:
        """Return the claim on the run, to be entered."""

    def is_claimed(self) -> bool:
        """Whether a living driver has the claim. Only reads; it may change at any time."""

    def key(self) -> bytes:
        """Return the key of this run for the digests of secrets. Made once, readable by its owner only.

        After a crash or a lost answer there is one key, or none yet.
        """

    def log_handler(self) -> logging.Handler:
        """Return a handler that appends to the run's log."""

    def write_request(self, request: Mapping[str, Any]) -> None:
        """Keep what was asked for, so that the run can be resumed by its id.

        Args:
            request: what was asked for. Empty if it may hold a secret; then an older request is forgotten too.
        """

    def read_request(self) -> dict[str, Any] | None:
        """Return what was asked for, or None if it was not kept."""

    def write_code(self, files: Mapping[str, str], left_out: Mapping[str, str]) -> None:
        """Keep the digests of the code folder's files, and which files were left out, with the reason."""

    def read_code(self) -> dict[str, dict[str, str]]:
        """Return what `write_code` kept, or two empty parts."""

    def write_plan(self, mini_batches: pa.Table) -> None:
        """Keep the planned mini-batches for people. The plan that tasks follow is in the stage."""

    def write_record(self, record: RunRecord, check: Callable[[], None] = lambda: None) -> None:
        """Replace the record.

        Args:
            record: the record.
            check: called at the last moment before the record is replaced. If it raises, the old record stays.
        """

    def read_record(self) -> RunRecord | None:
        """Return the record, or None if there is none."""

    def write_manifest(self, manifest: Manifest) -> None:
        """Keep which staged files count. From then on the run can be published without its input and model."""

    def has_manifest(self) -> bool:
        """Whether there is a manifest, of this version or another."""

    def read_manifest(self) -> Manifest | None:
        """Return the manifest, or None if there is none.

        Raises:
            LineageError: it was changed since it was written, or it has another format.
        """

    def write_scored_again(self, runs: Iterable[ScoredAgain]) -> None:
        """Keep the list of the runs that score failed items of this run again, in the order in which they published."""

    def read_scored_again(self) -> list[ScoredAgain]:
        """Return what `write_scored_again` kept, or an empty list.

        Raises:
            LineageError: it was changed since it was written.
        """

    def write_attempts(self, reports: Iterable[MiniBatchReport]) -> None:
        """Keep each call of the model as a row of the run table, for SQL over all runs."""

    def read_attempts(self) -> pa.Table:
        """Return the rows that `write_attempts` kept, or a table without rows.

        Raises:
            LineageError: they cannot be read.
        """
