"""Check that a run's stage does not overlap with its output. Runs on the driver."""

from __future__ import annotations

import os
from pathlib import Path

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError


def refuse_overlap(stage: Path, output: Path) -> None:
    """Raise an error if readers of an output would see the stage, or if the stage contains an output.

    The outputs are the result and its quarantine table. The stage may be inside an output if readers ignore it, that
    is, if the stage's folder or one of its parent folders below the output has a name that begins with ``_`` or ``.``.

    Args:
        stage: path of the run's stage.
        output: path of the result.

    Raises:
        ConfigError: the stage and an output overlap.
    """
    stage, result = Path(os.path.realpath(stage)), Path(os.path.realpath(output))
    for table in (result, result.with_name(f"{result.name}_quarantine")):
        inside = stage.relative_to(table).parts if stage.is_relative_to(table) else None
        is_hidden = inside is not None and any(part.startswith(("_", ".")) for part in inside)
        if (inside is not None and not is_hidden) or table.is_relative_to(stage):
            raise ConfigError(
                code=ErrorCode.STAGE_OVERLAP,
                what=f"stage '{stage}' and output '{table}' are inside each other",
                expected="folders that are not inside each other",
                next_step="Remove 'output.stage', or set another folder on the output's file system.",
            )
