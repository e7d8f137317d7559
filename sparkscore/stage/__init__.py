"""The stage: the folder that holds the rows and other files of a run until they are published (driver and worker).

This package needs neither Spark nor pydantic, because most of its code runs on workers.
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
