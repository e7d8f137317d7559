from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelError
from sparkscore.registry import Registry


def test_an_sqlite_registry_needs_its_file(tmp_path: Path) -> None:
    file = tmp_path / "my models.db"
    registry = Registry(f"sqlite:///{tmp_path}/my%20models.db")

    before = registry.can_exist()
    file.touch()

    assert (before, registry.can_exist(), Registry("http://127.0.0.1:9").can_exist()) == (False, True, True)


@pytest.mark.parametrize(("error", "got"), [(OSError("line one\nline two"), "line one"), (KeyError(), "KeyError")])
def test_errors_of_a_stores_library_are_reported_in_one_line(error: Exception, got: str) -> None:
    with (
        pytest.raises(ModelError) as caught,
        Registry("http://ada:secret-word@127.0.0.1:9").reporting("heart", "Wait."),
    ):
        raise error

    assert (caught.value.code, caught.value.got, caught.value.next_step) == ("MODEL_REGISTRY", got, "Wait.")
    assert "secret-word" not in str(caught.value)


def test_an_artifact_that_is_one_file_is_downloaded(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"onnx")

    path = Registry("").download((tmp_path / "model.onnx").as_uri(), tmp_path / "copy")

    assert path.read_bytes() == b"onnx"


def test_errors_about_the_model_stay_as_they_are() -> None:
    error = ModelError(code=ErrorCode.MODEL_BROKEN, what="model 'heart'", next_step="Save it again.")

    with pytest.raises(ModelError) as caught, Registry("http://127.0.0.1:9").reporting("heart", "Wait."):
        raise error

    assert caught.value is error
