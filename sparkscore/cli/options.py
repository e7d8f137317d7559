"""Define the options and arguments that several commands share. Runs on the driver."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

RunId: TypeAlias = Annotated[str, typer.Argument(metavar="RUN_ID", help="Id of the run, as 'runs list' prints it.")]
Json: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--json", rich_help_panel="Answer", help="Print one JSON object on stdout, also if the command fails."
    ),
]
Queries: TypeAlias = Annotated[
    bool, typer.Option("--queries", rich_help_panel="Run", help="List the statements of SQL instead.")
]
Runs: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--runs",
        metavar="DIR",
        rich_help_panel="Run",
        help="Folder of run records and logs (default: $SPARKSCORE_RUNS, or ./sparkscore-runs).",
    ),
]
Assignments: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        rich_help_panel="Run",
        help="Set any key of the deployment by its dotted name; the value is YAML. Repeatable.",
    ),
]
Master: TypeAlias = Annotated[
    str | None,
    typer.Option("--master", metavar="URL", rich_help_panel="Spark", help="Spark's master (default: local[*,4])."),
]
Remote: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--remote",
        metavar="URL",
        rich_help_panel="Spark",
        help="Use a Spark Connect server, for example sc://localhost:15002 (default: $SPARK_REMOTE, if it is set).",
    ),
]
SparkConf: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--spark-conf", metavar="KEY=VALUE", rich_help_panel="Spark", help="Set a Spark property. Repeatable."
    ),
]
