"""Find out whether a run is complete, held or interrupted. Runs on the driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sparkscore.config import Deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.record.listing import read_record
from sparkscore.record.run_record import COMPLETE, HELD, RUNNING, RunRecord
from sparkscore.record.run_store import Claim, RunStore
from sparkscore.record.runs_folder import open_run
from sparkscore.run.recorded_deployment import deployment_of, run_id_column
from sparkscore.sinks.stage import check_waiting, stage_of
from sparkscore.sinks.target import Target, target_of
from sparkscore.stage import RunStage


@dataclass(frozen=True)
class RunState:
    """The state of a run.

    Attributes:
        folder: the run's folder.
        lock: the run's lock. While this driver holds the lock, no other driver changes the state.
        record: the run's record, or None if the run has no record yet.
    """

    folder: RunStore
    lock: Claim
    record: RunRecord | None

    @property
    def is_complete(self) -> bool:
        """Whether the run is complete, according to its record."""
        return self._state == COMPLETE

    @property
    def is_held(self) -> bool:
        """Whether the run is held, according to its record."""
        return self._state == HELD

    @property
    def is_dead(self) -> bool:
        """Whether the run's driver died, leaving the record in the state RUNNING.

        This is only correct if the caller holds the run's lock and has not started the run itself.
        """
        return self._state == RUNNING

    @property
    def keeps_rows(self) -> bool:
        """Whether the run was held and has been neither published nor discarded.

        Its stage is then kept even if publishing fails.
        """
        return self.record is not None and self.record.waits_for_publishing

    @property
    def may_be_published(self) -> bool:
        """Whether publishing began but is not recorded as completed.

        In that case, the record cannot tell whether the run's rows are visible. The result table and the quarantine
        table must be checked.
        """
        may_show_rows = self.record is not None and self.record.may_show_rows
        return may_show_rows and not self.is_complete and self.folder.has_manifest()

    @property
    def _state(self) -> str:
        return "" if self.record is None else self.record.state

    def waiting(self) -> Waiting:
        """Return the information that is needed to publish or discard the run's staged rows.

        Raises:
            ConfigError: there is no manifest or no stage, or the record says that the rows are published.
            LineageError: the record or the stage was changed, or has a format that this version of sparkscore cannot
                read.
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
    """A run whose staged rows can be published or discarded.

    Attributes:
        folder: the run's folder.
        record: the run's record.
        identity: the digests of the run's input, script, model and configuration.
        deployment: the run's deployment.
        target: the table into which the rows are to be published.
        stage: the run's stage.
    """

    folder: RunStore
    record: RunRecord
    identity: str
    deployment: Deployment
    target: Target
    stage: RunStage


@contextmanager
def locked_run(runs: Path, run_id: str) -> Iterator[RunState]:
    """Hold the lock of an existing run while the ``with`` block runs, and yield the run's state.

    Args:
        runs: the runs folder.
        run_id: id of the run.

    Raises:
        RunNotFoundError: there is no such run, or its record cannot be read.
        ConfigError: another driver is working on the run, or the run id is not valid.
        LineageError: the lock cannot be written.
    """
    # Read the record first, because taking the lock would create a folder for a run that does not exist.
    read_record(runs, run_id)
    folder = open_run(runs, run_id)
    with folder.claim() as lock:
        yield RunState(folder, lock, read_record(runs, run_id))


def nothing_waits(state: RunState, found: str) -> ConfigError:
    """Return the error for a run that cannot be published or discarded because it has no unpublished rows.

    Args:
        state: the state of the run.
        found: what the run has instead, for the message. For example, ``rows that readers already see``.
    """
    run_id = state.folder.run_id
    return ConfigError(
        code=ErrorCode.RUN_NOT_HELD,
        what=f"run '{run_id}'",
        got=f"state {'' if state.record is None else state.record.state}, and {found}",
        expected="a run that is held, or whose publishing failed",
        next_step=f"See its record with 'sparkscore runs show {run_id}', or run 'sparkscore resume {run_id}'.",
    )
