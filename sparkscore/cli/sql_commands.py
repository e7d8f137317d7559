"""Define the commands of ``sparkscore sql`` and their options. Runs on the driver.

As in `sparkscore.cli.commands`, each command imports its implementation only when it runs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from sparkscore.cli.manual import ENVIRONMENT, ManualCommand, ManualGroup
from sparkscore.cli.options import Assignments, Master, Remote, Runs, SparkConf
from sparkscore.cli.spark_options import SparkOptions

_EXAMPLES: Final = """
Examples:
  sparkscore sql "SELECT predict_heart(63, 28.5).risk" heart.yml
  sparkscore sql risks.sql conf/deployments/*.yml --format csv > risks.csv
  sparkscore sql 'SELECT * FROM delta.`/data/risks` WHERE risk > 0.5' --max-rows 20
  sparkscore sql describe heart.yml
  sparkscore sql unity-catalog heart.yml --name main.models.predict_heart > heart.sql
"""
_EXIT_CODES: Final = """
Exit codes:
  0    the statement was run, and its result is on stdout
  1    the query failed
  2    the request is wrong, or Spark does not understand the statement
  130  interrupted by Ctrl-C, 143 by SIGTERM
"""


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class StatementGroup(ManualGroup):
    """A group of commands that takes a statement in place of a command, and runs it with the command ``query``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``query`` before arguments that begin with neither a command nor ``--help``."""
        is_other = not args or args[0] in self.commands or args[0] == "--help"
        return super().parse_args(ctx, args if is_other else ["query", *args])


sql_app = typer.Typer(
    cls=StatementGroup,
    rich_markup_mode=None,
    epilog=_EXAMPLES
    + "\nOptions of a query: 'sparkscore sql query --help'. The word 'query' itself may be left out.\n",
)

Scorers = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[DEPLOYMENT.yml]...",
        show_default=False,
        help="Deployments, or references of models (models:/NAME@ALIAS); each is a function in the statement.",
    ),
]


@sql_app.command("query", cls=ManualCommand, epilog=_EXAMPLES + _EXIT_CODES + ENVIRONMENT)
def query(  # noqa: PLR0913 - an option each
    statement: Annotated[
        str, typer.Argument(metavar="STATEMENT", help="One statement, a file that ends in .sql, or - for stdin.")
    ],
    scorers: Scorers = None,
    *,
    shown_as: Annotated[
        Format,
        typer.Option(
            "--format",
            metavar="FORMAT",
            rich_help_panel="Answer",
            help="Format: table, csv or json (a line for each row).",
        ),
    ] = Format.TABLE,
    max_rows: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, rich_help_panel="Answer", help="Print at most N rows, and say if there are more."
        ),
    ] = None,
    assignments: Assignments = None,
    runs: Runs = None,
    master: Master = None,
    spark_conf: SparkConf = None,
    remote: Remote = None,
) -> int:
    """Run one SQL statement in which each deployment is a function, and print the result.

    A function has the name of its deployment, with underscores for other characters: heart-model is heart_model. Tables
    are those of the session's catalog, and files by path: parquet.`PATH`, and delta.`PATH` with a whole path. All rows
    are printed, and no value is shortened or rounded.
    """
    from sparkscore.cli.sql_command import Query, run_query

    spark = SparkOptions(master, spark_conf or (), remote)
    return run_query(Query(statement, scorers or (), assignments or (), str(shown_as), max_rows, runs, spark))


@sql_app.command("describe", cls=ManualCommand)
def describe(
    scorers: Annotated[
        list[str],
        typer.Argument(metavar="DEPLOYMENT.yml...", help="Deployments, or references of models."),
    ],
    *,
    assignments: Assignments = None,
) -> int:
    """Show the arguments, the results and the model of functions. Spark is not started."""
    from sparkscore.cli.sql_command import describe_functions

    return describe_functions(scorers, assignments or ())


@sql_app.command("unity-catalog", cls=ManualCommand)
def unity_catalog(
    scorer: Annotated[
        str, typer.Argument(metavar="DEPLOYMENT.yml", help="A deployment without a script, or the path of a model.")
    ],
    *,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel="Answer",
            help="Name of the function, such as main.models.predict_heart (default: that of the deployment).",
        ),
    ] = None,
    assignments: Assignments = None,
) -> int:
    """Print a CREATE FUNCTION statement for Unity Catalog of Databricks, which contains the model.

    NOT TRIED on Databricks. The model must be one file of scikit-learn, XGBoost, LightGBM or ONNX. Spark is not
    started.
    """
    from sparkscore.cli.sql_command import print_statement

    return print_statement(scorer, name, assignments or ())
