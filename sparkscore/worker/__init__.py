"""What runs inside a Spark task: the loop over mini-batches, the result rows, the stage (worker)."""

from __future__ import annotations

from sparkscore.worker.engine import ChildSpec, EngineSpec
from sparkscore.worker.loop import WorkerSpec, score_task
from sparkscore.worker.probe import ProbeReport, ProbeSpec, probe, read_probe_report
from sparkscore.worker.quarantine import QUARANTINE_SCHEMA
from sparkscore.worker.report import REPORT_SCHEMA, MiniBatchReport, StagedFile, read_reports
from sparkscore.worker.result import LineageValues, ResultSpec
from sparkscore.worker.rules import FailureRules
from sparkscore.worker.stage import StageSpec

__all__ = [
    "QUARANTINE_SCHEMA",
    "REPORT_SCHEMA",
    "ChildSpec",
    "EngineSpec",
    "FailureRules",
    "LineageValues",
    "MiniBatchReport",
    "ProbeReport",
    "ProbeSpec",
    "ResultSpec",
    "StageSpec",
    "StagedFile",
    "WorkerSpec",
    "probe",
    "read_probe_report",
    "read_reports",
    "score_task",
]
