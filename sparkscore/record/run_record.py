"""The run record: what was scored, with what, into what, and how it ended (driver)."""

from __future__ import annotations

import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sparkscore.errors import SparkscoreError, message_of
from sparkscore.plan import Plan
from sparkscore.redaction import redact
from sparkscore.scorers.load_warnings import LOADING
from sparkscore.stage import MiniBatchReport
from sparkscore.stage.report import add_counts
from sparkscore.worker import ProbeReport

RUNNING, HELD, COMPLETE, FAIL, ABORT = "RUNNING", "HELD", "COMPLETE", "FAIL", "ABORT"
# Each process may word them otherwise, with its own paths.
_MOST_OF_LOADING = 10
_COUNTS = (
    "items",
    "scored",
    "scored_in_parts",
    "failed",
    "skipped",
    "mini_batches",
    "broken_contracts",
    "attempts",
    "probe_calls",
)


def new_record(run_id: str, deployment: str | None, config: Mapping[str, object]) -> dict[str, Any]:
    """Start the record of a run with every name that a reader may expect.

    Args:
        run_id: the run's id.
        deployment: name or path of the deployment.
        config: the effective configuration, without secrets.
    """
    return {
        "run_id": run_id,
        "state": RUNNING,
        "started_at": _now(),
        "ended_at": None,
        "deployment": deployment,
        "config": dict(config),
        "identity": None,
        "input": dict.fromkeys(
            ("format", "location", "version", "items", "bytes", "files", "skipped", "order_doubt", "columns", "nulls")
        ),
        "output": dict.fromkeys(("format", "location", "mode", "version", "rows", "columns")),
        "quarantine": {"location": None, "rows": 0},
        "stage": None,
        "only_failed": None,
        "model": dict.fromkeys(("name", "version", "sha256")),
        "models": [],
        "script": dict.fromkeys(("path", "sha256")),
        "git_commit": None,
        "counts": dict.fromkeys(_COUNTS, 0),
        "model_loads": 0,
        "verified_models": {},
        "worker_processes": 0,
        "unseen_categories": {},
        "warnings": [],
        "seconds": {"plan": 0.0, "score": 0.0, "publish": 0.0},
        "versions": _versions(),
        "error": None,
    }


def describe_plan(plan: Plan) -> dict[str, Any]:
    """Describe the pinned input."""
    snapshot = plan.snapshot
    return {
        "format": snapshot.format,
        "location": snapshot.location,
        "version": snapshot.version,
        "items": snapshot.items,
        "bytes": snapshot.size_bytes,
        "files": len(snapshot.files) or None,
        "skipped": dict(snapshot.skipped),
        "order_doubt": snapshot.order_doubt or None,
    }


def counts_of(reports: Iterable[MiniBatchReport], probe: ProbeReport | None, items: int | None) -> dict[str, int]:
    """Add up the reports of the successful task attempts: these are the rows that were staged, each once.

    Args:
        reports: the reports.
        probe: the probe's report, counted apart.
        items: the planned number of items, where it is known.
    """
    done = list(reports)
    scored, failed = sum(report.scored for report in done), sum(report.failed for report in done)
    total = scored + failed if items is None else items
    return {
        "items": total,
        "scored": scored,
        "scored_in_parts": sum(report.scored_in_parts for report in done),
        "failed": failed,
        "skipped": total - scored - failed,
        "mini_batches": len(done),
        "broken_contracts": sum(report.is_contract_broken for report in done),
        "attempts": sum(report.calls for report in done),
        "probe_calls": 0 if probe is None else probe.calls,
    }


def loads_of(reports: Iterable[MiniBatchReport], probe: ProbeReport | None) -> dict[str, int]:
    """Count the worker processes that scored, and how often they loaded the model."""
    loads: dict[str, int] = {}
    for report in _all(reports, probe):
        loads[report.worker] = max(report.loads, loads.get(report.worker, 0))
    return {"model_loads": sum(loads.values()), "worker_processes": len(loads)}


def verified_models_of(reports: Iterable[MiniBatchReport]) -> dict[str, int]:
    """Count the worker processes that verified a model's files before they scored, by the files' digest."""
    found = {(digest, report.worker) for report in reports for digest in report.models}
    return dict(sorted(Counter(digest for digest, _ in found).items()))


def warnings_of(reports: Iterable[MiniBatchReport], probe: ProbeReport | None) -> list[str]:
    """Give what worker processes warned of, each sentence once, and what the calls themselves give reason to."""
    done = list(reports)
    told = sorted({warning for report in _all(done, probe) for warning in report.warnings})
    loading = [warning for warning in told if warning.startswith(LOADING)]
    told = [warning for warning in told if warning not in loading[_MOST_OF_LOADING:]]
    return [*told, *_of_parts(done), *_of_broken_contracts(done), *_of_categories(done)]


def _of_parts(reports: list[MiniBatchReport]) -> list[str]:
    """Warn of mini-batches without a bad item whose values stand only in parts."""
    parts = [report for report in reports if report.scored_in_parts and not report.failed]
    if not parts:
        return []
    items = sum(report.items for report in parts)
    told = (
        f"{len(parts):,} of {len(reports):,} mini-batches ({items:,} items) failed as a whole and were scored in "
        "parts: no item of them is bad, but a script that looks at its whole mini-batch (a mean, a rank) gives other "
        "values in parts; with a smaller 'mini_batch_size' they may be scored whole"
    )
    return [told]


def unseen_of(reports: Iterable[MiniBatchReport]) -> dict[str, int]:
    """Count the values, by column, that are none of the model's categories."""
    return dict(add_counts(report.unseen for report in reports))


def _of_categories(reports: list[MiniBatchReport]) -> list[str]:
    found = unseen_of(reports)
    if not found:
        return []
    told = ", ".join(f"'{column}' {count:,}" for column, count in found.items())
    return [f"values that are none of the model's categories, which LightGBM takes for missing, by column: {told}"]


def _of_broken_contracts(reports: list[MiniBatchReport]) -> list[str]:
    broken = [report for report in reports if report.is_contract_broken]
    if not broken:
        return []
    items = sum(report.items for report in broken)
    told = (
        f"{len(broken):,} of {len(reports):,} mini-batches ({items:,} items) failed as a whole by a broken contract: "
        f"what came back is no value for each item, and no single item is to blame; first: '{broken[0].mini_batch}'"
    )
    return [told]


def _all(reports: Iterable[MiniBatchReport], probe: ProbeReport | None) -> list[MiniBatchReport | ProbeReport]:
    return [*reports] if probe is None else [*reports, probe]


def end_record(record: dict[str, Any], state: str, error: BaseException | None = None) -> dict[str, Any]:
    """Close the record with its final state; secrets in the error are masked."""
    described = None if error is None else _describe_error(error)
    return {**record, "state": state, "ended_at": _now(), "error": described}


def git_commit_of(folder: Path) -> str | None:
    """Give the commit that a folder is checked out at, with ``-dirty`` where files differ; None outside a checkout."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _describe_error(error: BaseException) -> dict[str, str]:
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return {"code": "INTERRUPTED", "message": str(error) or "the run was interrupted; nothing was published."}
    code = error.code if isinstance(error, SparkscoreError) else type(error).__name__
    return {"code": code, "message": redact(message_of(error))}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _versions() -> dict[str, str | None]:
    return {
        "sparkscore": _version("sparkscore"),
        "spark": _version("pyspark"),
        "python": platform.python_version(),
        "delta": _version("delta-spark"),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
