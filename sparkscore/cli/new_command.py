"""Implement ``sparkscore new``, which writes a small working example. Runs on the driver."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Final

from sparkscore.cli.reply import OK, print_json, shown_path, to_stdout
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError

# Average measurements of each species, and flowers to classify, from R. A. Fisher, The use of multiple measurements in
# taxonomic problems (1936). The columns are sepal length, sepal width, petal length and petal width, in cm.
_AVERAGES: Final = {
    "setosa": (5.006, 3.428, 1.462, 0.246),
    "versicolor": (5.936, 2.770, 4.260, 1.326),
    "virginica": (6.588, 2.974, 5.552, 2.026),
}
_FLOWERS: Final = (
    (5.1, 3.5, 1.4, 0.2),
    (4.9, 3.0, 1.4, 0.2),
    (4.7, 3.2, 1.3, 0.2),
    (5.4, 3.9, 1.7, 0.4),
    (7.0, 3.2, 4.7, 1.4),
    (6.4, 3.2, 4.5, 1.5),
    (6.9, 3.1, 4.9, 1.5),
    (5.5, 2.3, 4.0, 1.3),
    (6.3, 3.3, 6.0, 2.5),
    (5.8, 2.7, 5.1, 1.9),
    (7.1, 3.0, 5.9, 2.1),
    (6.3, 2.9, 5.6, 1.8),
)
_HEADER: Final = "flower,sepal_length,sepal_width,petal_length,petal_width"


def write_example(folder: Path, *, as_json: bool) -> int:
    """Write the example to a new or empty folder, and print the names of its files.

    Without ``--json``, the command that scores the example is printed too.

    Returns:
        the exit code 0.

    Raises:
        ConfigError: the folder is not empty, or cannot be written to.
    """
    contents = _contents()
    try:
        _refuse_full(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            code=ErrorCode.NEW_FOLDER,
            what=f"folder '{folder}' cannot be written",
            got=error.strerror or type(error).__name__,
            expected="a folder that is new or empty",
            next_step="Name another folder.",
        ) from error
    if as_json:
        print_json({"folder": str(folder.absolute()), "files": sorted(contents)})
    else:
        to_stdout(*_next_steps(folder).split("\n"))
    return OK


def _refuse_full(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(
            code=ErrorCode.NEW_FOLDER,
            what=f"folder '{folder}'",
            got="a folder with files in it",
            expected="a folder that is new or empty",
            next_step="Name another folder.",
        )


def _contents() -> dict[str, str]:
    templates = files("sparkscore.cli") / "templates"
    rows = (",".join(map(str, (number, *flower))) for number, flower in enumerate(_FLOWERS, start=1))
    return {
        "deployment.yml": (templates / "deployment.yml").read_text(encoding="utf-8"),
        "score.py": (templates / "score.py.txt").read_text(encoding="utf-8"),
        "model.json": json.dumps(_AVERAGES, indent=2) + "\n",
        "flowers.csv": "\n".join((_HEADER, *rows)) + "\n",
    }


def _next_steps(folder: Path) -> str:
    shown = shown_path(folder)
    return f"""{shown}/
  deployment.yml  the deployment: input, model, script, output
  score.py        the scoring script: init() and run(mini_batch)
  model.json      a small model
  flowers.csv     twelve rows of input

Next: sparkscore run {shown}/deployment.yml"""
