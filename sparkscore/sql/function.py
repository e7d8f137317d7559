"""Describe an SQL function before any session knows it: its name, arguments and results. Runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.run.prepare import PreparedRun, prepare
from sparkscore.sql.describe import description, example, statement
from sparkscore.sql.names import DESCRIBE, STRUCT, TABLE, check_name, name_of_function
from sparkscore.sql.signature import STATE, arguments_of, is_of_files, predictions_of
from sparkscore.worker.sql_arguments import Argument
from sparkscore.worker.sql_call import ERROR, VERSION

_DEPLOYMENTS = (".yml", ".yaml")


@dataclass(frozen=True)
class SqlFunction:
    """An SQL function that scores rows. `sparkscore.sql.register.register` makes it known to a session.

    Attributes:
        name: name of the function. Its companions are ``<name>_struct``, ``<name>_table`` and ``<name>_describe``.
        arguments: the arguments, in order.
        predictions: the columns that the scorer returns, with its own names.
        columns: the names of these columns in the struct that the function returns.
        comment: what the function is for. May be empty.
        is_deterministic: whether the same row always gets the same result.
        raises: whether a row that fails stops the query.
        prepared: the checked deployment, with the resolved model.
    """

    name: str
    arguments: tuple[Argument, ...]
    predictions: pa.Schema
    columns: tuple[str, ...]
    comment: str
    is_deterministic: bool
    raises: bool
    prepared: PreparedRun = field(repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the function and its companions have in a session."""
        return tuple(f"{self.name}{suffix}" for suffix in ("", STRUCT, DESCRIBE, TABLE))

    @property
    def model_version(self) -> str | None:
        """The version of the model, which each row of a result repeats. None if there is no model."""
        return self.prepared.lineage_model[1]

    @property
    def scorer(self) -> str:
        """What scores the rows, for the description: the scoring script or the model, with its version."""
        name, version = self.prepared.lineage_model
        model = "" if name is None else f"model {name}, version {version}"
        script = self.prepared.script
        return model if script is None else ", ".join(filter(None, [f"scoring script {script.name}", model]))

    @property
    def outputs(self) -> pa.Schema:
        """The fields of the struct that the function returns."""
        predictions = zip(self.columns, self.predictions.types, strict=True)
        return pa.schema([*predictions, (ERROR, pa.string()), (VERSION, pa.string())])

    @property
    def is_of_files(self) -> bool:
        """Whether the argument is the path of a file."""
        return is_of_files(self.prepared)

    @property
    def has_table(self) -> bool:
        """Whether there is a table function: only for a script whose rows need not be those of its input."""
        return self.prepared.script is not None and not self.prepared.deployment.output.carry

    def describe(self) -> str:
        """Return the function's description: a call, the arguments, the results, the model and its version."""
        return description(self)

    def example(self) -> str:
        """Return a call of the function in which each argument has its name."""
        return example(self)

    def statements(self) -> tuple[str, ...]:
        """Return the SQL statements that make the description known to a session, as ``<name>_describe()``."""
        return (statement(self),)


def prepare_function(name: str | None, scorer: str | Path, settings: Mapping[str, object] | None = None) -> SqlFunction:
    """Check a model or a deployment, and return the SQL function that it makes.

    Runs on the driver, without Spark. A model in MLflow's registry is downloaded, and an alias is resolved.

    Args:
        name: name of the function. If None, the deployment's or the model's name is used, with underscores for other
            characters.
        scorer: path of a deployment file, which ends in ``.yml`` or ``.yaml``; or else the path or the MLflow reference
            of a model.
        settings: deployment settings by dotted name, which override the deployment file.

    Raises:
        ConfigError: the name cannot be used, or the arguments or results of the function are not known.
        SparkscoreError: the deployment or the model cannot be used; see `sparkscore.run.prepare`.
    """
    is_file = str(scorer).lower().endswith(_DEPLOYMENTS)
    prepared = prepare(scorer, settings=settings) if is_file else prepare(None, model=scorer, settings=settings)
    _refuse_spark_models(prepared)
    chosen = name or name_of_function(prepared.deployment.name or prepared.lineage_model[0] or "")
    check_name(chosen)
    predictions, columns = predictions_of(prepared)
    sql = prepared.deployment.sql
    return SqlFunction(
        name=chosen,
        arguments=arguments_of(prepared),
        predictions=predictions,
        columns=columns,
        comment=(sql.comment if sql else None) or prepared.deployment.description or "",
        is_deterministic=sql is None or sql.deterministic,
        raises=sql is not None and sql.on_error == "raise",
        prepared=prepared,
    )


def _refuse_spark_models(prepared: PreparedRun) -> None:
    """Raise an error for a ``pyspark.ml`` pipeline, which Spark itself applies to a DataFrame."""
    if prepared.description is not None and prepared.description.model_format == "spark":
        raise ConfigError(
            code=ErrorCode.SQL_UNSUPPORTED,
            what=prepared.scorer_name,
            got="a pyspark.ml pipeline, which Spark applies to whole tables only",
            expected="a scoring script, or a model of another format",
            state=STATE,
            next_step="Score the table with a job, and query its result.",
        )
