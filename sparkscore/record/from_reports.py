"""What a plan and the workers' reports say for the run record (driver)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sparkscore.plan import Plan
from sparkscore.record.run_record import Counts, RecordedInput
from sparkscore.scorers.load_warnings import LOADING
from sparkscore.stage import MiniBatchReport
from sparkscore.stage.report import add_counts
from sparkscore.worker import ProbeReport

# Each process may word them otherwise, with its own paths.
_MOST_OF_LOADING = 10


def describe_plan(plan: Plan, columns: dict[str, str] | None) -> RecordedInput:
    """Return what the record says of the pinned input.

    Args:
        plan: the plan.
        columns: the columns of an input of rows, with their types.
    """
    snapshot = plan.snapshot
    return RecordedInput(
        format=snapshot.format,
        location=snapshot.location,
        version=snapshot.version,
        items=snapshot.items,
        bytes=snapshot.size_bytes,
        files=len(snapshot.files) or None,
        skipped=dict(snapshot.skipped),
        order_doubt=snapshot.order_doubt or None,
        columns=columns,
    )


def counts_of(reports: Iterable[MiniBatchReport], probe: ProbeReport | None, items: int | None) -> Counts:
    """Add up the reports of the successful task attempts: these are the rows that were staged, each once.

    Args:
        reports: the reports.
        probe: the probe's report, counted apart.
        items: the planned number of items, where it is known.
    """
    done = list(reports)
    scored, failed = sum(report.scored for report in done), sum(report.failed for report in done)
    total = scored + failed if items is None else items
    return Counts(
        items=total,
        scored=scored,
        scored_in_parts=sum(report.scored_in_parts for report in done),
        failed=failed,
        skipped=total - scored - failed,
        mini_batches=len(done),
        broken_contracts=sum(report.is_contract_broken for report in done),
        attempts=sum(report.calls for report in done),
        probe_calls=0 if probe is None else probe.calls,
    )


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
