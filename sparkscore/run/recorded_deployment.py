"""Read the deployment of an earlier run from the run record. Runs on the driver."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from sparkscore.config import Deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import LineageError, names
from sparkscore.record.run_record import RunRecord

#: Original name of the result's run id column.
RUN_ID: Final = "run_id"


def deployment_of(record: RunRecord) -> Deployment:
    """Return the deployment that is stored in a run record. Its secrets are masked.

    Raises:
        LineageError: the record has no output, or has keys or values that this version of sparkscore does not accept.
    """
    try:
        deployment = Deployment.model_validate(record.config)
    except ValidationError as error:
        keys = [".".join(str(part) for part in item["loc"]) for item in error.errors(include_url=False)]
        raise _unknown(record, f"{names(keys)}, which this version does not accept") from error
    if not deployment.output.location:
        raise _unknown(record, "no output")
    return deployment


def run_id_column(deployment: Deployment) -> str:
    """Return the name of the result's run id column: ``run_id``, unless the deployment renames it."""
    return deployment.columns.get(RUN_ID, RUN_ID)


def _unknown(record: RunRecord, got: str) -> LineageError:
    return LineageError(
        code=ErrorCode.RECORD_CONFIG,
        what=f"the configuration in the record of run '{record.run_id}'",
        got=got,
        expected=f"the configuration that sparkscore {record.versions.sparkscore or 'of another version'} wrote, in a "
        "form that this version reads",
        state="Nothing was published or discarded; the staged rows are unchanged.",
        next_step="Publish or discard the run with the version of sparkscore that scored it. If that is this version, "
        "the record was changed: restore it.",
    )
