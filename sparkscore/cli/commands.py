"""The commands and their options; what a command does is imported when it is called (driver)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from sparkscore.cli.manual import ENVIRONMENT, EXIT_CODES, ManualCommand, ManualGroup
from sparkscore.cli.reply import OK, print_json, to_stdout
from sparkscore.error_codes import ErrorCode

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
"""

app = typer.Typer(
    cls=ManualGroup,
    add_completion=False,
    rich_markup_mode=None,
    epilog="""
Start here:
  sparkscore new first          writes a deployment, a script and some input
  sparkscore run first/deployment.yml

'sparkscore COMMAND --help' is the manual of a command. Results go to stdout, all else to stderr.
""",
)
runs_app = typer.Typer(cls=ManualGroup, rich_markup_mode=None)
app.add_typer(runs_app, name="runs", help="List the runs, or show one.")
models_app = typer.Typer(cls=ManualGroup, rich_markup_mode=None)
app.add_typer(models_app, name="models", help="Show what a model is, what it takes and what it gives.")

env_app = typer.Typer(cls=ManualGroup, rich_markup_mode=None)
app.add_typer(env_app, name="env", help="Build the Python environment that workers score in.")

Json: TypeAlias = Annotated[
    bool,
    typer.Option("--json", rich_help_panel="Answer", help="Print exactly one JSON object on stdout, also on failure."),
]
Runs: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--runs",
        metavar="DIR",
        rich_help_panel="Run",
        help="Folder of the run records and logs (SPARKSCORE_RUNS, or ./sparkscore-runs).",
    ),
]
Assignments: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        rich_help_panel="Run",
        help="Any setting of the deployment by its dotted name; the value is YAML. Repeatable.",
    ),
]
Master: TypeAlias = Annotated[
    str | None,
    typer.Option("--master", metavar="URL", rich_help_panel="Spark", help="Spark's master (local[*,4])."),
]
SparkConf: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--spark-conf", metavar="KEY=VALUE", rich_help_panel="Spark", help="A Spark setting. Repeatable."),
]


@app.callback(invoke_without_command=True)
def sparkscore(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> int:
    """Score files and tables with your model on Spark, into one exact Delta or Parquet table.

    A deployment file names a model and a scoring script with init() and run(mini_batch). sparkscore cuts the input
    into mini-batches, runs the script over them on Spark's workers, and commits one result, or nothing.
    """
    if version:
        from sparkscore import __version__  # noqa: PLC0415 - reading it takes time that other commands need not spend

        to_stdout(__version__)
    elif context.invoked_subcommand is None:
        to_stdout(*context.get_help().split("\n"))
    return OK


@app.command(cls=ManualCommand, epilog=_RUN_EXAMPLES + EXIT_CODES + ENVIRONMENT)
def run(  # noqa: PLR0913 - an option each
    deployment: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DEPLOYMENT.yml]", show_default=False, help="The deployment file; --model may do instead."
        ),
    ] = None,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="REFERENCE",
            rich_help_panel="Input",
            help="The model: a file or folder, or MLflow's models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH.",
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="LOCATION", rich_help_panel="Input", help="Folder, glob, file or URI. Repeatable."
        ),
    ] = None,
    input_format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", rich_help_panel="Input", help="files, parquet, csv, json or delta."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="LOCATION", rich_help_panel="Output", help="Path or URI of the table to write."),
    ] = None,
    output_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", rich_help_panel="Output", help="delta or parquet.")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="MODE",
            rich_help_panel="Output",
            help="What to do when the table exists: append, overwrite, or error (refuse the run).",
        ),
    ] = None,
    partition_by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", rich_help_panel="Output", help="Partition column. Repeatable."),
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option(metavar="ID", rich_help_panel="Run", help="Id of the run; made from the time when absent."),
    ] = None,
    only_failed: Annotated[
        str | None,
        typer.Option(
            metavar=ErrorCode.RUN_ID,
            rich_help_panel="Input",
            help="Score only what failed in that run; without a deployment, by that run's request. Appends.",
        ),
    ] = None,
    runs: Runs = None,
    assignments: Assignments = None,
    master: Master = None,
    spark_conf: SparkConf = None,
    as_json: Json = False,
) -> int:
    """Score an input with a deployment or a model, and commit one result.

    Everything that can be checked is checked before Spark starts. Then the input is pinned, cut into mini-batches and
    scored on Spark's workers; when every item was scored, the result is committed at once. What an option leaves out,
    the deployment file says; paths in options are relative to the working directory, those in the file to the file.
    The run's record and logs are kept below --runs.
    """
    if deployment is None and model is None and only_failed is None:
        raise typer.BadParameter("DEPLOYMENT.yml or --model REFERENCE is needed")
    from sparkscore.cli.run_command import RunRequest, asking_for, run_deployment  # noqa: PLC0415 - see the docstring

    options: RunOptions = {
        "model": model,
        "input": source or None,
        "output": output,
        "input_format": input_format,
        "output_format": output_format,
        "mode": mode,
        "partition_by": partition_by or None,
        "run_id": run_id,
        "runs": runs,
        "only_failed": only_failed,
    }
    asked = asking_for(deployment, options, assignments or ())
    return run_deployment(RunRequest(asked, run_id, runs, master, spark_conf or (), as_json))


@app.command(cls=ManualCommand, epilog=EXIT_CODES + ENVIRONMENT)
def resume(
    run_id: Annotated[str, typer.Argument(metavar=ErrorCode.RUN_ID, help="The run's id, as 'runs list' prints it.")],
    *,
    runs: Runs = None,
    master: Master = None,
    spark_conf: SparkConf = None,
    as_json: Json = False,
) -> int:
    """Take up a run that was interrupted, killed or could not be published, where it stopped.

    Its request is done again under its id: with the same input, script, model and configuration only what is not done
    yet is scored, and what is published is not published again. With others it is refused. Give --master and
    --spark-conf as you gave them to 'sparkscore run'.
    """
    from sparkscore.cli.run_command import RunRequest, asking_again, run_deployment  # noqa: PLC0415 - see the docstring

    return run_deployment(RunRequest(asking_again(run_id, runs), run_id, runs, master, spark_conf or (), as_json))


@app.command(cls=ManualCommand, epilog=EXIT_CODES + ENVIRONMENT)
def publish(
    run_id: Annotated[str, typer.Argument(metavar=ErrorCode.RUN_ID, help="The run's id, as 'runs list' prints it.")],
    *,
    is_discarded: Annotated[
        bool, typer.Option("--discard", rich_help_panel="Run", help="Drop what was scored instead of publishing it.")
    ] = False,
    runs: Runs = None,
    master: Master = None,
    spark_conf: SparkConf = None,
    as_json: Json = False,
) -> int:
    """Publish a run that is held, as 'publish: audit' asks for, or whose publishing failed; nothing is scored.

    A held run has been scored and counted. Look at it first: its record names the stage, and the quarantine comes with
    it. Neither the input nor the model is needed any more.
    """
    from sparkscore.cli.publish_command import discard_run, publish_run  # noqa: PLC0415 - see the module's docstring

    if is_discarded:
        return discard_run(run_id, runs, (master, spark_conf or ()), as_json=as_json)
    return publish_run(run_id, runs, (master, spark_conf or ()), as_json=as_json)


@app.command(cls=ManualCommand)
def clean(
    outputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[OUTPUT]...",
            show_default=False,
            help="Locations of results; those of all recorded runs when absent.",
        ),
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    runs: Runs = None,
    as_json: Json = False,
) -> int:
    """Remove what dead runs have left in the folders of their outputs; living and held runs are left alone.

    A run that is cleaned starts from the beginning when it is resumed. What sparkscore has not made is left.
    """
    from sparkscore.cli.clean_command import clean as clean_up  # noqa: PLC0415 - see the module's docstring

    return clean_up(outputs or (), runs, as_json=as_json, is_dry=dry_run)


@runs_app.command("list", cls=ManualCommand)
def runs_list(*, runs: Runs = None, as_json: Json = False) -> int:
    """List the runs of a folder, the newest first."""
    from sparkscore.cli.runs_command import list_runs  # noqa: PLC0415 - see the module's docstring

    return list_runs(runs, as_json=as_json)


@runs_app.command("show", cls=ManualCommand)
def runs_show(
    run_id: Annotated[str, typer.Argument(metavar=ErrorCode.RUN_ID, help="The run's id, as 'runs list' prints it.")],
    *,
    runs: Runs = None,
    as_json: Json = False,
) -> int:
    """Show the record of a run: what was scored with what, into what, and how it ended. All of it with --json."""
    from sparkscore.cli.runs_command import show_run  # noqa: PLC0415 - see the module's docstring

    return show_run(run_id, runs, as_json=as_json)


@models_app.command("show", cls=ManualCommand)
def models_show(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REFERENCE", help="A file or folder, or models:/NAME@ALIAS, models:/NAME/VERSION, runs:/…"
        ),
    ],
    *,
    framework: Annotated[
        str | None, typer.Option(metavar="NAME", help="What made a plain file: sklearn, xgboost or lightgbm.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Show a model's files, digest, signature and requirements, without running anything of it."""
    from sparkscore.cli.models_command import show_model  # noqa: PLC0415 - see the module's docstring

    return show_model(reference, framework, as_json=as_json)


@env_app.command("build", cls=ManualCommand)
def env_build(
    deployment: Annotated[Path, typer.Argument(metavar="DEPLOYMENT.yml", help="The deployment file.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default=False, help="Where archives are kept, each named by a digest; beside the runs."
        ),
    ] = None,
    wheels: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Install from the wheels in this folder, without a network.")
    ] = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> int:
    """Build the environment that the deployment's requirements ask for, once, as an archive for 'python.archive'.

    The requirements are those of 'python.requirements', else of Azure's 'environment.conda_file', else those that the
    MLflow model recorded. Run this with the version of Python that the workers have.
    """
    from sparkscore.cli.env_command import build_env  # noqa: PLC0415 - see the module's docstring

    return build_env(deployment, output, wheels, assignments or (), as_json=as_json)


@app.command(cls=ManualCommand)
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; an empty one may be there.")],
    *,
    as_json: Json = False,
) -> int:
    """Write a commented deployment, a scoring script, a small model and some input, which run at once."""
    from sparkscore.cli.new_command import write_example  # noqa: PLC0415 - see the module's docstring

    return write_example(folder, as_json=as_json)


@app.command(
    cls=ManualCommand,
    epilog="""
Exit codes:
  0  all is well
  1  a check failed; its line says what to do
"""
    + ENVIRONMENT,
)
def doctor(
    *,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", rich_help_panel="Checks", help="Also check that this can be written.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", rich_help_panel="Checks", help="Do not start Spark to ask its workers.")
    ] = False,
    runs: Runs = None,
    master: Master = None,
    spark_conf: SparkConf = None,
    as_json: Json = False,
) -> int:
    """Check what a run needs: Java, Spark, the Delta jar, the workers' Python, places that can be written.

    Starts Spark for one row, which also fetches the Delta jar if it is not there yet.
    """
    from sparkscore.cli.doctor import DoctorRequest, examine  # noqa: PLC0415 - see the module's docstring

    return examine(DoctorRequest(output, runs, master, spark_conf or (), is_quick=quick), as_json=as_json)


@app.command(cls=ManualCommand)
def schema(*, as_json: Json = False) -> int:  # noqa: ARG001 - the answer is one JSON object either way
    """Print the JSON schema of the deployment file, for editors.

    For VS Code and others with the YAML language server: save it, and let the first line of the deployment file be
    '# yaml-language-server: $schema=PATH'.
    """
    from sparkscore.config import deployment_json_schema  # noqa: PLC0415 - see the module's docstring

    print_json(deployment_json_schema())
    return OK


@app.command(cls=ManualCommand)
def demo(
    *,
    folder: Annotated[
        Path, typer.Option(metavar="DIR", rich_help_panel="Demo", help="Where its input, models and results go.")
    ] = Path("sparkscore-demo"),
    runs: Runs = None,
    as_json: Json = False,
) -> int:
    """Score two real data sets on this machine: handwritten digits (files) and diabetes patients (a table).

    Makes the input from what ships inside scikit-learn, trains two small models, scores both and shows the results.
    Run again, it uses what is there and replaces the results. Needs the checkout of sparkscore (its conf/ folder).
    """
    from sparkscore.cli.demo import run_demo  # noqa: PLC0415 - see the module's docstring

    return run_demo(folder, runs, as_json=as_json)
