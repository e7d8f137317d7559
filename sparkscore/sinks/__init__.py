"""Publish staged rows to an output, either a Delta table or a folder of Parquet files. Runs on the driver.

`open_sink` returns the sink for an output. Names of this package are imported on first access, so that the modules that
clean up after runs can be imported without PySpark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkscore.lazy_names import import_on_access

if TYPE_CHECKING:
    from sparkscore.sinks.sink import Sink, open_sink
    from sparkscore.sinks.stage import (
        Stage,
        check_waiting,
        first_commit_began,
        remove_stage,
        shown_in,
        stage_at,
        stage_of,
        staged_in,
    )
    from sparkscore.sinks.target import Layout, Published, StagedResult, Target, target_of

__all__ = [
    "Layout",
    "Published",
    "Sink",
    "Stage",
    "StagedResult",
    "Target",
    "check_waiting",
    "first_commit_began",
    "open_sink",
    "remove_stage",
    "shown_in",
    "stage_at",
    "stage_of",
    "staged_in",
    "target_of",
]

__getattr__ = import_on_access(
    __name__,
    {
        "Layout": "sparkscore.sinks.target",
        "Published": "sparkscore.sinks.target",
        "Sink": "sparkscore.sinks.sink",
        "Stage": "sparkscore.sinks.stage",
        "StagedResult": "sparkscore.sinks.target",
        "Target": "sparkscore.sinks.target",
        "check_waiting": "sparkscore.sinks.stage",
        "first_commit_began": "sparkscore.sinks.stage",
        "open_sink": "sparkscore.sinks.sink",
        "remove_stage": "sparkscore.sinks.stage",
        "shown_in": "sparkscore.sinks.stage",
        "stage_at": "sparkscore.sinks.stage",
        "stage_of": "sparkscore.sinks.stage",
        "staged_in": "sparkscore.sinks.stage",
        "target_of": "sparkscore.sinks.target",
    },
)
