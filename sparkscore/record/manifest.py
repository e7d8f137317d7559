"""Define a run's manifest: the staged files to publish, the result's columns, and the run record.

Runs on the driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import LineageError
from sparkscore.record.checksum import SUM, is_whole, summed
from sparkscore.record.run_record import RunRecord, record_in
from sparkscore.stage import StagedFile
from sparkscore.stage.format import FORMAT, refuse_other_format

_FILES: Final = ("files", "quarantined")


@dataclass(frozen=True)
class Manifest:
    """The staged files that a run publishes, and the information needed to publish them.

    Attributes:
        files: the staged files of the result.
        quarantined: the staged files of the quarantine, which contain failed items.
        columns: the columns of the result, with Spark's names for their types.
        commit_info: the model's name and version, for the history of a Delta table.
        record: the run record as it was when the manifest was made.
    """

    files: tuple[StagedFile, ...]
    quarantined: tuple[StagedFile, ...]
    columns: Mapping[str, str]
    commit_info: Mapping[str, object]
    record: RunRecord


def content_of(manifest: Manifest, run_id: str) -> dict[str, Any]:
    """Convert a manifest to the JSON object for its file, and add the run id, a format number and a checksum."""
    content = {field.name: getattr(manifest, field.name) for field in fields(manifest)}
    files = {name: [asdict(file) for file in content[name]] for name in _FILES}
    return summed({"run_id": run_id, "format": FORMAT, **content, **files, "record": manifest.record.as_dict()})


def manifest_in(content: Mapping[str, Any], path: Path, run_id: str) -> Manifest:
    """Create a manifest from the JSON object in a manifest file.

    Args:
        content: the JSON object, or an empty dictionary if the file contains no object. Its checksum may be missing,
            because earlier versions of sparkscore wrote none.
        path: path of the file, for the error message.
        run_id: id of the run that the manifest belongs to.

    Raises:
        LineageError: the JSON object is empty, does not match its checksum or has a different format; or its run record
            is not valid or belongs to another run.
    """
    # The format is checked first, because other formats may compute the checksum differently.
    refuse_other_format(content.get("format"), "manifest", path, run_id)
    # Earlier versions of sparkscore wrote checksums neither for the manifest nor for the files.
    has_none = SUM not in content and _is_of_an_earlier_version(content)
    record = record_in(content["record"], run_id) if has_none or is_whole(content) else None
    if record is None:
        raise LineageError(
            code=ErrorCode.MANIFEST_CHANGED,
            what=f"the manifest '{path}' of run '{run_id}'",
            got="other contents than sparkscore wrote",
            state="Nothing was published.",
            next_step=f"Drop what is staged with 'sparkscore publish {run_id} --discard' or 'sparkscore clean'; "
            "score again under another --run-id.",
        )
    files, quarantined = (tuple(StagedFile(**file) for file in content[name]) for name in _FILES)
    return Manifest(files, quarantined, content["columns"], content["commit_info"], record)


def _is_of_an_earlier_version(content: Mapping[str, Any]) -> bool:
    lists = [content.get(name) for name in _FILES]
    files = [file for part in lists if isinstance(part, list) for file in part]
    are_files = all(isinstance(part, list) for part in lists) and all(isinstance(file, dict) for file in files)
    parts = [content.get(name) for name in ("columns", "commit_info", "record")]
    return are_files and all(isinstance(part, dict) for part in parts) and not any(file.get("sha256") for file in files)
