"""The deployment of an earlier run, as its record keeps it (driver)."""

from __future__ import annotations

from pydantic import ValidationError

from sparkscore.config import Deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import LineageError, names
from sparkscore.record.run_record import RunRecord


def deployment_of(record: RunRecord) -> Deployment:
    """Return the deployment of a run, without its secrets.

    Raises:
        LineageError: another version of sparkscore wrote it with keys or values that this one does not take, or
            somebody changed the record.
    """
    try:
        deployment = Deployment.model_validate(record.config)
    except ValidationError as error:
        keys = [".".join(str(part) for part in item["loc"]) for item in error.errors(include_url=False)]
        raise _unknown(record, f"{names(keys)}, which this version does not take so") from error
    if not deployment.output.location:
        raise _unknown(record, "no output")
    return deployment


def _unknown(record: RunRecord, got: str) -> LineageError:
    return LineageError(
        code=ErrorCode.RECORD_CONFIG,
        what=f"the configuration in the record of run '{record.run_id}'",
        got=got,
        expected=f"what sparkscore {record.versions.sparkscore or 'of another version'} wrote there, in a form that "
        "this version reads",
        state="Nothing was published or discarded; what was scored is where it was.",
        next_step="Publish or discard the run with the version of sparkscore that scored it. If that is this one, the "
        "record was changed: bring it back as it was.",
    )
