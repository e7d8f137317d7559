from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sparkscore
from sparkscore.cli.manual import EXIT_CODES
from sparkscore.errors import ConfigError, ScoringError, SourceNotFoundError, SparkscoreError
from sparkscore.run import Run
from sparkscore.worker.result import LINEAGE_SCHEMA

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PAGE = Path(__file__).parents[2] / "docs" / "result.md"
Table = Callable[[str, str], list[list[str]]]
# What later versions have added to the record.
ADDED = {"output.writer", "output.writer_reason"}
# Their keys are the user's or the input's own.
WHOLE = {"verified_models", "config", "input.columns", "input.skipped", "input.nulls", "output.columns"}


@dataclass(frozen=True)
class Example:
    run: Run
    failed: Mapping[str, Any]
    folder: Path


@pytest.fixture(scope="module")
def example(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Example:
    """A run that is complete, of files, with a model and partitions, as Parquet; and one that failed."""
    folder = tmp_path_factory.mktemp("result")
    (folder / "code").mkdir()
    (folder / "in").mkdir()
    for name in ("a", "bcd"):
        (folder / "in" / f"{name}.txt").write_text(name)
    (folder / "model.txt").write_text("2")
    (folder / "code" / "score.py").write_text(
        "def run(paths):\n    return ['long' if len(open(path).read()) > 2 else 'short' for path in paths]\n"
    )
    settings = {
        "code_configuration.code": str(folder / "code"),
        "code_configuration.scoring_script": "score.py",
        "model.path": str(folder / "model.txt"),
    }
    options: dict[str, Any] = {"input": folder / "in", "runs": folder / "runs", "settings": settings}
    run = sparkscore.score(
        spark,
        None,
        **options,
        output=folder / "predictions",
        output_format="parquet",
        partition_by="prediction",
        run_id="first",
    )
    with pytest.raises(SparkscoreError) as caught:
        sparkscore.score(spark, None, **options, output=folder / "predictions", run_id="second")
    return Example(run, caught.value.record or {}, folder)


def names_of(record: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in record.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value and path not in WHOLE:
            yield from names_of(value, f"{path}.")
        else:
            yield path


def test_the_record_has_exactly_the_documented_names(example: Example, read_table: Table) -> None:
    documented = [name for name, _ in read_table("result.md", "record")]
    written = set(names_of(example.run.record)) | set(names_of(example.failed))

    # A section is null or empty as long as nothing is known of it.
    sections = {name.partition(".")[0] for name in written if "." in name}
    # These runs have moved nothing of others, and neither is held, or failed while it published. Their items are files,
    # so nobody reads rows.
    missing = {"output.moved_to", "output.publishing_began", "input.reader", "input.reader_reason"}
    assert set(documented) == (written - sections) | missing
    assert len(set(documented)) == len(documented)


def test_a_record_has_the_names_that_it_had_before_it_was_a_model_in_their_order(example: Example) -> None:
    before = json.loads((PAGE.parents[1] / "tests" / "data" / "records" / "registered_model.json").read_text())

    names = [name for name in names_of(example.run.record) if name not in ADDED]
    assert names == list(names_of(before))


def test_what_a_run_without_failures_made_can_be_read(example: Example, read_table: Table) -> None:
    documented = {name.strip(" `") for names, *_ in read_table("result.md", "run table") for name in names.split(",")}

    calls = example.run.attempts()

    assert set(calls.columns) == documented
    assert sum(row["scored"] for row in calls.collect()) == example.run.record["counts"]["scored"] == 2
    assert example.run.quarantine().collect() == []
    assert "error_code" in example.run.quarantine().columns


def test_the_lineage_columns_are_the_documented_ones(example: Example, read_table: Table) -> None:
    documented = {name: kind for name, kind, _ in read_table("result.md", "lineage")}

    kinds = dict(example.run.predictions().dtypes)

    assert list(documented) == LINEAGE_SCHEMA.names
    assert documented == {name: kinds[name] for name in documented}


def test_a_parquet_result_looks_as_documented(example: Example) -> None:
    block = re.search(r"^```text\n(predictions/.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    files = sorted(example.folder.glob("predictions/**/*.*"))

    assert block
    assert [without_attempt(line) for line in block[1].splitlines()] == [
        without_attempt(file.relative_to(example.folder).as_posix()) for file in files
    ]


def without_attempt(path: str) -> str:
    return re.sub(r"part-\d{5}-[0-9a-f]{32}-\d{4}", "part", path)


def test_a_run_folder_holds_the_documented_files(example: Example, read_table: Table) -> None:
    documented = {name for name, _ in read_table("result.md", "run folder")}
    found = {entry.name for entry in (example.folder / "runs" / "first").iterdir()}

    # This run had the session of the tests, whose log is elsewhere.
    assert documented == found | {"spark.log"}


def test_the_exit_codes_are_those_of_the_command_line_and_of_the_errors(read_table: Table) -> None:
    documented = {int(code) for code, *_ in read_table("result.md", "exit codes")}
    in_manual = {int(number) for number in re.findall(r"(?:^  |, )(\d+)\b", EXIT_CODES, flags=re.MULTILINE)}
    of_errors = {kind.exit_code for kind in (SparkscoreError, ConfigError, SourceNotFoundError, ScoringError)}

    assert documented == in_manual
    assert of_errors <= documented
