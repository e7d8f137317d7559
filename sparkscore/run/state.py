"""Find out how far a run is: only here, and only while its lock is held (driver)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sparkscore.config import Deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.record.run_record import COMPLETE, HELD, RUNNING, RunRecord
from sparkscore.record.run_store import Claim, RunStore
from sparkscore.record.runs_folder import open_run, read_record
from sparkscore.run.columns import run_id_column
from sparkscore.run.recorded_deployment import deployment_of
from sparkscore.sinks import Target, check_waiting, stage_of, target_of
from sparkscore.stage import StageFolder


@dataclass(frozen=True)
class RunState:
    """How far a run is. No other driver works on it: this one holds its lock.

    Attributes:
        folder: the run's folder.
        lock: the run's lock.
        record: the run's record; None where it has none yet.
    """

    folder: RunStore
    lock: Claim
    record: RunRecord | None

    @property
    def is_complete(self) -> bool:
        """Whether the run is published and its record says so."""
        return self._state == COMPLETE

    @property
    def is_held(self) -> bool:
        """Whether the run is scored and waits until somebody publishes or discards it."""
        return self._state == HELD

    @property
    def is_dead(self) -> bool:
        """Whether the run's driver died: its record says that it runs, and nobody has the lock."""
        return self._state == RUNNING

    @property
    def keeps_rows(self) -> bool:
        """Whether the run was held and is not published yet: its stage stays, whatever publishing it ended with."""
        return self.record is not None and self.record.waits_for_publishing

    @property
    def may_be_published(self) -> bool:
        """Whether a driver began to publish and did not live to say that it had: only the table tells."""
        has_columns = self.record is not None and bool(self.record.output.columns)
        has_begun = has_columns and self.folder.has_manifest()
        return has_begun and not (self.is_complete or self.is_held)

    @property
    def _state(self) -> str:
        return "" if self.record is None else self.record.state

    def waiting(self) -> Waiting:
        """Return what is scored and waits to be published.

        Raises:
            ConfigError: nothing does.
            LineageError: another version of sparkscore scored it, in a form that this one does not read.
        """
        record = self.record
        if record is not None and record.identity and not self.is_complete and self.folder.has_manifest():
            deployment = deployment_of(record)
            target = target_of(deployment.output, self.folder.run_id, run_id_column(deployment))
            stage = stage_of(target, deployment.output.stage)
            if stage.is_there():
                check_waiting(stage)
                return Waiting(self.folder, record, record.identity, deployment, target, stage)
        raise nothing_waits(self, "nothing that waits to be published")


@dataclass(frozen=True)
class Waiting:
    """A run that is scored and can be published.

    Attributes:
        folder: the run's folder.
        record: its record.
        identity: digest of all that decides its result.
        deployment: its deployment.
        target: where its rows go.
        stage: where they are.
    """

    folder: RunStore
    record: RunRecord
    identity: str
    deployment: Deployment
    target: Target
    stage: StageFolder


@contextmanager
def locked_run(runs: Path, run_id: str) -> Iterator[RunState]:
    """Lock a run that is there, and say how far it is.

    Args:
        runs: folder of the runs.
        run_id: the run.

    Raises:
        RunNotFoundError: there is no such run.
        ConfigError: another driver works on it.
    """
    # A run that is not there gets no folder for its lock.
    read_record(runs, run_id)
    folder = open_run(runs, run_id)
    with folder.claim() as lock:
        yield RunState(folder, lock, read_record(runs, run_id))


def nothing_waits(state: RunState, found: str) -> ConfigError:
    """Return the error for a run that cannot be published or discarded."""
    run_id = state.folder.run_id
    return ConfigError(
        code=ErrorCode.RUN_NOT_HELD,
        what=f"run '{run_id}'",
        got=f"state {'' if state.record is None else state.record.state}, and {found}",
        expected="a run that is held, or whose publishing failed",
        next_step=f"See 'sparkscore runs show {run_id}', or take it up with 'sparkscore resume {run_id}'.",
    )
