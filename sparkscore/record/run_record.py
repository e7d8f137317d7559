"""The run record: a run's input, model and output, and how the run ended. Runs on the driver.

The field descriptions below are also used to generate the run record table in ``docs/result.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sparkscore.errors import code_of, message_of
from sparkscore.record.versions import version_of_python, version_or_none
from sparkscore.redaction import redact

RUNNING, HELD, COMPLETE, FAIL, ABORT = "RUNNING", "HELD", "COMPLETE", "FAIL", "ABORT"


class Part(BaseModel):
    """Base class of the run record and its parts.

    A record may have been written by another version of sparkscore. When it is written again, unknown keys are kept,
    and missing fields stay missing unless they were set. In Python, a missing optional field has its default value.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, protected_namespaces=())

    def as_dict(self) -> dict[str, Any]:
        """Return this record, or part of a record, as the JSON object for ``record.json``.

        The object has all fields that were set, even to their defaults, and the unknown keys that were read.
        """
        return self.model_dump(exclude_unset=True)


_PartT = TypeVar("_PartT", bound=Part)


def _nothing_for_null(value: object) -> object:
    return {} if value is None else value


def _checked_time(value: str) -> str:
    datetime.fromisoformat(value)
    return value


# A string, so that a time keeps its digits when it is read and written again.
Time = Annotated[str, AfterValidator(_checked_time)]
# Earlier versions wrote null for an unknown part.
OrNull = BeforeValidator(_nothing_for_null)


class RecordedInput(Part):
    """The run record's entry about the input: its location, version, size and columns."""

    format: str | None = Field(default=None, description="format of the input")
    location: str | list[str] | None = Field(default=None, description="location, or a list of locations")
    version: int | str | None = Field(
        default=None,
        description="version of the Delta table, or a digest of the files' paths, sizes, times of modification, and "
        "[samples](decisions/0027-what-waits-is-checked.md)",
    )
    items: int | None = Field(default=None, description="files or rows")
    bytes: int | None = Field(default=None, description="size of the files")
    files: int | None = Field(default=None, description="number of files; null for a Delta table")
    skipped: dict[str, int] | None = Field(default=None, description="number of files left out, by reason")
    order_doubt: str | None = Field(
        default=None,
        description="why the order of the columns is not known, so that no model may take them by position; null if "
        "it is known",
    )
    columns: dict[str, str] | None = Field(
        default=None, description="columns of an input of rows, with their types; null for files"
    )
    reader: str | None = Field(
        default=None,
        description="`worker` if the workers read the rows from the files themselves, `spark` if Spark did; null for "
        "files",
    )
    reader_reason: str | None = Field(
        default=None, description="why Spark read the rows; null if the workers read them themselves"
    )
    nulls: dict[str, bool] | None = Field(
        default=None,
        description="for each integer and boolean column that the scorer gets in a DataFrame: whether it has a NULL, "
        "so that it is [float64 or object](scoring-scripts.md#nulls-and-dtypes) in every mini-batch",
    )


class RecordedOutput(Part):
    """The run record's entry about the output."""

    format: str | None = Field(default=None, description="`delta` or `parquet`")
    location: str | None = Field(default=None, description="location")
    mode: str | None = Field(default=None, description="`append`, `overwrite` or `error`")
    moved_to: str | None = Field(
        default=None,
        description="folder into which this run moved files of others, with `output.replace: foreign`; otherwise there "
        "is no such key",
    )
    version: int | str | None = Field(default=None, description="version that this run committed, or the run's folder")
    rows: int | None = Field(default=None, description="rows of this run, read back from what was committed")
    columns: dict[str, str] | None = Field(default=None, description="name and type of each column")
    writer: str | None = Field(default=None, description="who wrote the files that readers see: `worker` or `spark`")
    writer_reason: str | None = Field(default=None, description="why Spark wrote them; null if it is not known")
    publishing_began: bool | None = Field(
        default=None,
        description="whether readers may see rows, because publishing began; there is such a key only from the moment "
        "at which the run is held, or begins to publish, until it is published",
    )


class RecordedQuarantine(Part):
    """The run record's entry about the quarantine table."""

    location: str | None = Field(
        default=None, description="the table of the items that failed and were tolerated; null if none did"
    )
    rows: int = Field(default=0, description="rows of this run in it")


class RecordedModel(Part):
    """The run record's entry about a model."""

    name: str | None = Field(default=None, description="the model's name, as in each row of the result")
    version: str | None = Field(default=None, description="the model's version, as in each row of the result")
    sha256: str | None = Field(default=None, description="digest of the model's file or folder")
    path: str | None = Field(default=None, description="path of the model; null for a model of a registry")
    uri: str | None = Field(
        default=None, description="the registry's reference of exactly this version; null for a file or folder"
    )
    kind: str | None = Field(
        default=None,
        description="`mlflow`, `onnx`, `sklearn`, `xgboost`, `lightgbm` or `spark` if the model is scored without a "
        "script, else null",
    )
    flavors: list[str] = Field(
        default_factory=list, description="the flavors of an MLflow model that is scored without a script"
    )


class RecordedScript(Part):
    """The run record's entry about the scoring script."""

    path: str | None = Field(default=None, description="the scoring script")
    sha256: str | None = Field(default=None, description="digest of the code folder: file names and contents")


class Counts(Part):
    """The run record's entry with the numbers of items, mini-batches and calls."""

    items: int = Field(description="files or rows that went in")
    scored: int = Field(description="of these, scored")
    scored_in_parts: int = Field(
        default=0, description="of the scored ones, those whose mini-batch failed as a whole and was scored in parts"
    )
    failed: int = Field(description="of these, failed")
    skipped: int = Field(default=0, description="of these, neither; 0 in a COMPLETE run")
    mini_batches: int = Field(default=0, description="mini-batches that were tried")
    broken_contracts: int = Field(
        default=0,
        description="of these, those that failed as a whole because the scorer did not return a value for each item",
    )
    attempts: int = Field(default=0, description="calls of `run()` that count")
    probe_calls: int = Field(default=0, description="calls before the run, discarded")


class Seconds(Part):
    """The run record's entry with the seconds spent on planning, scoring and publishing."""

    plan: float = Field(default=0.0, description="finding and pinning the input, probe included")
    score: float = Field(default=0.0, description="scoring")
    publish: float = Field(default=0.0, description="joining small files, and publishing")


class Versions(Part):
    """The run record's entry with the versions of Python and of packages on the driver."""

    sparkscore: str | None = Field(default=None, description="version of sparkscore")
    spark: str | None = Field(default=None, description="of PySpark on the driver")
    python: str | None = Field(default=None, description="of Python on the driver")
    delta: str | None = Field(default=None, description="of delta-spark; null without it")


class OnlyFailed(Part):
    """The run record's entry about the earlier run whose failed items this run scores again.

    Attributes:
        run_id: id of the earlier run.
        first: id of the run in which the items first failed. It differs from `run_id` if the earlier run itself scored
            failed items again.
        without: ids of the runs that have already scored failed items of `first` again and published their results.
            Items in those results are not scored again.
        items: number of items that are scored again, or None if it is not known.
    """

    run_id: str
    first: str
    without: list[str] = Field(default_factory=list)
    items: int | None = None


class RecordedError(Part):
    """The run record's entry about the error that made the run fail or interrupted it."""

    code: str | None = Field(default=None, description="code of the error; `error` is null in a COMPLETE run")
    message: str | None = Field(default=None, description="the message, secrets masked")


class RunRecord(Part):
    """The run record: a run's input, model, script and output, and how the run ended."""

    run_id: str = Field(description="the run's id")
    state: str = Field(
        description="`RUNNING`, then `COMPLETE`, `FAIL`, `HELD` for a run that waits to be published, or `ABORT` for "
        "an interrupted one"
    )
    started_at: Time = Field(description="UTC")
    ended_at: Time | None = Field(default=None, description="UTC; null while it runs")
    deployment: str | None = Field(default=None, description="the deployment file, as it was given")
    config: dict[str, Any] = Field(description="the whole deployment with options and defaults, secrets masked")
    identity: str | None = Field(
        default=None,
        description="digests of the input's version, the script, the model and the configuration, which decide the "
        "result",
    )
    input: RecordedInput
    output: RecordedOutput
    quarantine: Annotated[RecordedQuarantine, OrNull] = RecordedQuarantine()
    stage: str | None = Field(
        default=None,
        description="location of the staged rows of a held run until it is published or discarded; null otherwise",
    )
    only_failed: OnlyFailed | None = Field(
        default=None,
        description="for a run that scores failed items again: the run in which they failed (`run_id`) and the one in "
        "which they failed `first`, the later runs whose items were left out (`without`), and the number of `items`; "
        "null otherwise",
    )
    model: Annotated[RecordedModel, OrNull] = RecordedModel()
    models: list[RecordedModel] = Field(
        default_factory=list,
        description="further models of the deployment, each with name, version, sha256, path and uri",
    )
    script: Annotated[RecordedScript, OrNull] = RecordedScript()
    git_commit: str | None = Field(
        default=None,
        description="commit of the script's folder, with `-dirty` where files differ; null outside a checkout",
    )
    counts: Counts
    model_loads: int = Field(default=0, description="how often the model was loaded")
    verified_models: dict[str, int] = Field(
        default_factory=dict,
        description="number of worker processes that verified a model's files, by the digest of the model",
    )
    worker_processes: int = Field(
        default=0, description="processes that loaded it; the same number, unless one had to load twice"
    )
    unseen_categories: dict[str, int] = Field(
        default_factory=dict,
        description="number of values, by column, that are not among a LightGBM model's categories, which it treats as "
        "missing",
    )
    warnings: list[str] = Field(
        default_factory=list,
        description="what the workers warned of, such as packages that differ from the model's requirements, and what "
        "libraries warned of while they loaded the model",
    )
    seconds: Annotated[Seconds, OrNull] = Seconds()
    versions: Annotated[Versions, OrNull] = Versions()
    error: RecordedError | None = None

    @property
    def stage_location(self) -> str | None:
        """The folder in the ``output.stage`` setting, or None if this setting is missing or empty."""
        output = self.config.get("output")
        folder = output.get("stage") if isinstance(output, dict) else None
        return folder if isinstance(folder, str) and folder else None

    @property
    def waits_for_publishing(self) -> bool:
        """Whether the run is held: the record gives the location of its staged rows, and its state is not ``COMPLETE``.

        The state of a held run may also differ from ``HELD``, for example if publishing failed.
        """
        return bool(self.stage) and self.state != COMPLETE

    @property
    def may_show_rows(self) -> bool:
        """Whether publishing began, so that readers may see this run's predictions or quarantined items.

        Some records do not say whether publishing began, for example those of earlier versions of sparkscore. In that
        case, the result is True if the output has columns and the state is not ``HELD``.
        """
        # The field is missing before publishing, in a published run, and in records of earlier versions. The output
        # gets its columns when publishing begins or when the run is held.
        if self.output.publishing_began is None:
            return bool(self.output.columns) and self.state != HELD
        return self.output.publishing_began

    def noting(self, **parts: object) -> RunRecord:
        """Return a copy of the record with new values for the given fields. The values are not validated.

        Raises:
            TypeError: a given field does not exist.
        """
        if unknown := parts.keys() - RunRecord.model_fields.keys():
            raise TypeError(f"the record has no {', '.join(sorted(unknown))}")
        return self.model_copy(update=parts)


def record_in(content: Mapping[str, object], run_id: str) -> RunRecord | None:
    """Convert a JSON object to a run record. Return None if the object is not a record of this run.

    Args:
        content: the JSON object, possibly written by another version of sparkscore.
        run_id: id of the run.
    """
    try:
        record = RunRecord.model_validate(content)
    except ValidationError:
        return None
    return record if record.run_id == run_id else None


def new_record(run_id: str, deployment: str | None, config: Mapping[str, object]) -> RunRecord:
    """Return the record of a run that is starting, with the state ``RUNNING`` and the current package versions.

    Values that are not yet known are None, empty or 0.

    Args:
        run_id: id of the run.
        deployment: name or path of the deployment file, or None if the run has no deployment file.
        config: the whole deployment with options and defaults, with secrets masked.
    """
    return RunRecord(
        run_id=run_id,
        state=RUNNING,
        started_at=_now(),
        ended_at=None,
        deployment=deployment,
        config=dict(config),
        identity=None,
        input=blank(RecordedInput, "reader", "reader_reason"),
        output=blank(RecordedOutput, "moved_to", "publishing_began"),
        quarantine=blank(RecordedQuarantine),
        stage=None,
        only_failed=None,
        model=blank(RecordedModel, "path", "uri", "kind", "flavors"),
        models=[],
        script=blank(RecordedScript),
        git_commit=None,
        counts=Counts(**dict.fromkeys(Counts.model_fields, 0)),
        model_loads=0,
        verified_models={},
        worker_processes=0,
        unseen_categories={},
        warnings=[],
        seconds=blank(Seconds),
        versions=Versions(
            sparkscore=version_or_none("sparkscore"),
            spark=version_or_none("pyspark"),
            python=version_of_python(),
            delta=version_or_none("delta-spark"),
        ),
        error=None,
    )


def blank(part: type[_PartT], *without: str) -> _PartT:
    """Return a part of the run record with its fields explicitly set to their defaults.

    Unset fields would be missing in ``record.json``.

    Args:
        part: the class of the part.
        without: names of the fields to leave unset.
    """
    fields = {name: field for name, field in part.model_fields.items() if name not in without}
    return part.model_validate({name: field.get_default(call_default_factory=True) for name, field in fields.items()})


def end_record(record: RunRecord, state: str, error: BaseException | None = None) -> RunRecord:
    """Return a copy of a run's record with its final state, its error, if any, and the current time as its end.

    Secrets in the error message are masked.
    """
    return record.noting(state=state, ended_at=_now(), error=None if error is None else _describe_error(error))


def _describe_error(error: BaseException) -> RecordedError:
    return RecordedError(code=code_of(error), message=redact(message_of(error)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
