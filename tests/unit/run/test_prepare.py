"""What of a request is checked before Spark is needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparkscore.errors import ConfigError, RunNotFoundError, SparkscoreError
from sparkscore.record.run_record import FAIL, RecordedOutput, RecordedQuarantine, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.run.prepare import failed_items, log_choices, prepare, quarantine_beside

MakeDeployment = Callable[..., Path]
SCRIPT = "def run(b): return b"


@pytest.fixture
def deployment(make_deployment: MakeDeployment, tmp_path: Path) -> Path:
    return make_deployment(SCRIPT, input={"location": str(tmp_path / "in")}, output={"location": str(tmp_path / "out")})


def test_a_request_that_is_valid_writes_nothing(deployment: Path, tmp_path: Path) -> None:
    prepared = prepare(deployment, run_id="night")

    assert prepared.run_id == "night"
    assert prepared.run_folder == tmp_path / "runs" / "night"
    assert prepared.deployment_name == str(deployment)
    assert prepared.scorer_name == "scoring script 'score.py'"
    assert not (tmp_path / "runs").exists()


def test_without_a_run_id_each_run_gets_its_own(deployment: Path) -> None:
    assert prepare(deployment).run_id != prepare(deployment).run_id


def test_a_run_needs_a_script_or_a_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[NOTHING_SCORES\].*--model"):
        prepare(None, input=tmp_path, output=tmp_path / "out")


@pytest.mark.parametrize(
    ("places", "kind"),
    [
        (("in", "in/out"), "output"),
        (("in/below", "in"), "output"),
        (("in/*.csv", "in/out.csv"), "output"),
        (("out_quarantine", "out"), "quarantine"),
        (("in", "in"), "output"),
    ],
)
def test_an_output_and_an_input_that_lie_in_each_other_are_refused(
    make_deployment: MakeDeployment, tmp_path: Path, places: tuple[str, str], kind: str
) -> None:
    location, output = (str(tmp_path / place) for place in places)
    path = make_deployment(SCRIPT, input={"location": location}, output={"location": output})

    with pytest.raises(ConfigError, match=r"\[INPUT_OUTPUT_OVERLAP\]") as caught:
        prepare(path)

    assert f"and {kind} '" in caught.value.what


@pytest.mark.parametrize(
    "places",
    [("in", "in_other"), ("in/*.csv", "out"), ("s3://bucket/in", "s3://bucket/in/out"), ("in", "dbfs:/in/out")],
)
def test_places_apart_are_allowed(make_deployment: MakeDeployment, tmp_path: Path, places: tuple[str, str]) -> None:
    location, output = (place if ":" in place else str(tmp_path / place) for place in places)

    prepare(make_deployment(SCRIPT, input={"location": location}, output={"location": output}))


def test_a_link_does_not_hide_an_overlap(make_deployment: MakeDeployment, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    output = {"location": str(tmp_path / "link" / "out")}

    with pytest.raises(ConfigError, match="INPUT_OUTPUT_OVERLAP"):
        prepare(make_deployment(SCRIPT, input={"location": str(tmp_path / "in")}, output=output))


def test_nan_in_the_place_of_null_means_nothing_for_arrow_columns(make_deployment: MakeDeployment) -> None:
    with pytest.raises(ConfigError, match=r"\[INPUT_NULLS\]"):
        prepare(make_deployment(SCRIPT, input={"location": "/in", "nulls": "nan", "dtypes": "arrow"}))


def test_the_quarantine_lies_beside_its_output() -> None:
    assert quarantine_beside("/data/out/") == quarantine_beside("/data/out") == "/data/out_quarantine"


# -------------------------------------------------------------------------------------------------------- failed items


def record_run(runs: Path, location: str | None) -> None:
    folder = RunFolder(runs, "night")
    folder.create()
    output = RecordedOutput(format="delta", location="/out", mode="append")
    quarantine = RecordedQuarantine(location=location, rows=1)
    folder.write_record(new_record("night", None, {}).noting(output=output, quarantine=quarantine, state=FAIL))


def test_failed_items_are_found_in_the_quarantine_of_their_run(deployment: Path, tmp_path: Path) -> None:
    record_run(tmp_path / "runs", "/out_quarantine")

    prepared = prepare(deployment, only_failed="night")

    assert prepared.failed == failed_items(tmp_path / "runs", "night")
    assert prepared.failed is not None
    assert (prepared.failed.location, prepared.failed.first) == ("/out_quarantine", "night")
    assert prepared.deployment.output.mode == "append"


def test_a_run_without_a_quarantine_has_no_failed_items(deployment: Path, tmp_path: Path) -> None:
    record_run(tmp_path / "runs", None)

    with pytest.raises(ConfigError, match=r"\[NOTHING_FAILED\].*state FAIL"):
        prepare(deployment, only_failed="night")


def test_the_failed_items_of_an_unknown_run_are_refused(deployment: Path) -> None:
    with pytest.raises(RunNotFoundError):
        prepare(deployment, only_failed="never")


def test_a_run_over_failed_items_needs_an_id_of_its_own(deployment: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[RUN_ID_USED\].*'night'"):
        prepare(deployment, run_id="night", only_failed="night")


# -------------------------------------------------------------------------------------------------- models and scripts


def test_several_models_stand_beside_each_prediction_by_name_and_version(
    make_deployment: MakeDeployment, tmp_path: Path
) -> None:
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_text(name)
    models = {name: {"path": str(tmp_path / f"{name}.bin"), "version": "2"} for name in ("a", "b")}

    prepared = prepare(make_deployment(SCRIPT, models=models))

    assert prepared.lineage_model == ("a,b", "2,2")
    assert len(prepared.describe_models()["models"]) == 2  # type: ignore[arg-type]  # a list
    assert len(prepared.digests()["models"]) == 2  # type: ignore[arg-type]  # a list


def test_of_no_model_nothing_stands_beside_a_prediction(deployment: Path) -> None:
    prepared = prepare(deployment)

    assert prepared.lineage_model == (None, None)
    assert prepared.digests()["model"] is None
    assert "models" not in prepared.digests()
    assert prepared.describe_models()["script"].path == str(deployment.parent / "code" / "score.py")  # type: ignore[union-attr]  # a part of the record


def test_a_model_without_a_script_is_what_scores(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())

    prepared = prepare(None, model=tmp_path / "m.onnx", input="/in", output=tmp_path / "out")

    assert prepared.scorer_name.startswith("model 'm")
    assert prepared.description is not None
    described: Any = prepared.describe_models()
    assert (described["model"].kind, described["script"].path) == ("onnx", None)
    assert prepared.git_commit is None


def test_a_wrong_deployment_is_refused_with_what_else_is_missing(make_deployment: MakeDeployment) -> None:
    path = make_deployment("def score(b): ...", settings={"mini_batch": 3}, model={"path": "/nowhere/model.bin"})

    with pytest.raises(SparkscoreError, match="CONFIG_UNKNOWN_KEY") as caught:
        prepare(path)

    for told in ("mini_batch", "run(", "/nowhere/model.bin"):
        assert told in str(caught.value)


def test_what_does_not_travel_with_the_script_is_told(deployment: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(7):
        os.mkfifo(deployment.parent / "code" / f"pipe{number}")

    with caplog.at_level(logging.WARNING, "sparkscore"):
        prepare(deployment)

    assert "left out: 'pipe0' (" in caplog.text
    assert "and 2 more" in caplog.text


def test_what_changed_beside_the_script_since_the_run_began_is_told(
    deployment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = prepare(deployment, run_id="night")
    assert first.script is not None
    first.folder.create()
    first.folder.write_code(first.script.files, {})
    (deployment.parent / "code" / "labels.txt").write_text("a b")

    with caplog.at_level(logging.WARNING, "sparkscore"):
        prepare(deployment, run_id="night")

    assert "'labels.txt' changed since run 'night' began" in caplog.text


def test_choices_are_logged_by_what_they_are(make_deployment: MakeDeployment, caplog: pytest.LogCaptureFixture) -> None:
    loaded = prepare(make_deployment(SCRIPT, compute="azureml:cluster", input={"location": "/in"})).deployment

    with caplog.at_level(logging.INFO, "sparkscore"):
        log_choices(loaded, "files")

    assert "default settings: " in caplog.text
    assert "recorded and not applied: compute" in caplog.text


def test_all_faults_of_a_request_are_said_at_once(make_deployment: MakeDeployment, tmp_path: Path) -> None:
    path = make_deployment("def score(b): ...", input={"location": str(tmp_path / "none")}, model={"path": "gone.bin"})

    with pytest.raises(SparkscoreError) as caught:
        prepare(path)

    told = str(caught.value)
    assert "run(" in told
    assert "gone.bin" in told
