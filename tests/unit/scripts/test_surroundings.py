from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparkscore.errors import ScoringScriptError
from sparkscore.scripts.surroundings import Surroundings

now = Surroundings.of_this_process
VARIABLES = st.dictionaries(st.sampled_from(["A_", "B_", "C_", "É_"]), st.sampled_from(["", "1", "é"]))


@pytest.fixture(autouse=True)
def before() -> Iterator[Surroundings]:
    before = Surroundings.of_this_process()
    yield before
    before.enter_again(now())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(first=VARIABLES, wanted=VARIABLES)
def test_the_environment_is_as_it_was(first: dict[str, str], wanted: dict[str, str], before: Surroundings) -> None:
    replace(before, environment={**before.environment, **first}).enter(now())

    replace(before, environment=wanted).enter(now())

    assert dict(os.environ) == wanted
    before.enter_again(now())
    assert dict(os.environ) == before.environment


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(environments=st.lists(VARIABLES, min_size=1, max_size=3), turns=st.lists(st.integers(0, 2), max_size=12))
def test_the_environment_is_right_however_calls_follow_each_other(
    environments: list[dict[str, str]], turns: list[int], before: Surroundings
) -> None:
    wanted = [replace(before, environment={**before.environment, **each}) for each in environments]

    for turn in turns:
        entered = wanted[turn % len(wanted)]
        entered.enter(now())
        assert dict(os.environ) == entered.environment

    before.enter_again(now())
    assert dict(os.environ) == before.environment


def test_variables_that_are_right_are_not_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = now()

    def refuse(*_: object) -> None:
        raise AssertionError

    with monkeypatch.context() as context:
        context.setattr(os, "putenv", refuse)
        context.setattr(os, "unsetenv", refuse)
        before.enter(now())
        before.enter_again(now())

    assert dict(os.environ) == before.environment


def test_path_and_arguments_are_as_they_were(before: Surroundings) -> None:
    path = sys.path
    sys.path.insert(0, "/of/a/script")
    sys.argv = ["other"]

    before.enter_again(now())

    assert (sys.path, sys.argv) == (before.path, before.arguments)
    assert sys.path is path


def test_a_folder_that_is_gone_is_named(before: Surroundings, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")

    with pytest.raises(ScoringScriptError, match="SCRIPT_FOLDER"):
        replace(before, folder=gone).enter(now())
