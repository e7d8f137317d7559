"""Define the sections of a deployment file, with descriptions for the JSON schema and the docs. Runs on the driver."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sparkscore.config.field_types import (
    Arguments,
    Ddl,
    FileSize,
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
    """The model to score with. It may also be written as a string, which is the model's path."""

    path: Text = Field(
        description="The model: a file or folder, relative to the deployment file, or a reference that MLflow resolves "
        "(models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH). An azureml: reference needs --set model.path=PATH."
    )
    name: Text | None = Field(default=None, description="Name of the model; in each row of the result.")
    version: Written | None = Field(default=None, description="Version of the model; in each row of the result.")
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-fA-F]{64}$",
        description="SHA-256 digest that the model must have; otherwise the run is refused.",
    )
    framework: Text | None = Field(
        default=None,
        description="Library that saved the model, if the file does not tell: sklearn, xgboost, lightgbm, onnx or "
        "mlflow. Only recorded if there is a scoring script.",
    )
    predict_fn: Names = Field(
        default=(),
        description="Method of the model that is called instead of predict, for example predict_proba. With a list, "
        "each method becomes a column with its name.",
    )
    params: dict[str, Any] = Field(
        default_factory=dict, description="Parameters of the model's predict, {name: value}."
    )
    inputs: dict[str, Names] = Field(
        default_factory=dict,
        description="Input columns for each input of the model, in order, if the names do not match: {X: [age, bmi]}.",
    )
    round_inputs: bool = Field(
        default=False,
        description="Whether numbers may be rounded to the nearest number of the model's type, such as doubles for a "
        "model that takes floats, or bigints for one that takes doubles.",
    )
    providers: Names = Field(
        default=(),
        description="Execution providers of ONNX Runtime, the preferred first; CPUExecutionProvider when absent.",
    )
    session_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Session options of ONNX Runtime, {name: value}. By default, one thread for each core of a task.",
    )
    type: Text | None = Field(default=None, description="Azure's type of model (custom_model, mlflow_model); recorded.")
    description: str | None = Field(default=None, description="Description of the model; recorded.")
    tags: Recorded | None = Field(default=None, description="Azure's tags of the model; recorded.")
    properties: Recorded | None = Field(default=None, description="Azure's properties of the model; recorded.")
    flavors: Recorded | None = Field(default=None, description="Azure's flavors of the model; recorded.")
    stage: Text | None = Field(default=None, description="Azure's stage of the model; recorded.")
    id: Text | None = Field(default=None, description="Azure's identifier of the model; recorded.")
    datastore: Text | None = Field(default=None, description="Azure's datastore of the model; recorded.")
    job_name: Text | None = Field(default=None, description="Azure's job that created the model; recorded.")
    azure_schema: Text | None = Field(default=None, alias="$schema", description="Azure's schema of models; recorded.")


class CodeConfiguration(Section):
    """The scoring script, a Python file with init() and run(mini_batch)."""

    code: Text = Field(
        default=".",
        description="Folder of the scoring script and of the files that it needs, relative to the deployment file; the "
        "deployment file's folder when absent.",
    )
    scoring_script: Text = Field(description="The Python file in that folder that has init() and run(mini_batch).")
    arguments: Arguments = Field(
        default=(),
        description="Arguments for the script, in sys.argv: a list, or one text that is split like a shell command.",
    )


class Environment(Section):
    """Azure's package environment. Only its conda file, a list of packages, has an effect; the rest is recorded."""

    reference: Text | None = Field(
        default=None, description="Reference to a registered environment, if it is written as a text."
    )
    azure_schema: Text | None = Field(
        default=None, alias="$schema", description="Azure's schema of environments; recorded."
    )
    id: Text | None = Field(default=None, description="Azure's identifier of the environment; recorded.")
    name: Text | None = Field(default=None, description="Name of the environment; recorded.")
    version: Written | None = Field(default=None, description="Version of the environment; recorded.")
    description: str | None = Field(default=None, description="Description of the environment; recorded.")
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
    """The machines on which Azure would run the job."""

    instance_count: int | None = Field(
        default=None, ge=1, le=MAX_INT, description="Number of machines; not applied yet."
    )
    max_instance_count: int | None = Field(
        default=None, ge=1, le=MAX_INT, description="Largest number of machines; recorded."
    )
    instance_type: Any = Field(default=None, description="Type of the machines; recorded.")
    locations: Any = Field(default=None, description="Locations of the machines; recorded.")
    shm_size: Text | None = Field(default=None, description="Shared memory of the container; recorded.")
    docker_args: Any = Field(default=None, description="Arguments of the container; recorded.")
    properties: Recorded | None = Field(default=None, description="Further properties of the machines; recorded.")


class RetrySettings(Section):
    """How failed mini-batches are retried."""

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
    """How the input is split, and what happens on failure. Each key may also be at the top level of the file."""

    mini_batch_size: Size | None = Field(
        default=None,
        description="Size of the mini-batch for one call of run(): a number of items (files or rows), or bytes with a "
        "unit (1MB). When absent: 10 files; 10,000 rows, or 1 MB of rows in a file with Azure's $schema. In such a "
        "file without a scoring script, the model gets each file in one call.",
    )
    error_threshold: int = Field(
        default=0,
        ge=-1,
        le=MAX_INT,
        description="Number of failed items that a run tolerates; -1 tolerates all. -1 when absent in a file with "
        "Azure's $schema.",
    )
    mini_batch_error_threshold: int = Field(
        default=-1,
        ge=-1,
        le=MAX_INT,
        description="Number of mini-batches with failed items that a run tolerates; -1 tolerates all.",
    )
    allowed_failed_percent: float | None = Field(
        default=None, ge=0, le=100, description="Percentage of mini-batches that may have failed items."
    )
    retry_settings: RetrySettings = Field(
        default_factory=RetrySettings, description="How a failed mini-batch is tried again."
    )
    output_action: Literal["append_row", "summary_only"] = Field(
        default="append_row",
        description="append_row: the elements that run() returns become the rows of one table. summary_only: no table.",
    )
    output_file_name: Text | None = Field(default=None, description="Azure's name of the output file; recorded.")
    logging_level: LoggingLevel = Field(default="info", description="How much the run logs.")
    max_concurrency_per_instance: int | None = Field(
        default=None,
        ge=1,
        le=MAX_INT,
        description="Largest number of concurrent run() calls on one machine; one for each task slot when absent.",
    )


class Input(Section):
    """The input to score."""

    format: Literal["files", "parquet", "csv", "json", "orc", "avro", "delta", "table", "query"] | None = Field(
        default=None,
        description="files: run() gets a list of paths. Other formats: it gets a pandas DataFrame. When absent: files "
        "if the deployment has Azure's $schema and a script; otherwise delta if there is a _delta_log folder, or the "
        "format of the files' extension.",
    )
    location: Names = Field(
        default=(),
        description="Folder, glob or file, or a list of these, relative to the deployment file. A Delta table may "
        "also be a URI that Spark can read, and Parquet files may be in an S3 store (s3a://).",
    )
    version: int | None = Field(
        default=None, ge=0, le=2**63 - 1, description="Version of the Delta table; the newest when absent."
    )
    columns: NameList | None = Field(default=None, description="The columns that are read; all when absent.")
    schema_ddl: InputDdl | None = Field(
        default=None,
        alias="schema",
        description="The columns to read from CSV, JSON or Parquet files, with their types in Spark's DDL: "
        "'id bigint, x double'. A value that the type cannot hold exactly is an error.",
    )
    options: dict[str, Written] = Field(
        default_factory=dict,
        description="Options of Spark's reader, for example {header: true, sep: ';'}. Times without a zone are in UTC "
        "unless timeZone is set, for example {timeZone: Europe/Berlin}.",
    )
    dtypes: Literal["numpy", "arrow"] = Field(
        default="numpy",
        description="Types of the DataFrame for run(): NumPy's, or Arrow's, which keep integers with missing values.",
    )
    nulls: Literal["none", "nan"] = Field(
        default="none",
        description="A missing text or boolean in that DataFrame: None, or NaN as from pandas.read_csv.",
    )
    reader: Literal["auto", "spark", "worker"] = Field(
        default="auto",
        description="Who reads the rows. worker: the workers read the files themselves, which is faster, or the run is "
        "refused. spark: Spark's reader. auto: the workers if they read the input exactly as Spark does, else Spark.",
    )


class Output(Section):
    """The table to which the result is written."""

    format: Literal["delta", "parquet"] = Field(default="delta", description="Format of the table.")
    location: Text | None = Field(default=None, description="Folder of the table; relative to the deployment file.")
    mode: Literal["append", "overwrite", "error"] = Field(
        default="error", description="If the output exists: append rows, overwrite the rows, or raise an error."
    )
    replace: Literal["own", "foreign"] = Field(
        default="own",
        description="The files that mode overwrite may replace in a folder of Parquet files. own: files that earlier "
        "runs published. foreign: also other table files, which are moved into a folder '_replaced_by_RUN_ID' there.",
    )
    partition_by: Names = Field(default=(), description="Partition column or columns of the table.")
    schema_ddl: Ddl | None = Field(
        default=None,
        alias="schema",
        description="Columns and types of the values that run() returns, in Spark's DDL: 'label string, score double'. "
        "Enforced exactly; inferred from the first mini-batch when absent.",
    )
    carry: NameList | None = Field(
        default=None,
        description="Input columns that are copied into the result. When absent: all if run() returns a list, none if "
        "it returns a DataFrame.",
    )
    stage: Text | None = Field(
        default=None, description="Folder for rows that are not published yet; inside the output when absent."
    )
    writer: Literal["auto", "spark", "worker"] = Field(
        default="auto",
        description="Writer of a Delta table's files. worker: the files that the workers wrote become the table's. "
        "spark: Spark writes their rows again. auto: worker where that is exact, otherwise spark; the record says why.",
    )
    target_file_size: FileSize | None = Field(
        default=None,
        description="About the size of the table's files, with a unit (128MB): smaller ones of the same partition are "
        "joined, and larger ones are not written. When absent, files are joined only if there are many small ones.",
    )


class Python(Section):
    """The Python environment of Spark's workers."""

    path: Text | None = Field(default=None, description="Python interpreter of the workers, 3.11 or later.")
    archive: Text | None = Field(default=None, description="Packed environment that is sent to the workers.")
    requirements: Text | None = Field(
        default=None, description="Requirements file that the workers' packages must satisfy."
    )
    check: Literal["warn", "strict"] = Field(
        default="warn", description="If packages differ from the requirements: warn, or refuse the run."
    )


class SqlArgument(Section):
    """An argument of the SQL function."""

    comment: str | None = Field(default=None, description="What the argument is; in the function's description.")
    default: Any = Field(
        default=None,
        description="Value of the argument if a call leaves it out, also null; without it, each call must give one.",
    )

    @property
    def has_default(self) -> bool:
        """Whether the deployment gives a default. It may be null."""
        return "default" in self.model_fields_set


class Sql(Section):
    """The SQL function that `register_function` makes of the deployment. Jobs ignore it."""

    comment: str | None = Field(default=None, description="What the function is for; in its description.")
    arguments: dict[str, SqlArgument] = Field(
        default_factory=dict, description="Comments and defaults of arguments, {bmi: {comment: kg/m2, default: 25.0}}."
    )
    on_error: Literal["column", "raise"] = Field(
        default="column",
        description="column, the default: a row that fails has NULLs and a text in its column error. raise: it stops "
        "the query.",
    )
    deterministic: bool = Field(
        default=True,
        description="false: the same row may get another result, for example from a script that draws random numbers. "
        "Spark then refuses the function in aggregates, joins and lateral subqueries. true when absent.",
    )
