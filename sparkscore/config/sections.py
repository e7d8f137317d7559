"""The sections of a deployment file; every description is part of the JSON schema. Runs on the driver."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sparkscore.config.field_types import (
    Arguments,
    Ddl,
    InputDdl,
    LoggingLevel,
    NameList,
    Names,
    Recorded,
    Section,
    Size,
    Text,
    Written,
)
from sparkscore.config.mini_batch_size import MAX_INT


class Model(Section):
    """The model that is scored. A text instead of a mapping is its path."""

    path: Text = Field(
        description="The model: a file or folder, relative to the deployment file, or a reference that MLflow resolves "
        "(models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH). An azureml: reference needs --set model.path=PATH."
    )
    name: Text | None = Field(default=None, description="Name of the model; written beside every prediction.")
    version: Written | None = Field(default=None, description="Version of the model; written beside every prediction.")
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-fA-F]{64}$",
        description="Digest that the model must have; the run is refused when it has another one.",
    )
    framework: Text | None = Field(
        default=None,
        description="What the model was made with, where the file does not say it: sklearn, xgboost, lightgbm, onnx or "
        "mlflow. Recorded where there is a scoring script.",
    )
    predict_fn: Names = Field(
        default=(),
        description="Method of the model that is called instead of predict, for example predict_proba; with a list "
        "each method gives a column of its name.",
    )
    params: dict[str, Any] = Field(
        default_factory=dict, description="Parameters of the model's predict, {name: value}."
    )
    inputs: dict[str, Names] = Field(
        default_factory=dict,
        description="Input columns that each input of the model gets, in their order, where the names do not say it: "
        "{X: [age, bmi]}.",
    )
    round_inputs: bool = Field(
        default=False,
        description="Whether numbers may be rounded to the nearest that the model takes: doubles for a model of "
        "floats, bigints for a model of doubles.",
    )
    providers: Names = Field(
        default=(),
        description="Execution providers of ONNX Runtime, the preferred first; CPUExecutionProvider when absent.",
    )
    session_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Session options of ONNX Runtime, {name: value}; threads are one per task core.",
    )
    type: Text | None = Field(default=None, description="Azure's kind of model (custom_model, mlflow_model); recorded.")
    description: str | None = Field(default=None, description="What the model is; recorded.")
    tags: Recorded | None = Field(default=None, description="Azure's tags of the model; recorded.")
    properties: Recorded | None = Field(default=None, description="Azure's properties of the model; recorded.")
    flavors: Recorded | None = Field(default=None, description="Azure's flavors of the model; recorded.")
    stage: Text | None = Field(default=None, description="Azure's stage of the model; recorded.")
    id: Text | None = Field(default=None, description="Azure's identifier of the model; recorded.")
    datastore: Text | None = Field(default=None, description="Azure's datastore of the model; recorded.")
    job_name: Text | None = Field(default=None, description="Azure's job that made the model; recorded.")
    azure_schema: Text | None = Field(default=None, alias="$schema", description="Azure's schema of models; recorded.")


class CodeConfiguration(Section):
    """The scoring script: a Python file with init() and run(mini_batch)."""

    code: Text = Field(
        default=".",
        description="Folder of the scoring script and the files beside it; relative to the deployment file, and "
        "the deployment file's own folder when absent.",
    )
    scoring_script: Text = Field(description="The Python file in that folder that has init() and run(mini_batch).")
    arguments: Arguments = Field(
        default=(),
        description="Arguments that the script finds in sys.argv: a list, or one text that is split as a shell does.",
    )


class Environment(Section):
    """Azure's environment of packages. The workers' packages are compared with its conda file; the rest is recorded."""

    reference: Text | None = Field(
        default=None, description="Reference to a registered environment; a text instead of keys."
    )
    azure_schema: Text | None = Field(
        default=None, alias="$schema", description="Azure's schema of environments; recorded."
    )
    id: Text | None = Field(default=None, description="Azure's identifier of the environment; recorded.")
    name: Text | None = Field(default=None, description="Name of the environment; recorded.")
    version: Written | None = Field(default=None, description="Version of the environment; recorded.")
    description: str | None = Field(default=None, description="What the environment is; recorded.")
    tags: Recorded | None = Field(default=None, description="Azure's tags of the environment; recorded.")
    properties: Recorded | None = Field(default=None, description="Azure's properties of the environment; recorded.")
    image: Text | None = Field(default=None, description="Docker image; recorded.")
    conda_file: Any = Field(
        default=None,
        description="Conda file, by path or inline. The workers' packages are compared with its pip part, "
        "and 'sparkscore env build' installs it.",
    )
    build: Recorded | None = Field(default=None, description="Docker build; recorded.")
    inference_config: Recorded | None = Field(default=None, description="Azure's routes of the image; recorded.")
    os_type: Text | None = Field(default=None, description="Operating system of the image; recorded.")
    datastore: Text | None = Field(default=None, description="Azure's datastore of the build folder; recorded.")


class Resources(Section):
    """Azure's machines of a job."""

    instance_count: int | None = Field(
        default=None, ge=1, le=MAX_INT, description="Number of machines; not applied yet."
    )
    max_instance_count: int | None = Field(
        default=None, ge=1, le=MAX_INT, description="Largest number of machines; recorded."
    )
    instance_type: Any = Field(default=None, description="Kind of machine; recorded.")
    locations: Any = Field(default=None, description="Where the machines are; recorded.")
    shm_size: Text | None = Field(default=None, description="Shared memory of the container; recorded.")
    docker_args: Any = Field(default=None, description="Arguments of the container; recorded.")
    properties: Recorded | None = Field(default=None, description="Further properties of the machines; recorded.")


class RetrySettings(Section):
    """What happens to a mini-batch that fails."""

    max_retries: int = Field(
        default=1,
        ge=0,
        le=MAX_INT,
        description="How often a failed mini-batch is tried again. 3 when absent in a file with Azure's $schema.",
    )
    timeout: int = Field(
        default=60,
        gt=0,
        le=259_200,
        description="Seconds that one call of run() may take. 30 when absent in a file with Azure's $schema.",
    )


class Settings(Section):
    """How the input is cut and what failures do. Each key may also stand at the top level, as Azure once had it."""

    mini_batch_size: Size | None = Field(
        default=None,
        description="What one call of run() gets: a number of items (files or rows), or bytes with a unit (1MB). "
        "When absent: 10 files; 10,000 rows, or 1 MB of rows in a file with Azure's $schema. Without a scoring script, "
        "that gives the model each file in one call.",
    )
    error_threshold: int = Field(
        default=0,
        ge=-1,
        le=MAX_INT,
        description="Failed items that the whole run tolerates; -1 tolerates all. -1 when absent in a file with "
        "Azure's $schema.",
    )
    mini_batch_error_threshold: int = Field(
        default=-1,
        ge=-1,
        le=MAX_INT,
        description="Mini-batches with failed items that the run tolerates; -1 tolerates all.",
    )
    allowed_failed_percent: float | None = Field(
        default=None, ge=0, le=100, description="Share of mini-batches that may have failed items, in percent."
    )
    retry_settings: RetrySettings = Field(
        default_factory=RetrySettings, description="What happens to a mini-batch that fails."
    )
    output_action: Literal["append_row", "summary_only"] = Field(
        default="append_row",
        description="append_row: what run() returns becomes the rows of one table. summary_only: no table.",
    )
    output_file_name: Text | None = Field(default=None, description="Azure's name of the output file; recorded.")
    logging_level: LoggingLevel = Field(default="info", description="How much the run logs.")
    max_concurrency_per_instance: int | None = Field(
        default=None,
        ge=1,
        le=MAX_INT,
        description="Largest number of run() calls at a time on one machine; one per task slot when absent.",
    )


class Input(Section):
    """What is scored."""

    format: Literal["files", "parquet", "csv", "json", "orc", "avro", "delta", "table", "query"] | None = Field(
        default=None,
        description="files: run() gets a list of paths; any other: a pandas DataFrame. When absent: files for a file "
        "with Azure's $schema and a script; otherwise delta where a _delta_log folder is, or what the files' extension "
        "says.",
    )
    location: Names = Field(
        default=(),
        description="Folder, glob or file, or a list of them; relative to the deployment file. A Delta table may "
        "also be the URI of a store that Spark reads.",
    )
    version: int | None = Field(
        default=None, ge=0, le=2**63 - 1, description="Version of the Delta table; the newest when absent."
    )
    columns: NameList | None = Field(default=None, description="The columns that are read; all when absent.")
    schema_ddl: InputDdl | None = Field(
        default=None,
        alias="schema",
        description="The columns that are read of CSV, JSON or Parquet files, with their types in Spark's DDL: "
        "'id bigint, x double'. A value that its type does not hold exactly is refused.",
    )
    options: dict[str, Written] = Field(
        default_factory=dict,
        description="Options of Spark's reader, for example {header: true, sep: ';'}. Times without a zone are in UTC "
        "unless {timeZone: Europe/Berlin} or so says otherwise.",
    )
    dtypes: Literal["numpy", "arrow"] = Field(
        default="numpy",
        description="Types of the DataFrame that run() gets: NumPy's, or Arrow's, which keep nullable integers.",
    )
    nulls: Literal["none", "nan"] = Field(
        default="none",
        description="What a missing text or boolean is in that DataFrame: None, or NaN as pandas.read_csv has it.",
    )
    reader: Literal["auto", "spark", "worker"] = Field(default="auto", description="Who reads the input.")


class Output(Section):
    """Where the result goes."""

    format: Literal["delta", "parquet"] = Field(default="delta", description="Format of the table.")
    location: Text | None = Field(default=None, description="Folder of the table; relative to the deployment file.")
    mode: Literal["append", "overwrite", "error"] = Field(
        default="error", description="What happens when the output exists: add rows, replace it, or refuse the run."
    )
    replace: Literal["own", "foreign"] = Field(
        default="own",
        description="What overwrite may replace in a folder of Parquet files. own: what earlier runs have published; "
        "foreign: also what others have written, which is moved into a folder '_replaced_by_RUN_ID' there.",
    )
    partition_by: Names = Field(default=(), description="Column or columns that the table is partitioned by.")
    schema_ddl: Ddl | None = Field(
        default=None,
        alias="schema",
        description="Columns and types of what run() returns in Spark's DDL: 'label string, score double'. Enforced "
        "exactly; inferred from the first mini-batch when absent.",
    )
    carry: NameList | None = Field(
        default=None,
        description="Input columns that stand beside the predictions. When absent: all for list results, none for "
        "DataFrames.",
    )
    stage: Text | None = Field(
        default=None, description="Where workers write before the result is published; inside the output when absent."
    )
    writer: Literal["auto", "spark", "worker"] = Field(default="auto", description="Who writes the table.")


class Python(Section):
    """The Python of Spark's workers."""

    path: Text | None = Field(default=None, description="Python interpreter of the workers, 3.11 or later.")
    archive: Text | None = Field(default=None, description="Packed environment that is sent to the workers.")
    requirements: Text | None = Field(
        default=None, description="Requirements file that the workers' packages must meet."
    )
    check: Literal["warn", "strict"] = Field(
        default="warn", description="Whether packages that differ from the requirements warn or refuse the run."
    )
