"""Run the probe, a test call of the scorer, if the result columns are unknown. Runs on the driver."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError
from sparkscore.minibatch import MiniBatch
from sparkscore.redaction import redact
from sparkscore.run.delivery import Delivery, deliver_content
from sparkscore.run.hosts import refuse_unseen
from sparkscore.run.opened import Request
from sparkscore.run.verdict import failure_error, nothing_to_score
from sparkscore.spark.jobs import run_probe
from sparkscore.stage import Decision, RunStage
from sparkscore.worker import EngineSpec, ProbeReport, ProbeSpec
from sparkscore.worker.child.messages import write_stream
from sparkscore.worker.probe import RowsSample, pack_items, unpacked_report

logger = logging.getLogger("sparkscore")


def kept_probe(stage: RunStage) -> ProbeReport | None:
    """Return the stored report of the probe, or None if no earlier execution of the run has stored one in the stage.

    The probe is a test call before scoring. A resumed run uses the stored report, so that its result has the same
    columns as the rows that are already staged.
    """
    kept = stage.kept(Decision.PROBE)
    return None if kept is None else unpacked_report(kept)


def probe_columns(
    request: Request,
    engine: EngineSpec,
    first: Sequence[MiniBatch | RowsSample],
    declared: pa.Schema | None,
    delivery: Delivery,
) -> ProbeReport:
    """Run the probe: score one mini-batch on a worker, and return a report with the names and types of the columns.

    If failed items are tolerated, a script may return nothing for a mini-batch. In that case, the next mini-batch in
    `first` is scored.

    Args:
        request: the checked request with its input.
        engine: the specification from which workers start the scorer.
        first: some mini-batches from the start of the input. For mini-batches that the workers read themselves, it
            contains a `RowsSample` each.
        declared: the prediction columns if they are declared, or None.
        delivery: how to send the mini-batch to the worker if it is too large to be part of the Spark job.

    Raises:
        SparkscoreError: the input is empty, the scorer failed, or the scorer returned nothing.
    """
    if not first:
        raise nothing_to_score()
    prepared = request.prepared
    is_tolerant = prepared.deployment.settings.error_threshold != 0
    tried = first if is_tolerant else first[:1]
    for mini_batch in tried:
        report = run_probe(request.spark, probe_spec(request, engine, mini_batch, declared, delivery))
        if report.failure is not None:
            for warning in report.warnings:  # A warning, such as a version mismatch, may explain the failure.
                logger.warning("%s", redact(warning))
            refuse_unseen(request.spark, request.plan.snapshot, [(report.failure, report.worker)])
            raise failure_error(report.failure, prepared.scorer_name, "the first mini-batch", "Nothing was written.")
        if report.predictions:
            return report
    raise OutputContractError(
        code=ErrorCode.OUTPUT_UNKNOWN,
        what=f"{prepared.scorer_name} returned nothing for the first {len(tried)} mini-batches, so the columns of the "
        "result are not known",
        got=f"0 elements for {sum(each.item_count for each in tried)} items",
        next_step="Declare 'output.schema', for example 'prediction double'"
        + ("." if is_tolerant else ", or return an element for each item; fewer count as failed items."),
    )


def probe_spec(
    request: Request,
    engine: EngineSpec,
    first: MiniBatch | RowsSample,
    declared: pa.Schema | None,
    delivery: Delivery,
) -> ProbeSpec:
    """Return what a worker needs to score the mini-batch ``first``. See `probe_columns` for the other arguments."""
    prepared = request.prepared
    output, settings = prepared.deployment.output, prepared.deployment.settings
    spec = ProbeSpec(
        engine,
        "0-0",
        (),
        None,
        declared,
        is_tolerant=settings.error_threshold != 0,
        # A model without a script returns one row for each input row, even if it returns a DataFrame.
        is_joined=bool(output.carry) if output.carry is not None else None if prepared.script else True,
        columns=len(request.columns or ()),
        tries=settings.retry_settings.max_retries + 1,
        host=request.host,
    )
    if isinstance(first, RowsSample):
        return replace(spec, sample=first)
    rows = None if first.rows is None else bytes(write_stream(first.rows))
    sent = deliver_content(delivery, pack_items(first.files, rows), first.mini_batch_id, "the first mini-batch")
    files, rows = ((), None) if sent else (first.files, rows)
    return replace(spec, mini_batch_id=first.mini_batch_id, files=files, rows=rows, sent=sent)
