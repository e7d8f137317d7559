"""Refuse a stage and an output that lie in each other (driver)."""

from __future__ import annotations

import os
from pathlib import Path

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError


def refuse_overlap(stage: Path, output: Path) -> None:
    """Refuse a stage that is an output, holds one, or lies in one where readers would see it."""
    stage, place_of_output = Path(os.path.realpath(stage)), Path(os.path.realpath(output))
    for place in (place_of_output, place_of_output.with_name(f"{place_of_output.name}_quarantine")):
        inside = stage.relative_to(place).parts if stage.is_relative_to(place) else None
        is_hidden = inside is not None and any(part.startswith(("_", ".")) for part in inside)
        if (inside is not None and not is_hidden) or place.is_relative_to(stage):
            raise ConfigError(
                code=ErrorCode.STAGE_OVERLAP,
                what=f"stage '{stage}' and output '{place}' lie in each other",
                expected="places apart from each other",
                next_step="Leave 'output.stage' out, or name a folder elsewhere on the output's file system.",
            )
