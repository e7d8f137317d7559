"""`sparkscore demo`: score two real data sets on this machine, one of them a second time with a registered model.

Runs on the driver.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sparkscore.cli.demo_data import (
    DIGITS_FOR_TRAINING,
    PATIENTS_FOR_TRAINING,
    REGISTERED,
    DemoData,
    make_diabetes,
    make_digits,
    register_diabetes,
)
from sparkscore.cli.interrupts import InterruptedRunError, Interrupts, interruptible
from sparkscore.cli.reply import OK, describe_failure, print_error, print_json, shown_path, stdout_for_results
from sparkscore.cli.run_command import spark_session
from sparkscore.cli.spark_options import SparkOptions
from sparkscore.cli.summary import print_first_rows, print_record, result_console
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, message_of
from sparkscore.record.listing import runs_folder
from sparkscore.run import PreparedRun, Run, execute
from sparkscore.run.prepare import prepare

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from rich.console import Console

logger = logging.getLogger("sparkscore")

_DEPLOYMENTS = Path(__file__).parents[2] / "conf" / "deployments"
_REGISTERED_TITLE = f"the same patients without a script, with {REGISTERED} from MLflow's registry"
_FOLDER_IN_DEPLOYMENTS = Path(__file__).parents[2] / "sparkscore-demo"


@dataclass(frozen=True)
class _Part:
    """One run of the demo.

    Attributes:
        name: key in the JSON output.
        title: heading in the terminal output.
        data: the input and the model.
        run: the validated run.
        measure: function that takes the predictions and returns a sentence about their quality.
    """

    name: str
    title: str
    data: DemoData
    run: PreparedRun
    measure: Callable[[DataFrame], str]


def run_demo(folder: Path, runs: Path | None, *, as_json: bool) -> int:
    """Create the demo's input and models, score the input in a single Spark session, and print the results.

    Input and models from an earlier demo are reused if they were created with the same scikit-learn version.

    Args:
        folder: folder for input, models and results.
        runs: path of the runs folder, or None for the default folder.
        as_json: whether to print a JSON object.

    Returns:
        the exit code: 0, or 128 plus the signal number if a signal interrupted the demo.

    Raises:
        SparkscoreError: a package is missing, Spark does not start, or a run failed.
    """
    with interruptible() as interrupts:
        try:
            return _demo(folder, runs, interrupts, as_json=as_json)
        except InterruptedRunError as error:
            print_error(message_of(error))
            if as_json:
                print_json(describe_failure(error))
            return error.exit_code


def _demo(folder: Path, runs: Path | None, interrupts: Interrupts, *, as_json: bool) -> int:
    parts = _prepare(folder, runs)
    console = result_console()
    answer = {}
    with spark_session(SparkOptions(), runs_folder(runs) / "spark.log", interrupts) as session:
        for part in parts:
            logger.info("scoring %s", part.title)
            with stdout_for_results():
                run = execute(session, part.run)
            quality = part.measure(run.predictions())
            answer[part.name] = {"record": run.record, "quality": quality}
            if not as_json:
                _print_part(part, run, quality, console)
    if as_json:
        print_json(answer)
    else:
        _print_next_commands(parts[0], folder, runs, console)
    return OK


def _prepare(folder: Path, runs: Path | None) -> list[_Part]:
    if not _DEPLOYMENTS.is_dir():
        raise ConfigError(
            code=ErrorCode.DEMO_CHECKOUT,
            what="the deployments of the demo are missing",
            got=f"no folder '{_DEPLOYMENTS}'",
            next_step="Run the demo in a copy of the repository; 'sparkscore new DIR' writes an example anywhere.",
        )
    start = time.perf_counter()
    digits = make_digits(folder.absolute() / "digits")
    diabetes = make_diabetes(folder.absolute() / "diabetes")
    if digits.is_new or diabetes.is_new:
        seconds = time.perf_counter() - start
        logger.info("wrote the input and trained two models in %.1f s, in %s", seconds, shown_path(folder.absolute()))
    else:
        logger.info("using the input and models in %s", shown_path(folder.absolute()))
    os.environ["MLFLOW_TRACKING_URI"] = register_diabetes(folder.absolute() / "registry", diabetes)
    return [
        _Part("digits", "1,797 handwritten digits", digits, _prepared(digits, "digits", runs), _measure_digits),
        _Part("diabetes", "442 diabetes patients", diabetes, _prepared(diabetes, "diabetes", runs), _measure_diabetes),
        _Part("registered", _REGISTERED_TITLE, diabetes, _prepared_registered(diabetes, runs), _measure_diabetes),
    ]


def _prepared(data: DemoData, name: str, runs: Path | None) -> PreparedRun:
    return prepare(
        _DEPLOYMENTS / f"{name}.yml",
        input=data.input,
        output=data.folder / "predictions",
        runs=runs,
        settings={"model.path": str(data.model)},
    )


def _prepared_registered(data: DemoData, runs: Path | None) -> PreparedRun:
    output = data.folder / "registered"
    return prepare(None, model=REGISTERED, input=data.input, output=output, mode="overwrite", runs=runs)


def _measure_digits(predictions: DataFrame) -> str:
    """Return a sentence that reports the accuracy on the images that were not used for training."""
    unseen = right = 0
    for row in predictions.select("source_file", "digit").collect():
        path = Path(row.source_file)
        if int(path.stem) >= DIGITS_FOR_TRAINING:
            unseen += 1
            right += int(path.parent.name) == row.digit
    return f"{right / unseen:.1%} correct, on {unseen} images that the model was not trained on"


def _measure_diabetes(predictions: DataFrame) -> str:
    """Return a sentence that reports the mean absolute error on the patients that were not used for training."""
    rows = predictions.select("patient", "prediction", "progression").collect()
    errors = [abs(row.prediction - row.progression) for row in rows if row.patient >= PATIENTS_FOR_TRAINING]
    mean = sum(errors) / len(errors)
    return f"mean absolute error {mean:.1f} (values are 25 to 346), on {len(errors)} patients not used for training"


def _print_part(part: _Part, run: Run, quality: str, console: Console) -> None:
    console.print()
    console.print(f"[bold]── {part.title} ──[/bold]")
    print_record(run.recorded, part.run.folder.path, console, {"quality": quality})
    print_first_rows(run, console)


def _print_next_commands(digits: _Part, folder: Path, runs: Path | None, console: Console) -> None:
    program = _program()
    at_runs = "" if runs is None else f" --runs {shlex.quote(str(runs))}"
    sevens = shlex.quote(str(folder / "digits" / "images" / "7"))
    # The deployment file contains the model's path for the default demo folder in the repository.
    is_named = folder.absolute() == _FOLDER_IN_DEPLOYMENTS
    model = "" if is_named else f" --set model.path={shlex.quote(shown_path(digits.data.model))}"
    output = shlex.quote(str(folder / "sevens"))
    deployment = shlex.quote(shown_path(_DEPLOYMENTS / "digits.yml"))
    commands = (
        ("show the record of the first run", f"{program} runs show {digits.run.run_id}{at_runs}"),
        ("score only the sevens", f"{program} run {deployment} --input {sevens} --output {output}{model}{at_runs}"),
        ("start with your own script", f"{program} new first && {program} run first/deployment.yml"),
    )
    console.print()
    console.print("[bold]── next ──[/bold]")
    for purpose, command in commands:
        console.print(f"  [dim]# {purpose}[/dim]", soft_wrap=True)
        console.print(f"  {command}", soft_wrap=True, markup=False)


def _program() -> str:
    """Return the command that starts this installation of sparkscore.

    This is ``sparkscore`` if the shell finds this installation under that name, or else the program's path.
    """
    ours = Path(sys.executable).with_name("sparkscore")
    on_path = shutil.which("sparkscore")
    if on_path is not None and Path(on_path).absolute() == ours:
        return "sparkscore"
    return shlex.quote(shown_path(ours))
