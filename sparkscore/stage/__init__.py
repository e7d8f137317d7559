"""The stage: the folder into which workers write the rows of a run before they are published (driver and worker).

The modules of this package import neither Spark nor pydantic, because workers use them, too.
"""

from __future__ import annotations

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
