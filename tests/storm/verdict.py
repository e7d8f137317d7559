"""Check the result of a campaign: no item is lost, doubled or wrong, and no file is left."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deltalake import DeltaTable

from sparkscore.worker.child.supervisor import ENDED
from tests.storm.rig import Rig
from tests.support.ledger import check_ledger, read_table

#: More than this share of the items given to the script again is too much.
MOST_RESCORED: Final = 0.25


@dataclass
class Verdict:
    """The findings at the end of a campaign.

    Attributes:
        scored: the number of rows of the predictions.
        quarantined: the number of rows of the quarantine.
        ended_by_kills: how many quarantined items failed only because each process that scored them was killed.
        lost: the number of items that are in neither table.
        doubled: the number of items that are in the tables more than once.
        rescored: the share of items that the script got more than once, or None if that is not known.
        findings: everything that is wrong, a sentence each.
    """

    scored: int = 0
    quarantined: int = 0
    ended_by_kills: int = 0
    lost: int = 0
    doubled: int = 0
    rescored: float | None = None
    findings: list[str] = field(default_factory=list)


def judge(rig: Rig, record: dict[str, Any] | None) -> Verdict:
    """Compare the tables and the record with the input."""
    if record is None:
        return Verdict(findings=["the run did not come to an end"], lost=len(rig.keys))
    predictions, failed = read_table(rig.output).to_pylist(), read_table(rig.quarantine).to_pylist()
    found = Counter(rig.number_of(row[rig.key or "source_file"]) for row in predictions)
    failed_items = {rig.number_of(_key_of_failed(row, rig.key)): row["error_code"] for row in failed}
    found.update(rig.number_of(_key_of_failed(row, rig.key)) for row in failed)
    verdict = Verdict(len(predictions), len(failed), list(failed_items.values()).count(ENDED))
    wanted = {rig.number_of(key) for key in rig.keys}
    verdict.lost, verdict.doubled = len(wanted - set(found)), sum(count > 1 for count in found.values())
    verdict.findings += _ledger(rig, record)
    if wrong := [row for row in predictions if row["prediction"] != 2 * rig.number_of(row[rig.key or "source_file"])]:
        verdict.findings.append(f"{len(wrong)} predictions are another item's, such as {wrong[0]}")
    if missing := rig.poison - set(failed_items):
        verdict.findings.append(f"items {sorted(missing)} cannot be scored and are not in quarantine")
    healthy = {number: code for number, code in failed_items.items() if number not in rig.poison and code != ENDED}
    if healthy:
        verdict.findings.append(f"items {healthy} are in quarantine, and their process was not killed")
    verdict.findings += _left_behind(rig)
    if rig.kind.scorer == "script":
        verdict.rescored = rig.items_given() / len(predictions) - 1
        if verdict.rescored > MOST_RESCORED:
            verdict.findings.append(f"{verdict.rescored:.0%} of the items were scored again")
    return verdict


def _key_of_failed(row: dict[str, Any], key: str | None) -> object:
    return json.loads(row["row"])[key] if key else row["source_file"]


def _ledger(rig: Rig, record: dict[str, Any]) -> list[str]:
    try:
        check_ledger(record, rig.runs, rig.keys, rig.key)
        kept = rig.record.read_record()
        assert kept is not None, "there is no record on disk"
        assert kept.as_dict() == record, "the record on disk is another one"
    except AssertionError:
        return [f"the ledger: {traceback.format_exc(limit=-1)[:1000]}"]
    return []


def _left_behind(rig: Rig) -> list[str]:
    """Return the files in the tables that no commit names, and files that were not finished."""
    found = []
    for place in (rig.output, rig.quarantine):
        there = {path for path in place.rglob("*.parquet") if "_delta_log" not in path.parts}
        if rig.kind.output_format == "delta":
            named = _of_delta(place)
        else:
            named = set((place / f"run_id={rig.record.run_id}").rglob("*.parquet"))
        found += [f"'{path}' is in no commit" for path in sorted(there - named)]
    return found


def _of_delta(place: Path) -> set[Path]:
    """Return the files that a Delta table's commits name, and those of unfinished commits, which VACUUM removes."""
    table = DeltaTable(place)
    vacuumed = table.vacuum(retention_hours=0, dry_run=True, enforce_retention_duration=False, full=True)
    return {Path(uri.removeprefix("file://")) for uri in table.file_uris()} | {place / name for name in vacuumed}
