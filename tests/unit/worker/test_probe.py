from __future__ import annotations

import pyarrow as pa
import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.outcome import Failure
from sparkscore.worker import ProbeReport
from sparkscore.worker.probe import packed_report, unpacked_report

PREDICTIONS = pa.schema([pa.field("y", pa.list_(pa.float64()), nullable=False), ("label", pa.string())])


@pytest.mark.parametrize(
    "report",
    [
        ProbeReport(PREDICTIONS, True, "host/1", 1, 3, ("another version of numpy",), None, is_proven=True),
        ProbeReport(None, False, "host/1", 2, 1, (), Failure(ErrorCode.SCRIPT_RUN, "ValueError", "é", "trace")),
    ],
    ids=["found", "failed"],
)
def test_a_report_that_the_stage_keeps_is_read_as_it_was(report: ProbeReport) -> None:
    assert unpacked_report(packed_report(report)) == report
