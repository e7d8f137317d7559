"""Define the commands of the ``sparkscore`` program and their options. Runs on the driver.

Each command imports its implementation only when it runs, so that ``--help`` does not import PySpark or pandas.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sparkscore.cli.env_commands import env_app
from sparkscore.cli.manual import ENVIRONMENT, EXIT_CODES, ManualCommand, ManualGroup
from sparkscore.cli.options import Assignments, Json, Master, Queries, Remote, RunId, Runs, SparkConf
from sparkscore.cli.reply import OK, print_json, to_stdout
from sparkscore.cli.spark_options import SparkOptions
from sparkscore.cli.sql_commands import sql_app
from sparkscore.cli.sql_server_command import EPILOG, sql_server

if TYPE_CHECKING:
    from sparkscore.run import RunOptions

_RUN_EXAMPLES: Final = """
Examples:
  sparkscore run deployment.yml --input photos/ --output predictions
  sparkscore run --model models:/heart@champion --input patients.csv --output risks
  sparkscore run deployment.yml --input 'sales/*.csv' --output out --mode append
  sparkscore run deployment.yml --set settings.mini_batch_size=100 --json
  sparkscore run --only-failed run-20260102-030405-a1b2c3
  sparkscore run deployment.yml --master spark://host:7077 --spark-conf spark.executor.memory=8g
  sparkscore run deployment.yml --remote sc://localhost:15002
"""

app = typer.Typer(
    cls=ManualGroup,
    add_completion=False,
    rich_markup_mode=None,
    epilog="""
Start here:
  sparkscore new first                 write an example: a deployment, a script and some input
  sparkscore run first/deployment.yml  score it

'sparkscore COMMAND --help' shows the manual of a command. Results go to stdout, messages to stderr.
""",
)
runs_app = typer.Typer(cls=ManualGroup, rich_markup_mode=None)
app.add_typer(runs_app, name="runs", help="List runs, or show the record of one run.")
app.add_typer(
    sql_app, name="sql", help="Run one SQL statement in which deployments are functions, and print the result."
)
app.command("sql-server", cls=ManualCommand, epilog=EPILOG)(sql_server)
models_app = typer.Typer(cls=ManualGroup, rich_markup_mode=None)
app.add_typer(models_app, name="models", help="Show a model's type, inputs, outputs and requirements.")
app.add_typer(env_app, name="env", help="Build a Python environment for the workers, or make Spark start faster.")


@app.callback(invoke_without_command=True)
def sparkscore(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> int:
    """Score files and tables with your model on Apache Spark, and write the result to one Delta or Parquet table.

    A deployment file names a model, a scoring script with run(mini_batch), or both. sparkscore splits the input into
    mini-batches, scores them on Spark's workers, and publishes the whole result at once. If a run fails, nothing is
    published.
    """
    if version:
        from sparkscore import __version__

        to_stdout(__version__)
    elif context.invoked_subcommand is None:
        to_stdout(*context.get_help().split("\n"))
    return OK


@app.command(cls=ManualCommand, epilog=_RUN_EXAMPLES + EXIT_CODES + ENVIRONMENT)
def run(  # noqa: PLR0913 - an option each
    deployment: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DEPLOYMENT.yml]",
            show_default=False,
            help="Deployment file; optional with --model or --only-failed.",
        ),
    ] = None,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="REFERENCE",
            rich_help_panel="Input",
            help="A model file or folder, or an MLflow URI: models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH.",
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="LOCATION", rich_help_panel="Input", help="Folder, glob, file or URI. Repeatable."
        ),
    ] = None,
    input_format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", rich_help_panel="Input", help="Format: files, parquet, csv, json or delta."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="LOCATION", rich_help_panel="Output", help="Path or URI of the table to write."),
    ] = None,
    output_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", rich_help_panel="Output", help="Format: delta or parquet.")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="MODE",
            rich_help_panel="Output",
            help="What to do if the table exists: append, overwrite, or error (refuse the run).",
        ),
    ] = None,
    partition_by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", rich_help_panel="Output", help="Column by which the table is partitioned. Repeatable."
        ),
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option(metavar="ID", rich_help_panel="Run", help="Id of the run (default: made from the current time)."),
    ] = None,
    only_failed: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_ID",
            rich_help_panel="Input",
            help="Score only the items that failed in that run, and add them to its result.",
        ),
    ] = None,
    runs: Runs = None,
    assignments: Assignments = None,
    master: Master = None,
    spark_conf: SparkConf = None,
    remote: Remote = None,
    as_json: Json = False,
) -> int:
    """Score an input with a deployment or a model, and publish one result.

    The request is checked before Spark starts. Then the files or the version of the input are fixed, and the input is
    split into mini-batches and scored on Spark's workers. If the run succeeds, the whole result is published at once,
    or held if the deployment says 'publish: audit'. Options override the deployment file. Paths in options are relative
    to the working directory, and paths in the file are relative to the file. The run record and logs are written to
    the --runs folder. With --only-failed but no deployment or model, the request of the earlier run is used again.
    """
    if deployment is None and model is None and only_failed is None:
        raise typer.BadParameter("DEPLOYMENT.yml, --model REFERENCE or --only-failed RUN_ID is needed")
    from sparkscore.cli.run_command import RunRequest, deferred_prepare, run_deployment

    options: RunOptions = {
        "model": model,
        "input": inputs or None,
        "output": output,
        "input_format": input_format,
        "output_format": output_format,
        "mode": mode,
        "partition_by": partition_by or None,
        "run_id": run_id,
        "runs": runs,
        "only_failed": only_failed,
    }
    asked = deferred_prepare(deployment, options, assignments or ())
    return run_deployment(RunRequest(asked, run_id, runs, SparkOptions(master, spark_conf or (), remote), as_json))


@app.command(cls=ManualCommand, epilog=EXIT_CODES + ENVIRONMENT)
def resume(
    run_id: RunId,
    *,
    runs: Runs = None,
    master: Master = None,
    spark_conf: SparkConf = None,
    remote: Remote = None,
    as_json: Json = False,
) -> int:
    """Resume a run that was interrupted or killed, or that could not be published.

    The run's request is executed again under the same run id. Finished parts are not scored again, and published rows
    are not published again. A run that has staged rows cannot be resumed if its input, script, model or configuration
    has changed. Use the same --master and --spark-conf, or --remote, as for 'sparkscore run'.
    """
    from sparkscore.cli.run_command import RunRequest, deferred_prepare_again, run_deployment

    spark = SparkOptions(master, spark_conf or (), remote)
    return run_deployment(RunRequest(deferred_prepare_again(run_id, runs), run_id, runs, spark, as_json))


@app.command(cls=ManualCommand, epilog=EXIT_CODES + ENVIRONMENT)
def publish(  # noqa: PLR0913 - an option each
    run_id: RunId,
    *,
    is_discarded: Annotated[
        bool,
        typer.Option("--discard", rich_help_panel="Run", help="Remove the staged rows instead of publishing them."),
    ] = False,
    runs: Runs = None,
    master: Master = None,
    spark_conf: SparkConf = None,
    remote: Remote = None,
    as_json: Json = False,
) -> int:
    """Publish a run that is held ('publish: audit'), or whose publishing failed. Nothing is scored.

    The input and the model are no longer needed. To check the staged rows first, look in the folder given in the run
    record. The quarantine is published together with the rows.
    """
    from sparkscore.cli.publish_command import discard_run, publish_run

    spark = SparkOptions(master, spark_conf or (), remote)
    if is_discarded:
        return discard_run(run_id, runs, spark, as_json=as_json)
    return publish_run(run_id, runs, spark, as_json=as_json)


@app.command(cls=ManualCommand)
def clean(
    outputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OUTPUT]...",
            show_default=False,
            help="Locations of results (default: the outputs of all recorded runs).",
        ),
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
    runs: Runs = None,
    as_json: Json = False,
) -> int:
    """Remove the staged files of runs that stopped. Running and held runs are not touched.

    Interrupted overwrites are completed or undone. If a run is resumed after its staged files were removed, it starts
    from the beginning. Files that sparkscore did not write are kept.
    """
    from sparkscore.cli.clean_command import clean as clean_up

    return clean_up(outputs or (), runs, as_json=as_json, is_dry=dry_run)


@runs_app.command("list", cls=ManualCommand)
def runs_list(*, queries: Queries = False, runs: Runs = None, as_json: Json = False) -> int:
    """List the runs in a folder, or the statements of 'sparkscore sql' and its server, newest first."""
    from sparkscore.cli.runs_command import list_runs

    return list_runs(runs, queries=queries, as_json=as_json)


@runs_app.command("show", cls=ManualCommand)
def runs_show(
    run_id: RunId,
    *,
    runs: Runs = None,
    as_json: Json = False,
) -> int:
    """Show the record of a run: its input, model, output, counts and final state. --json prints the whole record."""
    from sparkscore.cli.runs_command import show_run

    return show_run(run_id, runs, as_json=as_json)


@models_app.command("show", cls=ManualCommand)
def models_show(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REFERENCE", help="A file or folder, or models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH."
        ),
    ],
    *,
    framework: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Library that saved a plain model file: sklearn, xgboost or lightgbm."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Show a model's files, digest, signature and requirements. No model code is run."""
    from sparkscore.cli.models_command import show_model

    return show_model(reference, framework, as_json=as_json)


@app.command(cls=ManualCommand)
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to create; it may exist if it is empty.")],
    *,
    as_json: Json = False,
) -> int:
    """Write a working example: a commented deployment, a scoring script, a small model and some input."""
    from sparkscore.cli.new_command import write_example

    return write_example(folder, as_json=as_json)


@app.command(
    cls=ManualCommand,
    epilog="""
Exit codes:
  0  all checks passed
  1  a check failed; its next step says what to do
"""
    + ENVIRONMENT,
)
def doctor(  # noqa: PLR0913 - an option each
    *,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", rich_help_panel="Checks", help="Also check that this folder can be written."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", rich_help_panel="Checks", help="Do not start Spark to check its workers.")
    ] = False,
    runs: Runs = None,
    master: Master = None,
    spark_conf: SparkConf = None,
    remote: Remote = None,
    as_json: Json = False,
) -> int:
    """Check what a run needs: Java, Spark, the Delta jar, the workers' Python, and writable folders.

    Without --quick, Spark is started for a one-row job. This also downloads the Delta jar if it is missing.
    """
    from sparkscore.cli.doctor import DoctorRequest, examine

    spark = SparkOptions(master, spark_conf or (), remote)
    return examine(DoctorRequest(output, runs, spark, is_quick=quick), as_json=as_json)


@app.command(cls=ManualCommand)
def schema(*, as_json: Json = False) -> int:  # noqa: ARG001 - the output is JSON with or without it
    """Print the JSON schema of the deployment file, for editors.

    In VS Code, or another editor with the YAML language server, save the schema to a file and begin the deployment file
    with the line '# yaml-language-server: $schema=PATH'.
    """
    from sparkscore.config import deployment_json_schema

    print_json(deployment_json_schema())
    return OK


@app.command(cls=ManualCommand)
def demo(
    *,
    folder: Annotated[
        Path, typer.Option(metavar="DIR", rich_help_panel="Demo", help="Folder for its input, models and results.")
    ] = Path("sparkscore-demo"),
    runs: Runs = None,
    as_json: Json = False,
) -> int:
    """Score two real data sets on this machine: handwritten digits (files) and diabetes patients (a table).

    Writes two scikit-learn data sets as input, trains two small models, scores the data sets and shows the results.
    Running the demo again replaces the results. Needs a copy of the sparkscore repository (the conf/ folder).
    """
    from sparkscore.cli.demo import run_demo

    return run_demo(folder, runs, as_json=as_json)
