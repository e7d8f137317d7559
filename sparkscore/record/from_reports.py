"""Compute parts of the run record from the plan and the workers' reports. Runs on the driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sparkscore.plan import Plan
from sparkscore.record.run_record import Counts, RecordedInput
from sparkscore.scorers.load_warnings import LOADING
from sparkscore.stage import MiniBatchReport
from sparkscore.stage.report import add_counts
from sparkscore.worker import ProbeReport

# Number of warnings about loading a model that are kept. Each process may add others, for example with its own paths.
_MOST_OF_LOADING = 10


def describe_plan(plan: Plan, columns: dict[str, str] | None) -> RecordedInput:
    """Return the run record's entry about the input.

    Args:
        plan: the run's plan, which lists the input files or has the version of the input table.
        columns: the type of each input column by name, or None if the items are files.
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
    """Return the run record's entry with the numbers of items, mini-batches and calls.

    Args:
        reports: one report for each mini-batch.
        probe: the report of the call before scoring (the probe), or None if there was no probe. The probe's calls
            are counted separately.
        items: the planned number of items. Items that are in no report count as skipped. If None, only the items in the
            reports are counted, and none count as skipped.
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
    """Count the model loads and the worker processes for the run record.

    The result has the keys ``model_loads`` and ``worker_processes``. Failed loads are counted, and so are
    the loads and the worker process of the call before scoring (the probe), if there was one.
    """
    loads: dict[str, int] = {}
    for report in _all(reports, probe):
        loads[report.worker] = max(report.loads, loads.get(report.worker, 0))
    return {"model_loads": sum(loads.values()), "worker_processes": len(loads)}


def verified_models_of(reports: Iterable[MiniBatchReport]) -> dict[str, int]:
    """Return the number of worker processes that verified each model's files, keyed by the model's digest."""
    found = {(digest, report.worker) for report in reports for digest in report.models}
    return dict(sorted(Counter(digest for digest, _ in found).items()))


def warnings_of(reports: Iterable[MiniBatchReport], probe: ProbeReport | None) -> list[str]:
    """Return the warnings for the run record.

    First come the distinct warnings of the probe and the mini-batches, sorted. Of those that begin with ``while the
    model was loaded``, at most 10 are kept. Then come up to three warnings about the whole run: about mini-batches that
    were scored in parts, about broken contracts, and about values that are not among the model's categories.
    """
    done = list(reports)
    told = sorted({warning for report in _all(done, probe) for warning in report.warnings})
    loading = [warning for warning in told if warning.startswith(LOADING)]
    told = [warning for warning in told if warning not in loading[_MOST_OF_LOADING:]]
    return [*told, *_of_parts(done), *_of_broken_contracts(done), *_of_categories(done)]


def _of_parts(reports: list[MiniBatchReport]) -> list[str]:
    """Return a list with a warning about mini-batches that were scored in parts although no item failed.

    The list is empty if there are no such mini-batches.
    """
    parts = [report for report in reports if report.scored_in_parts and not report.failed]
    if not parts:
        return []
    items = sum(report.items for report in parts)
    told = (
        f"{len(parts):,} of {len(reports):,} mini-batches ({items:,} items) failed as a whole and were scored in "
        "parts: none of their items is bad, but a script that looks at its whole mini-batch (a mean, a rank) gives "
        "other values in parts; with a smaller 'mini_batch_size' they may be scored whole"
    )
    return [told]


def unseen_of(reports: Iterable[MiniBatchReport]) -> dict[str, int]:
    """Count, for each column, the values that are not among the model's categories.

    Columns without such values are left out.
    """
    return dict(add_counts(report.unseen for report in reports))


def _of_categories(reports: list[MiniBatchReport]) -> list[str]:
    found = unseen_of(reports)
    if not found:
        return []
    told = ", ".join(f"'{column}' {count:,}" for column, count in found.items())
    return [f"values that are not among the model's categories, which LightGBM treats as missing, by column: {told}"]


def _of_broken_contracts(reports: list[MiniBatchReport]) -> list[str]:
    broken = [report for report in reports if report.is_contract_broken]
    if not broken:
        return []
    items = sum(report.items for report in broken)
    told = (
        f"{len(broken):,} of {len(reports):,} mini-batches ({items:,} items) failed as a whole by a broken "
        "contract: the scorer did not return a value for each item, so no single item is to blame; first: "
        f"'{broken[0].mini_batch}'"
    )
    return [told]


def _all(reports: Iterable[MiniBatchReport], probe: ProbeReport | None) -> list[MiniBatchReport | ProbeReport]:
    return [*reports] if probe is None else [*reports, probe]
