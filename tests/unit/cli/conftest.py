from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from sparkscore.cli import run_command_line


@dataclass(frozen=True)
class Answer:
    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Answer]


@pytest.fixture
def sparkscore(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: object) -> Answer:
        exit_code = run_command_line([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(exit_code, captured.out, captured.err)

    return run
