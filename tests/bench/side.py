"""The process of one side: it starts an engine, then does the runs that the harness asks for on stdin.

Usage: python -m tests.bench.side NAME, with the case as the first line of stdin.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final, Protocol

from tests.bench.cases import Case
from tests.bench.registry import SIDES

_LONGEST: Final = 200


class Side(Protocol):
    """An engine that scores inputs with the model of its case."""

    def turn_to(self, case: Case, name: str) -> None:
        """Take another case, as another side of the same engine, without starting the engine again."""

    def run(self, source: str, output: str) -> dict[str, Any]:
        """Score an input into an output that does not exist, and return facts about the run."""

    def stop(self) -> None:
        """End all that was started."""


def serve(side: Side, commands: IO[str], answers: IO[str]) -> None:
    """Do the runs that come in, one line each, until there are no more."""
    _answer(answers, {"ready": True})
    for line in commands:
        command = json.loads(line)
        start = time.perf_counter()
        try:
            if "turn_to" in command:
                side.turn_to(Case.from_json(command["case"]), command["turn_to"])
                facts = {}
            else:
                facts = side.run(command["source"], command["output"])
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is its result
            traceback.print_exc()
            _answer(answers, {"error": said_by(error)})
        else:
            _answer(answers, {"seconds": time.perf_counter() - start, "facts": facts})


def said_by(error: Exception) -> str:
    """Return one line of an error: the cause that Spark has below a trace of its own, if there is one."""
    causes = re.findall(r"^(?:\w+\.)*\w+(?:Error|Exception): .+$", str(error), re.MULTILINE)
    text = causes[-1] if causes else f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return text[:_LONGEST]


def _answer(answers: IO[str], content: dict[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


def main(name: str) -> None:
    # What libraries print goes to the log; the answers have stdout for themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    case = Case.from_json(sys.stdin.readline())
    kind = SIDES[name]
    side: Side = import_module(f"tests.bench.sides.{kind.module}").start(case, name)
    try:
        serve(side, sys.stdin, answers)
    finally:
        side.stop()


if __name__ == "__main__":
    os.chdir(Path(os.environ["SPARKSCORE_BENCH_FOLDER"]))
    main(sys.argv[1])
