"""The stage: the folder in which workers store a run's rows until they are published.

Runs on the driver and the workers.

This package imports neither Spark nor pydantic, because workers use it as well. Its names are imported on first access,
so that modules that do not need PyArrow, such as `sparkscore.stage.layout`, can be imported without loading it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkscore.lazy_names import import_on_access

if TYPE_CHECKING:
    from sparkscore.stage.report import REPORT_SCHEMA, MiniBatchReport, StagedFile, read_reports
    from sparkscore.stage.run_stage import Decision, RunStage, TaskStage
    from sparkscore.stage.stage_folder import StageFolder

__all__ = [
    "REPORT_SCHEMA",
    "Decision",
    "MiniBatchReport",
    "RunStage",
    "StageFolder",
    "StagedFile",
    "TaskStage",
    "read_reports",
]

__getattr__ = import_on_access(
    __name__,
    {
        "REPORT_SCHEMA": "sparkscore.stage.report",
        "Decision": "sparkscore.stage.run_stage",
        "MiniBatchReport": "sparkscore.stage.report",
        "RunStage": "sparkscore.stage.run_stage",
        "StageFolder": "sparkscore.stage.stage_folder",
        "StagedFile": "sparkscore.stage.report",
        "TaskStage": "sparkscore.stage.run_stage",
        "read_reports": "sparkscore.stage.report",
    },
)
