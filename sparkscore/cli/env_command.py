"""`sparkscore env`: build a deployment's Python environment, or archive Spark's classes. Runs on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sparkscore.cli.interrupts import interruptible
from sparkscore.cli.reply import OK, print_json, shown_path, stdout_for_results, to_stdout
from sparkscore.config import parse_assignment
from sparkscore.spark.prerequisites import check_pyspark


def build_env(
    deployment: Path, output: Path | None, wheels: Path | None, assignments: Sequence[str] = (), *, as_json: bool
) -> int:
    """Build a deployment's Python environment, and print the path of the archive and the ``--set`` option for it.

    An environment that was built earlier with the same requirements and Python version is reused.

    Args:
        deployment: the deployment file.
        output: folder for the archives, or None for the ``environments`` folder in the runs folder.
        wheels: folder of wheels to install from, or None to install from the package index.
        assignments: the `key=value` pairs of `--set`.
        as_json: whether to print a JSON object.

    Returns:
        the exit code 0.

    Raises:
        SparkscoreError: the deployment is invalid, it has no list of packages, the list is for a different Python
            version, the model cannot be read, or the packages cannot be installed.
    """
    from sparkscore.models.deployment_env import build_deployment_env as build

    with stdout_for_results():
        built = build(deployment, output=output, wheels=wheels, settings=dict(map(parse_assignment, assignments)))
    if as_json:
        print_json(built.as_dict())
    else:
        archive, size = shown_path(built.archive), built.archive.stat().st_size
        to_stdout(f"{archive}  {size / 1e6:.1f} MB, with the packages of {built.source}")
        to_stdout(f"use it with: --set python.archive={archive}")
    return OK


def archive_classes(*, as_json: bool) -> int:
    """Archive Spark's classes in the user's cache folder, and print where. An archive that is there is kept.

    Args:
        as_json: whether to print a JSON object.

    Returns:
        the exit code 0.

    Raises:
        SparkscoreError: PySpark or Java is missing, Spark does not start, or the archive cannot be written.
    """
    check_pyspark()
    from sparkscore.spark.archive_maker import make_archive

    with stdout_for_results(), interruptible() as interrupts, interrupts.instead_of_sparks():
        archive, is_new = make_archive()
    size = archive.stat().st_size
    if as_json:
        print_json({"archive": str(archive), "bytes": size, "is_new": is_new})
    else:
        to_stdout(f"{shown_path(archive)}  {size / 1e6:.0f} MB{'' if is_new else ', was there already'}")
        to_stdout("your local sessions start with it while Java and Spark are the same; it can be removed at any time")
    return OK
