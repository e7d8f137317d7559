from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.stage import layout
from sparkscore.stage.local_store import LocalStore

HEX = "0123456789abcdef" * 2
NAMES = {
    layout.MARKER: "the mark",
    layout.IDENTITY: "notes",
    layout.RUN: "notes",
    "first-commit-predictions": "notes",
    layout.PLAN: "plan",
    layout.PROBE: "notes",
    layout.NULLS: "notes",
    layout.STOP: "notes",
    layout.chunk(3, 0): "a chunk",
    layout.progress(3): "progress",
    layout.part(layout.task_attempt(layout.ATTEMPTS, 3, HEX), "day=1/city=x y", 1): "rows",
    layout.part(layout.task_attempt(layout.QUARANTINE, 100_000, HEX), "", 1): "quarantined rows",
    f"published-predictions/day=1/part-00003-{HEX}-0001.parquet": "links",
    "published-quarantine/part-00000-empty.parquet": "an empty result",
    "published-predictions/_sparkscore.json": "a list",
}


@pytest.mark.parametrize("name", NAMES)
def test_what_sparkscore_writes_is_known_also_while_it_is_written(tmp_path: Path, name: str) -> None:
    is_known = layout.known_in(LocalStore(tmp_path))
    folder, _, last = name.rpartition("/")
    begun = f"{folder}/{layout.unfinished(last, HEX)}" if folder else layout.unfinished(last, HEX)

    assert is_known(name)
    assert is_known(begun)
    assert layout.finished(begun) == name
    assert all(is_known(f"{name[:end]}/") for end, sign in enumerate(name) if sign == "/")


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "done/notes",
        "done/3-0.txt",
        "attempts/data.csv",
        f".notes.{HEX}",
        "identity.bak",
        "done/3-0/",
        ".git/",
    ],
)
def test_what_others_put_there_is_not(tmp_path: Path, name: str) -> None:
    assert not layout.known_in(LocalStore(tmp_path))(name)


@pytest.mark.parametrize("name", [".identity.77", "plan.unfinished", "probe.unfinished", ".first-commit-quarantine.5"])
def test_what_an_earlier_version_has_left_is_known(tmp_path: Path, name: str) -> None:
    assert layout.known_in(LocalStore(tmp_path))(name)


def test_each_kind_has_a_name_of_its_own() -> None:
    shown = [each.shown for each in (*layout.STAGE, *layout.BESIDE)]

    assert len(set(shown)) == len(shown)
