from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sparkscore import cli
from sparkscore.record.run_record import new_record
from sparkscore.record.runs_folder import RunFolder

SCRIPT = "def run(mini_batch):\n    return [1] * len(mini_batch)\n"


@pytest.fixture
def deployment(make_deployment: Callable[..., Path]) -> Path:
    return make_deployment(SCRIPT, input={"location": "in.csv"}, output={"location": "out"})


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--mode", "replace"], "CONFIG_VALUE", ["replace", "append"]),
        (["--output-format", "csv"], "CONFIG_VALUE", ["csv", "delta"]),
        (["--input-format", "excel"], "CONFIG_VALUE", ["excel", "parquet"]),
        (["--run-id", "7"], "RUN_ID", ["'7'", "--run-id"]),
        (["--set", "settings.mini_batch"], "CONFIG_SET", ["settings.mini_batch"]),
        (["--set", "settings.mini_batch=1"], "CONFIG_UNKNOWN_KEY", ["settings.mini_batch", "mini_batch_size"]),
        (["--set", "model.path=nowhere.bin"], "MODEL_NOT_FOUND", ["nowhere.bin"]),
        (["--spark-conf", "spark.driver.memory"], "SPARK_CONF", ["spark.driver.memory", "key=value"]),
        (["--set", "code_configuration.scoring_script=other.py"], None, ["other.py"]),
    ],
)
def test_a_wrong_request_ends_with_code_2_one_message_and_one_object(
    sparkscore: Callable[..., Any], deployment: Path, arguments: list[str], code: str | None, words: list[str]
) -> None:
    answer = sparkscore("run", deployment, *arguments, "--json")

    assert answer.exit_code == (2 if code else 1)
    assert answer.json["state"] == "FAIL"
    assert code in (None, answer.json["error"]["code"])
    for word in words:
        assert word in answer.json["error"]["message"]
    assert answer.err == f"error {answer.json['error']['message']}\n"


def test_a_wrong_request_starts_nothing_and_leaves_nothing(
    sparkscore: Callable[..., Any], deployment: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))

    answer = sparkscore("run", deployment, "--mode", "replace")

    assert answer.exit_code == 2
    assert answer.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_deployment_file_is_said_without_a_run_id(sparkscore: Callable[..., Any], tmp_path: Path) -> None:
    answer = sparkscore("run", tmp_path / "none.yml", "--json")

    assert answer.exit_code == 2
    assert answer.json["run_id"] is None
    assert answer.json["error"]["code"] == "CONFIG_FILE"


def test_the_given_run_id_stands_in_the_answer_when_there_was_no_record(
    sparkscore: Callable[..., Any], tmp_path: Path
) -> None:
    answer = sparkscore("run", tmp_path / "none.yml", "--run-id", "nightly", "--json")

    assert answer.json["run_id"] == "nightly"


def test_the_record_of_an_earlier_run_is_not_taken_for_this_ones(
    sparkscore: Callable[..., Any], deployment: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "runs", "nightly")
    folder.create()
    folder.write_record(new_record("nightly", None, {}).noting(state="FAIL"))

    answer = sparkscore("run", deployment, "--run-id", "nightly", "--spark-conf", "x", "--json")

    assert answer.json["error"]["code"] == "SPARK_CONF"


@pytest.mark.parametrize(
    ("arguments", "has_run_id"),
    [
        (["run", "--json"], True),
        (["run", "x.yml", "--nonsense", "--json"], True),
        (["runs", "show", "--json"], False),
        (["nonsense", "--json"], False),
    ],
)
def test_an_error_of_usage_is_one_line_and_one_object(
    sparkscore: Callable[..., Any], arguments: list[str], *, has_run_id: bool
) -> None:
    answer = sparkscore(*arguments)

    assert answer.exit_code == 2
    assert answer.json["error"]["code"] == "USAGE"
    assert ("run_id" in answer.json) is has_run_id
    assert len(answer.err.splitlines()) == 1
    assert "--help'" in answer.err


@pytest.mark.parametrize("place", ["sparkscore.run.prepare.prepare", "sparkscore.config.deployment_json_schema"])
def test_a_bug_is_one_line_with_a_log_that_has_the_traceback(
    sparkscore: Callable[..., Any], deployment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("one over nothing")

    monkeypatch.setattr(place, fail)

    answer = sparkscore(*(["run", deployment] if "run" in place else ["schema"]), "--json")

    assert answer.exit_code == 1
    assert answer.json["error"] == {"code": "ZeroDivisionError", "message": "one over nothing"}
    assert "ZeroDivisionError" in answer.err
    assert "Traceback" not in answer.err
    assert "one over nothing" in (tmp_path / "runs" / "sparkscore.log").read_text(encoding="utf-8")


def test_a_bug_is_kept_elsewhere_where_the_runs_cannot_be_written(
    sparkscore: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPARKSCORE_RUNS", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delattr("sparkscore.config.deployment_json_schema")

    answer = sparkscore("schema")

    assert answer.exit_code == 1
    (log_file,) = tmp_path.glob("sparkscore-*.log")
    assert str(log_file) in answer.err
    assert "deployment_json_schema" in log_file.read_text(encoding="utf-8")


def test_the_schema_is_one_and_accepts_a_deployment(sparkscore: Callable[..., Any]) -> None:
    answer = sparkscore("schema")

    jsonschema.Draft202012Validator.check_schema(answer.json)
    jsonschema.validate({"model": "model.bin", "settings": {"mini_batch_size": 5}}, answer.json)
    assert sparkscore("schema", "--json").out == answer.out


def test_main_exits_with_the_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["sparkscore", "nonsense"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("is_submitted", [True, False])
def test_under_spark_submit_stderr_stays_empty_because_it_comes_out_on_stdout(
    sparkscore: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, *, is_submitted: bool
) -> None:
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    if is_submitted:
        monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")

    answer = sparkscore("run", "none.yml", "--json")

    assert answer.json["error"]["code"] == "CONFIG_FILE"
    assert (answer.err == "") is is_submitted


@pytest.mark.parametrize("command", [("runs", "list"), ("run", "d.yml"), ("clean",), ("resume", "r"), ("new", "x")])
def test_a_working_directory_that_was_removed_is_named(
    sparkscore: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    answer = sparkscore(*command)
    monkeypatch.chdir(tmp_path)

    assert answer.exit_code == 2
    assert answer.err.startswith("error [WORKING_DIRECTORY] the working directory: got No such file or directory")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"working_directory": "/nowhere", "deployment": None, "options": {"run_id": "r"}}, "WORKING_DIRECTORY"),
        ({"working_directory": 5, "deployment": None, "options": {"run_id": "r"}}, "REQUEST_NOT_FOUND"),
        ({"working_directory": "/", "deployment": [], "options": {"run_id": "r"}}, "REQUEST_NOT_FOUND"),
        ({"working_directory": "/", "deployment": "d.yml", "options": []}, "REQUEST_NOT_FOUND"),
        ({"options": {"run_id": "r"}}, "REQUEST_NOT_FOUND"),
    ],
)
def test_a_request_that_cannot_be_done_again_is_named(
    sparkscore: Callable[..., Any], tmp_path: Path, request_: dict[str, Any], code: str
) -> None:
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "runs" / "r" / "request.json").write_text(json.dumps(request_))

    answer = sparkscore("resume", "r", "--runs", tmp_path / "runs")

    assert answer.exit_code == 2
    assert f"[{code}]" in answer.err
