"""`sparkscore sql-server`: serve functions to programs that speak JDBC or ODBC. Runs on the driver.

As in `sparkscore.cli.commands`, the command imports its implementation only when it runs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sparkscore.cli.interrupts import InterruptedRunError, Interrupts, interruptible
from sparkscore.cli.manual import ENVIRONMENT
from sparkscore.cli.options import Assignments, Master, Runs, SparkConf
from sparkscore.cli.reply import FAILED, OK, stdout_for_results, to_stdout
from sparkscore.cli.spark_options import SparkOptions
from sparkscore.record.listing import runs_folder

if TYPE_CHECKING:
    from sparkscore.sql.function import SqlFunction
    from sparkscore.sql.server import ServerOptions

logger = logging.getLogger("sparkscore")

_PANEL: Final = "Server"
EPILOG: Final = (
    """
Examples:
  sparkscore sql-server heart.yml --trust-clients
  sparkscore sql-server conf/deployments/*.yml --tables tables.sql --port 10001 --trust-clients

Exit codes:
  0  the server was stopped by Ctrl-C or SIGTERM
  1  Spark ended by itself
  2  the request is wrong
"""
    + ENVIRONMENT
)


def sql_server(  # noqa: PLR0913 - an option each
    scorers: Annotated[
        list[str], typer.Argument(metavar="DEPLOYMENT.yml...", help="Deployments, or references of models.")
    ],
    *,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", rich_help_panel=_PANEL, help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, rich_help_panel=_PANEL, help="Port; 0 takes a free one.")
    ] = 10000,
    tables: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.sql",
            rich_help_panel=_PANEL,
            help="Statements to run first, such as CREATE TABLE … LOCATION …",
        ),
    ] = None,
    seconds: Annotated[
        int,
        typer.Option("--timeout", metavar="SECONDS", min=1, rich_help_panel=_PANEL, help="Longest statement."),
    ] = 3600,
    trusts_clients: Annotated[
        bool,
        typer.Option(
            "--trust-clients",
            rich_help_panel=_PANEL,
            help="Start, although clients are not kept from all: see 'What the server cannot prevent' in docs/sql.md.",
        ),
    ] = False,
    assignments: Assignments = None,
    runs: Runs = None,
    master: Master = None,
    spark_conf: SparkConf = None,
) -> int:
    """Serve each deployment as a function to clients of Spark's Thrift server: JDBC, ODBC, beeline, PyHive.

    Clients run queries with the functions, each in a session of its own. They cannot write, add code or read files by
    path. Any user of this machine can connect, unless the Hive configuration has an authentication. Ctrl-C ends the
    server.
    """
    from sparkscore.sql.server import ServerOptions

    options = ServerOptions(host, port, seconds, trusts_clients)
    request = (options, SparkOptions(master, spark_conf or ()), runs_folder(runs), tables)
    with interruptible() as interrupts:
        return serve(*request, (scorers, assignments or ()), interrupts)


def serve(
    options: ServerOptions,
    spark: SparkOptions,
    runs: Path,
    tables: Path | None,
    functions: tuple[Sequence[str], Sequence[str]],
    interrupts: Interrupts,
) -> int:
    """Serve functions until a signal ends the server.

    Args:
        options: the options of the server.
        spark: how to start Spark.
        runs: the runs folder.
        tables: a file with statements to run first.
        functions: deployments or models, and settings for all of them.
        interrupts: the signal handlers.

    Returns:
        the exit code: 0 after Ctrl-C or SIGTERM.

    Raises:
        SparkscoreError: the request is wrong, or Spark or the server does not start.
        InterruptedRunError: a signal came before the server listened.
    """
    from sparkscore.cli.run_command import check_spark_options, parse_spark_conf
    from sparkscore.cli.sql_command import prepare_functions
    from sparkscore.removal import temporary_folder
    from sparkscore.sql.server import check_options, server_settings

    check_spark_options(spark)
    check_options(options)
    with stdout_for_results():
        from sparkscore.sql.statement import read_statements

        first = [] if tables is None else read_statements(tables)
        prepared = prepare_functions(*functions)
    runs.mkdir(parents=True, exist_ok=True)
    with temporary_folder("sparkscore-server-") as folder:
        settings = server_settings(options, folder, parse_spark_conf(spark.spark_conf))
        own = SparkOptions(spark.master, [f"{key}={value}" for key, value in settings.items()])
        return _serve(options, own, runs, first, prepared, interrupts)


def _serve(
    options: ServerOptions,
    spark: SparkOptions,
    runs: Path,
    first: Sequence[str],
    functions: Sequence[SqlFunction],
    interrupts: Interrupts,
) -> int:
    from sparkscore.cli.run_command import spark_session

    is_up = False
    try:
        with spark_session(spark, runs / "spark.log", interrupts) as session:
            with stdout_for_results():
                from sparkscore.spark.row_counts import counter_of
                from sparkscore.sql.query import run_statement
                from sparkscore.sql.register import register
                from sparkscore.sql.serving import serving

                for statement in first:
                    run_statement(session, statement)
                counter = counter_of(session)
                for function in functions:
                    register(session, function, counter)
            with serving(session, functions, counter, options, runs) as (watch, url):
                is_up = True
                to_stdout(url)
                logger.info("clients can connect; Ctrl-C ends the server")
                watch.ended.wait()
    except InterruptedRunError:
        if not is_up:
            raise
        logger.info("the server has stopped")
        return OK
    return FAILED
