"""`sparkscore sql`: run one statement, print its result, and describe functions. Runs on the driver."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sparkscore.cli.interrupts import InterruptedRunError, Interrupts, interruptible
from sparkscore.cli.reply import FAILED, OK, print_error, print_text, stdout_for_results, to_stdout, write_traceback
from sparkscore.cli.run_command import check_spark_options, spark_session
from sparkscore.cli.spark_options import SparkOptions
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SparkscoreError, message_of
from sparkscore.record.listing import runs_folder

if TYPE_CHECKING:
    from sparkscore.sql.function import SqlFunction
    from sparkscore.sql.query import Answer

logger = logging.getLogger("sparkscore")


@dataclass(frozen=True)
class Query:
    """The arguments of `sparkscore sql`.

    Attributes:
        statement: the statement, the path of a file with it, or ``-`` for standard input.
        scorers: deployments or models, each of which is a function.
        assignments: the ``key=value`` pairs of ``--set``, for all deployments.
        shown_as: ``table``, ``csv`` or ``json``.
        max_rows: the largest number of rows to print, or None for all.
        runs: path of the runs folder, or None for the default folder.
        spark: how to start Spark or which server to use.
    """

    statement: str
    scorers: Sequence[str] = ()
    assignments: Sequence[str] = ()
    shown_as: str = "table"
    max_rows: int | None = None
    runs: Path | None = None
    spark: SparkOptions = field(default_factory=SparkOptions)


def run_query(query: Query) -> int:
    """Run a statement, and print its result on stdout.

    Returns:
        the exit code: 0, or that of the error, which is printed.
    """
    with interruptible() as interrupts:
        try:
            _print(query, _answer(query, interrupts))
        except (InterruptedRunError, SparkscoreError) as error:
            return _reply_failure(query, interrupts.behind(error))
        except Exception as error:
            # A signal cancels the Spark jobs, which may cause an exception of Spark or of its connection.
            if interrupts.received is None:
                raise
            return _reply_failure(query, interrupts.behind(error))
    return OK


def _reply_failure(query: Query, error: BaseException) -> int:
    # Spark's message may contain values of rows, so it is for the log only.
    is_of_spark = not isinstance(error, (ConfigError, InterruptedRunError)) and error.__cause__ is not None
    log = write_traceback(error, runs_folder(query.runs)) if is_of_spark else None
    print_error(message_of(error), log_file=log)
    return int(getattr(error, "exit_code", FAILED))


def _answer(query: Query, interrupts: Interrupts) -> Answer:
    check_spark_options(query.spark)
    with stdout_for_results():
        from sparkscore.sql.statement import read_statement

        statement = read_statement(query.statement)
        functions = prepare_functions(query.scorers, query.assignments)
    log_file = runs_folder(query.runs) / "spark.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with spark_session(query.spark, log_file, interrupts) as session, stdout_for_results():
        from sparkscore.spark.row_counts import counter_of
        from sparkscore.sql.query import run_statement
        from sparkscore.sql.recording import recorded_statement
        from sparkscore.sql.register import register

        counter = counter_of(session)
        for function in functions:
            register(session, function, counter)
        has_unique_names = query.shown_as == "json"
        with recorded_statement(log_file.parent, "shell", functions, counter) as note:
            answer = run_statement(session, statement, max_rows=query.max_rows, has_unique_names=has_unique_names)
            note.rows = answer.table.num_rows if answer.table.num_columns else None
        return answer


def _print(query: Query, answer: Answer) -> None:
    from sparkscore.sql.formats import FORMATS

    for text in FORMATS[query.shown_as](answer.table):
        print_text(text)
        # `head` and pagers close the pipe when they have enough.
        if getattr(sys.stdout, "lost", ""):
            return
    if answer.is_cut:
        logger.warning("only the first %s rows are printed; there are more", f"{answer.table.num_rows:,}")


def describe_functions(scorers: Sequence[str], assignments: Sequence[str]) -> int:
    """Print the descriptions of functions, with an empty line between them.

    Returns:
        the exit code 0.

    Raises:
        SparkscoreError: a deployment or a model cannot be used.
    """
    with stdout_for_results():
        functions = prepare_functions(scorers, assignments)
    to_stdout(*"\n\n".join(function.describe() for function in functions).split("\n"))
    return OK


def print_statement(scorer: str, name: str | None, assignments: Sequence[str]) -> int:
    """Print the statement that makes a model a function in Unity Catalog.

    Returns:
        the exit code 0.

    Raises:
        SparkscoreError: the model cannot be used, or not in a statement.
    """
    with stdout_for_results():
        from sparkscore.sql.unity_catalog import create_statement

        (function,) = prepare_functions([scorer], assignments)
        statement = create_statement(function, name)
    print_text(f"{statement}\n")
    return OK


def prepare_functions(scorers: Sequence[str], assignments: Sequence[str]) -> list[SqlFunction]:
    """Check deployments and models, and return their functions.

    Args:
        scorers: paths of deployments, or paths or MLflow references of models.
        assignments: ``key=value`` pairs of settings for all of them.

    Raises:
        ConfigError: two functions have the same name, or a setting is wrong.
        SparkscoreError: a deployment or a model cannot be used.
    """
    from sparkscore.config import parse_assignment
    from sparkscore.sql.function import prepare_function

    settings = dict(parse_assignment(assignment) for assignment in assignments)
    functions: dict[str, tuple[str, SqlFunction]] = {}
    for scorer in scorers:
        function = prepare_function(None, scorer, settings)
        for name in function.names:
            if (other := functions.get(name.lower())) is not None:
                raise _same_name(name, other[0], scorer)
        functions |= {name.lower(): (scorer, function) for name in function.names}
    return list({id(function): function for _, function in functions.values()}.values())


def _same_name(name: str, one: str, other: str) -> ConfigError:
    return ConfigError(
        code=ErrorCode.SQL_NAME_TAKEN,
        what=f"function name '{name}'",
        got=f"'{one}' and '{other}'",
        expected="one deployment for each name",
        state="The query was not run.",
        next_step="Leave one out, or change the line 'name:' in its deployment.",
    )
