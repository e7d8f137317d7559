"""A Delta table, the drivers that commit the staged files of their runs to it, and others that change it meanwhile.

delta-rs makes the commits of both, so no JVM is needed. What only Spark could do ends a driver with an error.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from unittest import mock

import deltalake
import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql.types import StructType

from sparkscore.errors import SinkError
from sparkscore.sinks import Published, Stage, StagedResult, first_commit_began, remove_stage, stage_of, staged_in
from sparkscore.sinks.cleaning import clean_stages
from sparkscore.sinks.delta import DeltaSink
from sparkscore.sinks.delta_errors import publish_failed
from sparkscore.sinks.delta_open import open_table
from sparkscore.sinks.origins import NO_ORIGINS, Origins
from sparkscore.sinks.target import Target, check_same_columns
from sparkscore.spark.schema import columns_of, from_arrow
from sparkscore.stage import MiniBatchReport
from sparkscore.stage.layout import STAGE_FOLDER
from tests.support.simulation.lives import COMPLETE, ERROR, NOTHING, RAW, Drivers, Ended, grow_older
from tests.support.simulation.spark import SparkStandIn
from tests.support.simulation.store import Event

RUN: Final = "night"
LABELS: Final = ("a", "b")
#: Version of the first commit of a run to the table that exists: one for which a checkpoint is due.
NEXT_VERSION: Final = 2
_IDENTITY: Final = "identity"
_THEIRS: Final = "part-00000-theirs.parquet"


class Place(StrEnum):
    """The table before the run."""

    NEW = "a table that does not exist"
    PARTITIONED = "a partitioned table with two commits"


class Rule(StrEnum):
    """The rules that each simulated commit must keep."""

    ONCE = "a run has one commit at most, with each of its rows once, and readers see all of them or none"
    OTHERS = "rows and files of others stay"
    LINKS = "a file that no commit names is not left, unless the driver died"
    ENDS = "the same run completes over a healthy store, or says why it cannot"
    ERRORS = "every failure is an error of sparkscore's"
    CLAIMS = "nobody says that nothing was published when it was, or the other way round"
    STAGE = "nothing is left of a stage"


@dataclass(frozen=True)
class Wrong:
    rule: Rule
    text: str


class LeftToSparkError(SinkError):
    """Raised where Spark would write the rows."""


class SinkWithoutSpark(DeltaSink):
    """The sink of a Delta table, whose questions about the table are answered by delta-rs instead of Spark."""

    def check_schema(self, schema: StructType, origins: Origins = NO_ORIGINS) -> None:
        table = open_table(self.target.path)
        if table is not None:
            existing = columns_of(StructType.fromJson(json.loads(table.schema().to_json())))
            check_same_columns(self.target, existing, columns_of(schema), origins)

    def _require_delta(self) -> None:
        pass

    def _publish_by_spark(self, staged: StagedResult) -> Published:  # noqa: ARG002 - no row is written
        error = publish_failed(self.target, RuntimeError("Spark would write the rows"))
        raise LeftToSparkError(
            code=error.code, what=error.what, got=error.got, state=error.state, next_step=error.next_step
        )


class DeltaWorld(Drivers):
    """A store with a Delta table in it, and drivers with staged rows.

    Attributes:
        table: folder of the table.
        place: the table before the run.
    """

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder / "store", rng)
        self.table = self.root / "out"
        self.place = Place.NEW
        self._ready = {place: folder / place.name for place in Place}
        for place in Place:
            self._prepare(place)

    def _prepare(self, place: Place) -> None:
        """Keep the store as it is when the rows of the run are staged, and nothing is linked yet."""
        self.place = place
        self.table.mkdir(parents=True)
        if place is Place.PARTITIONED:
            for number in range(NEXT_VERSION):
                self.append(f"old {number}")
            (self.table / "label=a" / _THEIRS).write_bytes(b"theirs")
        with suppress(KeyboardInterrupt), self._staged(self.target()):
            raise KeyboardInterrupt
        shutil.move(self.root, self._ready[place])

    def begin(self, place: Place) -> None:
        """Begin again with the table as it is before the run."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._ready[place], self.root)
        self.place = place
        self.forget()

    def target(self, run_id: str = RUN) -> Target:
        """Return the output of a run."""
        partition_by = ("label",) if self.place is Place.PARTITIONED else ()
        return Target(self.table, "append", partition_by, run_id, "run_id")

    # ----------------------------------------------------------------------------------------------------------- lives

    def live(self, run_id: str = RUN, events: Mapping[int, Event] | None = None) -> Ended:
        """Publish a run in a simulated driver until it ends or is killed. Its rows are staged first if need be."""
        return self.lived(lambda: self._publish(self.target(run_id)), events)

    def clean(self, events: Mapping[int, Event] | None = None) -> Ended:
        """Remove the stages of dead drivers, as `sparkscore clean` does."""
        return self.lived(lambda: clean_stages(self.table / STAGE_FOLDER), events)

    def wait(self) -> None:
        """Let time pass: the heartbeat of every lock gets older."""
        for lock in self.table.glob(f"{STAGE_FOLDER}/*.lock"):
            grow_older(lock)

    def _publish(self, target: Target) -> dict[str, Any]:
        """Do what a run does from the end of scoring on, in the same order."""
        sink = SinkWithoutSpark(SparkStandIn(self.rng), target)  # type: ignore[arg-type]
        if landed := sink.landed(_SCHEMA):
            remove_stage(target, None)
            return {"version": landed.version, "rows": landed.rows}
        sink.check_target(is_retried=first_commit_began(stage_of(target, None), target))
        with self._staged(target) as (stage, reports):
            stage.check_still_ours()
            sink.check_again(_SCHEMA)
            files = tuple(file for report in reports for file in report.staged)
            published = sink.publish(StagedResult(stage, files, _SCHEMA, {}))
            return {"version": published.version, "rows": published.rows}

    @contextmanager
    def _staged(self, target: Target) -> Iterator[tuple[Stage, list[MiniBatchReport]]]:
        """Open the stage of a run with its rows, which are two units of two rows."""
        with staged_in(target, None, _IDENTITY, is_moved=False) as stage:
            planned = dict.fromkeys(range(len(LABELS)), 2)
            done = stage.done_units(planned)
            for unit in planned.keys() - done.keys():
                task = stage.for_tasks(target.partition_by)
                with task.open_chunk(unit) as chunk:
                    chunk.write(rows_of(target.run_id).slice(2 * unit, 2))
                    files, _ = chunk.finish()
                task.keep_chunk(unit, 0, [replace(_REPORT, unit=unit, staged=files)])
            done = stage.done_units(planned)
            yield stage, [report for unit in sorted(done) for report in done[unit]]

    # ---------------------------------------------------------------------------------------------------------- others

    def append(self, name: str) -> None:
        """Commit rows of another writer, and create the table if need be."""
        configuration = {} if self.versions() else {"delta.checkpointInterval": str(NEXT_VERSION)}
        partition_by = list(self.target().partition_by) or None
        deltalake.write_deltalake(
            self.table, rows_of(name), mode="append", partition_by=partition_by, configuration=configuration
        )

    def change(self, how: str) -> None:
        """Change the table as another writer: by its rows, columns, properties or features. Create it if need be."""
        if not self.versions():
            self.append("theirs")
        table = DeltaTable(self.table)
        if how == "columns":
            rows = pa.table({"id": ["another type"], "label": ["a"], "run_id": ["theirs"]})
            deltalake.write_deltalake(table, rows, mode="overwrite", schema_mode="overwrite")
        elif how == "property":
            table.alter.set_table_properties({"delta.dataSkippingNumIndexedCols": "0"})
        elif how == "feature":
            table.alter.add_constraint({"positive": "id >= 0"})
        else:
            self.append("theirs")

    # ------------------------------------------------------------------------------------------------ what must be true

    def versions(self) -> list[list[dict[str, Any]]]:
        """Return the actions of each version of the table."""
        files = sorted((self.table / "_delta_log").glob("[0-9]*.json"))
        return [[json.loads(line) for line in file.read_text().splitlines() if line] for file in files]

    def wrongs(self, ended: Ended, run_id: str = RUN) -> Iterator[Wrong]:
        """Yield the rules that are broken after a driver ended, however it ended."""
        if ended.how == RAW:
            yield Wrong(Rule.ERRORS, f"{type(ended.error).__name__}: {ended.error}")
        commits = self._commits_of(run_id)
        yield from self._once(run_id, commits)
        said = str(ended.error) if ended.how == ERROR else ""
        if commits and any(text in said for text in NOTHING):
            yield Wrong(Rule.CLAIMS, said)
        if ended.how == COMPLETE and (ended.record or {}).get("version") not in commits:
            yield Wrong(Rule.CLAIMS, f"the run says that it committed version {ended.record}, and it made {commits}")
        theirs = [path.read_bytes() for path in self.table.rglob(_THEIRS)]
        if theirs != [b"theirs"] * (self.place is Place.PARTITIONED):
            yield Wrong(Rule.OTHERS, f"a file of others is there as {theirs}")
        yield from self._lost(run_id)
        if ended.how == COMPLETE:
            yield from self.left_behind(run_id)

    def _commits_of(self, run_id: str) -> list[int]:
        app_id = f"sparkscore:{run_id}:predictions"
        named = [[action["txn"]["appId"] for action in actions if "txn" in action] for actions in self.versions()]
        return [version for version, app_ids in enumerate(named) if app_id in app_ids]

    def _once(self, run_id: str, commits: list[int]) -> Iterator[Wrong]:
        if len(commits) > 1:
            yield Wrong(Rule.ONCE, f"the run has committed the versions {commits}")
        added = Counter(action["add"]["path"] for actions in self.versions() for action in actions if "add" in action)
        if doubled := [path for path, count in added.items() if count > 1]:
            yield Wrong(Rule.ONCE, f"files were added twice: {doubled}")
        for version in {*commits[:1], len(self.versions()) - 1} - {-1}:
            found = _ids_of(DeltaTable(self.table, version=version), run_id)
            expected = _ids(run_id) if commits and version >= commits[0] else []
            if found != expected and not self._was_replaced(version):
                yield Wrong(Rule.ONCE, f"version {version} has the rows {found}")

    def _was_replaced(self, version: int) -> bool:
        """Return whether another writer has replaced all rows in a version or before."""
        return any("remove" in action for actions in self.versions()[: version + 1] for action in actions)

    def _lost(self, run_id: str) -> Iterator[Wrong]:
        """Yield rows of others that are not in the table any more although nobody replaced them."""
        versions = self.versions()
        if not versions or self._was_replaced(len(versions)):
            return
        rows = DeltaTable(self.table).to_pyarrow_table()["run_id"].to_pylist()
        expected = {f"old {number}" for number in range(NEXT_VERSION if self.place is Place.PARTITIONED else 0)}
        if lost := expected - {*rows}:
            yield Wrong(Rule.OTHERS, f"rows of {sorted(lost)} are lost by run '{run_id}'")

    def left_behind(self, run_id: str = RUN) -> Iterator[Wrong]:
        """Yield what is left of a run that has ended for good."""
        named = {
            action["add"]["path"].rpartition("/")[2] for each in self.versions() for action in each if "add" in action
        }
        there = [path for path in self.table.rglob("*.parquet") if not {"_delta_log", STAGE_FOLDER} & {*path.parts}]
        if links := [path.name for path in there if path.name not in named | {_THEIRS}]:
            yield Wrong(Rule.LINKS, f"no commit names {links}")
        if (self.table / STAGE_FOLDER / run_id).exists():
            yield Wrong(Rule.STAGE, "the stage is left")
        if not named and (self.table / "_delta_log").exists():
            yield Wrong(Rule.LINKS, "a log without a commit is left")
        empty = [path.name for path in self.table.iterdir() if "=" in path.name and not any(path.iterdir())]
        if empty:
            yield Wrong(Rule.LINKS, f"empty folders are left: {empty}")

    def finish(self, attempts: int = 2) -> tuple[Ended, list[Wrong]]:
        """Publish the run over a healthy store until it is complete, and return how it ended, and what was wrong."""
        wrongs: list[Wrong] = []
        for _ in range(attempts):
            self.wait()
            ended = self.live()
            wrongs += self.wrongs(ended)
            if ended.how == COMPLETE:
                break
        return ended, wrongs


def rows_of(name: str) -> pa.Table:
    """Return four rows, two for each partition."""
    return pa.table({"id": _ids(name), "label": [LABELS[0], LABELS[0], LABELS[1], LABELS[1]], "run_id": [name] * 4})


def _ids(name: str) -> list[int]:
    first = 4 * (sum(name.encode()) % 1000)
    return list(range(first, first + 4))


def _ids_of(table: DeltaTable, run_id: str) -> list[int]:
    rows = table.to_pyarrow_table().to_pylist()
    return sorted(row["id"] for row in rows if row["run_id"] == run_id)


_SCHEMA: Final = from_arrow(rows_of(RUN).schema)
_REPORT: Final = MiniBatchReport(
    unit=0, mini_batch="0", place="0", items=2, scored=2, failed=0, rows=2, calls=1, seconds=0.1,
    scored_at=datetime(2026, 1, 1, tzinfo=UTC), worker="w1", loads=1,
)  # fmt: skip


@contextmanager
def simulated_table(folder: Path, seed: int) -> Iterator[DeltaWorld]:
    """Yield a world without waiting times, in which random names come from the seed."""
    rng = random.Random(seed)  # noqa: S311 - the same for the same seed is what it is for
    with mock.patch("sparkscore.sinks.delta._PAUSE_S", 0.0):
        world = DeltaWorld(folder, rng)
        with world.in_place():
            yield world
