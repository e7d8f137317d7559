"""Records that earlier commits wrote, from the first version to the last one before the record was a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sparkscore.record.listing import list_records
from sparkscore.record.run_record import Part, RunRecord, end_record, new_record
from sparkscore.record.runs_folder import RunFolder

RECORDS = sorted((Path(__file__).parents[2] / "data" / "records").glob("*.json"))


def content_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(path for path in RECORDS if path.stem == name).read_text())
    return found


def kept_in(runs: Path, content: str) -> RunFolder:
    folder = RunFolder(runs, json.loads(content)["run_id"])
    folder.create()
    (folder.path / "record.json").write_text(content, encoding="utf-8")
    return folder


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_of_an_earlier_version_is_read_and_written_again_byte_for_byte(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    folder = kept_in(tmp_path, text)

    record = folder.read_record()
    assert record is not None
    folder.write_record(record)

    assert (folder.path / "record.json").read_text(encoding="utf-8") == text
    assert [each.run_id for each in list_records(tmp_path)] == [folder.run_id]


def test_what_an_earlier_version_did_not_record_has_its_default_and_is_not_added() -> None:
    record = RunRecord.model_validate(content_of("first_version"))

    assert (record.quarantine.location, record.quarantine.rows, record.only_failed, record.warnings) == (
        None,
        0,
        None,
        [],
    )
    assert (record.counts.scored_in_parts, record.input.columns, record.input.nulls) == (0, None, None)
    ended = end_record(record, "ABORT").as_dict()
    assert list(ended) == list(content_of("first_version"))
    assert ended["counts"] == content_of("first_version")["counts"]


def test_keys_of_a_later_version_are_ignored_and_kept_in_every_part() -> None:
    content = content_of("tolerated")

    parts = ("input", "output", "quarantine", "model", "script", "counts", "seconds", "versions")
    later = {**content, **{name: {**content[name], "later": {"a": [1]}} for name in parts}, "router": None}

    record = RunRecord.model_validate(later)

    assert record.as_dict() == later
    assert record.noting(state="ABORT").as_dict() == {**later, "state": "ABORT"}


def test_a_new_record_has_the_keys_of_the_record_before_it_was_a_model_in_their_order() -> None:
    before, now = content_of("registered_model"), new_record("a", None, {}).as_dict()

    assert list(now) == list(before)
    for name in ("input", "output", "quarantine", "script", "counts", "seconds", "versions"):
        added = ["writer", "writer_reason"] if name == "output" else []
        assert list(now[name]) == [*before[name], *added], name
    # The rest is noted as soon as the run begins.
    assert list(now["model"]) == list(before["model"])[:3]
    assert list(RunRecord.model_fields) == list(before)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("counts", "scored"), "many"),
        (("counts", "attempts"), 1.5),
        (("output", "rows"), "4"),
        (("output", "location"), 7),
        (("quarantine", "rows"), None),
        (("quarantine", "location"), ["a"]),
        (("identity",), {}),
        (("stage",), False),
        (("only_failed",), {"run_id": "a"}),
        (("warnings",), "none"),
        (("seconds", "plan"), "long"),
        (("ended_at",), "soon"),
        (("started_at",), None),
        (("input",), None),
        (("models",), {}),
    ],
)
def test_a_value_of_another_type_makes_it_no_record(place: tuple[str, ...], value: object, tmp_path: Path) -> None:
    content = content_of("tolerated")
    part = content
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value

    assert kept_in(tmp_path, json.dumps(content)).read_record() is None


@pytest.mark.parametrize("name", ["quarantine", "model", "script", "seconds", "versions"])
def test_a_part_that_is_null_is_read_as_one_of_which_nothing_is_known(name: str) -> None:
    part = getattr(RunRecord.model_validate({**content_of("tolerated"), name: None}), name)

    assert isinstance(part, Part)
    assert part.as_dict() == {}


def test_a_field_that_the_record_does_not_have_cannot_be_noted() -> None:
    with pytest.raises(TypeError, match="the record has no inptu"):
        new_record("a", None, {}).noting(inptu=None)
