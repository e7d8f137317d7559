"""Files come to the workers by the stage on this machine, and as artifacts of the session elsewhere."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sparkscore.digest import digest_of_path
from sparkscore.errors import ModelError
from sparkscore.models import ResolvedModel
from sparkscore.run.delivery import (
    ByArtifact,
    ByStage,
    Delivery,
    deliver_content,
    deliver_environment,
    deliver_model,
    delivery_for,
)
from sparkscore.scorers.model_files import ModelFiles, fetch_model, read_file
from sparkscore.spark import shipping
from sparkscore.spark.map_in_arrow import MOST_BYTES_SENT
from sparkscore.stage import StageFolder


class Session:
    """Copies what is sent into a folder, where a worker finds it."""

    def __init__(self, folder: Path) -> None:
        self.conf = {"spark.master": "spark://host:7077"}
        self.folder = folder

    def addArtifacts(self, path: str, *, file: bool) -> None:  # noqa: N802 - Spark's name
        assert file
        shutil.copyfile(path, self.folder / Path(path).name)


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which workers find what Spark sends."""
    for name in ("sent", "worker", "stage", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(shipping, "sent_folder", lambda: tmp_path / "sent")
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "cache"))
    return tmp_path / "worker"


@pytest.fixture(params=["stage", "artifact"])
def delivery(request: pytest.FixtureRequest, workers: Path) -> Delivery:
    session: Any = Session(workers)
    return ByArtifact(session) if request.param == "artifact" else ByStage(StageFolder(workers.parent / "stage"))


def model_at(path: Path) -> ResolvedModel:
    return ResolvedModel(path, "m", "1", digest_of_path(path))


def test_workers_get_a_model_of_one_file(delivery: Delivery, workers: Path, tmp_path: Path) -> None:
    (tmp_path / "half.onnx").write_bytes(b"weights")

    files = deliver_model(delivery, model_at(tmp_path / "half.onnx"))
    (tmp_path / "half.onnx").unlink()
    copy = fetch_model(files.found_in(lambda: str(workers)))

    assert copy.name == "half.onnx"
    assert copy.read_bytes() == b"weights"


def test_workers_get_a_model_that_is_a_folder(delivery: Delivery, workers: Path, tmp_path: Path) -> None:
    (tmp_path / "model" / "data").mkdir(parents=True)
    (tmp_path / "model" / "data" / "w.bin").write_bytes(b"weights")

    files = deliver_model(delivery, model_at(tmp_path / "model"))
    shutil.rmtree(tmp_path / "model")
    copy = fetch_model(files.found_in(lambda: str(workers)))

    assert copy.name == "model"
    assert (copy / "data" / "w.bin").read_bytes() == b"weights"
    assert digest_of_path(copy) == files.sha256


def test_two_models_with_the_same_content_keep_their_names(delivery: Delivery, workers: Path, tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(b"weights")

    found = [deliver_model(delivery, model_at(tmp_path / name)) for name in ("a.onnx", "b.onnx")]

    assert [fetch_model(files.found_in(lambda: str(workers))).name for files in found] == ["a.onnx", "b.onnx"]


def test_a_model_that_arrives_changed_is_refused(workers: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w").write_bytes(b"weights")
    session: Any = Session(workers)
    files = deliver_model(ByArtifact(session), model_at(tmp_path / "model"))
    packed = workers / files.source
    packed.write_bytes(packed.read_bytes().replace(b"weights", b"WEIGHTS"))

    with pytest.raises(ModelError, match=r"\[MODEL_CHANGED\]"):
        fetch_model(files.found_in(lambda: str(workers)))


def test_a_packed_environment_is_delivered_as_it_is(delivery: Delivery, workers: Path, tmp_path: Path) -> None:
    (tmp_path / "env.tar.gz").write_bytes(b"packed")

    files = deliver_environment(delivery, tmp_path / "env.tar.gz")

    assert fetch_model(files.found_in(lambda: str(workers))).read_bytes() == b"packed"


def test_little_content_is_sent_with_the_job_and_much_as_a_file(delivery: Delivery, workers: Path) -> None:
    content = os.urandom(MOST_BYTES_SENT + 1)

    assert deliver_content(delivery, content[1:], "code", "code folder") is None
    files = deliver_content(delivery, content, "code", "code folder")

    assert files is not None
    assert read_file(files.found_in(lambda: str(workers))) == content


def test_content_that_arrives_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code").write_bytes(b"changed")
    files = ModelFiles("code", "", str(tmp_path / "code"), "0" * 64, kind="code folder")

    with pytest.raises(ModelError, match=r"\[MODEL_CHANGED\] code folder 'code' has changed"):
        read_file(files)
    (tmp_path / "code").unlink()
    with pytest.raises(ModelError, match=r"\[MODEL_FETCH\] code folder 'code' cannot be copied"):
        read_file(files)


@pytest.mark.parametrize(("master", "kind"), [("local[2]", ByStage), ("spark://host:7077", ByArtifact)])
def test_the_master_decides(master: str, kind: type, workers: Path) -> None:
    session: Any = Session(workers)
    session.conf = {"spark.master": master}

    assert type(delivery_for(session, StageFolder(workers))) is kind
