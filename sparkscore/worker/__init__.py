"""Score the mini-batches of a Spark task and write the result rows to the stage. Runs on the workers."""

from __future__ import annotations

from sparkscore.worker.engine import ChildSpec, EngineSpec
from sparkscore.worker.loop import WorkerSpec, score_task
from sparkscore.worker.probe import ProbeReport, ProbeSpec, probe, read_probe_report
from sparkscore.worker.quarantine import QUARANTINE_SCHEMA
from sparkscore.worker.result import LineageValues, ResultSpec
from sparkscore.worker.rules import FailureRules

__all__ = [
    "QUARANTINE_SCHEMA",
    "ChildSpec",
    "EngineSpec",
    "FailureRules",
    "LineageValues",
    "ProbeReport",
    "ProbeSpec",
    "ResultSpec",
    "WorkerSpec",
    "probe",
    "read_probe_report",
    "score_task",
]
