"""What makes two requests the same: the values themselves, and not what the record shows of them."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparkscore.digest import different_parts
from sparkscore.plan import Plan, Snapshot
from sparkscore.run.identity import identity_of_run
from sparkscore.run.prepare import prepare

SCRIPT = "def run(mini_batch):\n    return [1] * len(mini_batch)\n"
Identify = Callable[..., str]
PASSWORD = {"environment_variables__DB_PASS": "1111"}


@pytest.fixture
def identify(make_deployment: Callable[..., Path]) -> Identify:
    deployment = make_deployment(SCRIPT, input={"location": "in.csv"}, output={"location": "out"})

    def make(run_id: str = "night", table_id: str | None = None, **settings: object) -> str:
        prepared = prepare(deployment, run_id=run_id, settings={k.replace("__", "."): v for k, v in settings.items()})
        prepared.folder.create()
        return identity_of_run(prepared, Plan(Snapshot("delta", "/in", 0, 1, 1, table_id=table_id)))

    return make


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"environment_variables__MAX_TOKENS": "128"}, {"environment_variables__MAX_TOKENS": "512"}),
        ({"environment_variables__DB_PASS": "1111"}, {"environment_variables__DB_PASS": "2222"}),
        ({"environment_variables__URL": "mysql://a:b@h/d"}, {"environment_variables__URL": "mysql://a:c@h/d"}),
        ({"code_configuration__arguments": "--token a1b2c3d4"}, {"code_configuration__arguments": "--token z1"}),
        ({"input__options": {"api_key": "a"}}, {"input__options": {"api_key": "b"}}),
        ({"model__params": {"max_tokens": 128}}, {"model__params": {"max_tokens": 512}}),
        ({"model__params": {"token": 128}}, {"model__params": {"token": 512}}),
        ({"output__partition_by": ["password"]}, {"output__partition_by": ["token"]}),
    ],
)
def test_another_value_is_another_request(
    identify: Identify, tmp_path: Path, one: dict[str, Any], other: dict[str, Any]
) -> None:
    (tmp_path / "m.bin").write_text("m")
    model = {"model__path": str(tmp_path / "m.bin")} if "model__params" in one else {}

    assert identify(**one, **model) == identify(**one, **model)
    assert identify(**one, **model) != identify(**other, **model)


def test_only_the_secret_is_named_where_only_the_secret_differs(identify: Identify) -> None:
    one, other = (identify(environment_variables__DB_PASS=value) for value in ("1111", "2222"))

    assert different_parts(one, other) == ["secrets"]


def test_without_secrets_two_runs_of_one_request_have_one_identity(identify: Identify, tmp_path: Path) -> None:
    assert identify("a") == identify("b")
    assert not list((tmp_path / "runs").rglob("*.key"))


def test_the_digest_of_a_secret_tells_nothing_without_the_runs_key(identify: Identify, tmp_path: Path) -> None:
    one, other = (identify(run_id, **PASSWORD) for run_id in ("a", "b"))

    assert different_parts(one, other) == ["secrets"]
    key = tmp_path / "runs" / "a" / "identity.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text() not in one
    assert identify("a", **PASSWORD) == one


def test_a_table_that_was_made_again_is_another_input(identify: Identify) -> None:
    one, other = identify(table_id="one"), identify(table_id="other")

    assert different_parts(one, other) == ["input"]


def test_a_request_with_a_path_like_a_secret_is_kept_and_one_with_a_secret_is_not(
    make_deployment: Callable[..., Path],
) -> None:
    deployment = make_deployment(SCRIPT, input={"location": "in.csv"})
    kept = prepare(deployment, output="out/token=abc", run_id="a", settings={"environment_variables.MAX_TOKENS": "1"})
    lost = prepare(deployment, output="out", run_id="b", settings={"environment_variables.DB_PASS": "x"})
    for prepared in (kept, lost):
        prepared.folder.create()
        prepared.folder.write_request(prepared.request)

    found = kept.folder.read_request()
    assert found is not None
    assert found["options"]["output"] == "out/token=abc"
    assert lost.folder.read_request() is None
    assert "DB_PASS" not in json.dumps([path.read_text() for path in lost.folder.path.glob("*.json")])
