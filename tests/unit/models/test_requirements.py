from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sparkscore.config import load_deployment
from sparkscore.errors import ConfigError
from sparkscore.models import ResolvedModel
from sparkscore.models.requirements import environment_of, recorded_python, recorded_requirements
from sparkscore.scorers.environment import EnvironmentSpec

CONDA = {
    "name": "x",
    "dependencies": ["python=3.10.4", "pip", "numpy=1.26", {"pip": ["mlflow", "azureml-core==1.60", "pandas==2.2.1"]}],
}


def spec_of(folder: Path, content: dict[str, Any], model: ResolvedModel | None = None) -> EnvironmentSpec | None:
    (folder / "deployment.yml").write_text(yaml.safe_dump({"name": "d", **content}))
    return environment_of(load_deployment(folder / "deployment.yml", {}), model, None)


def mlflow_model(folder: Path) -> ResolvedModel:
    model = folder / "model"
    model.mkdir()
    (model / "requirements.txt").write_text("mlflow==3.1  # for the model\n\n# none\n-r other.txt\nscipy>=1\n")
    (model / "python_env.yaml").write_text("python: 3.11.2\n")
    return ResolvedModel(model, "heart", "1", "0" * 64)


def test_a_requirements_file_is_read_line_by_line(tmp_path: Path) -> None:
    text = "--index-url x\nnumpy==1.26.4 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n# note\npandas>=2  # note\n"
    (tmp_path / "req.txt").write_text(text)

    assert spec_of(tmp_path, {"python": {"requirements": "req.txt"}}) == EnvironmentSpec(
        "'req.txt'", ("numpy==1.26.4", "pandas>=2")
    )


@pytest.mark.parametrize("is_inline", [True, False])
def test_azures_conda_file_gives_what_pip_installs_and_python(tmp_path: Path, *, is_inline: bool) -> None:
    (tmp_path / "conda.yml").write_text(yaml.safe_dump(CONDA))

    found = spec_of(tmp_path, {"environment": {"conda_file": CONDA if is_inline else "conda.yml"}})

    assert found == EnvironmentSpec(
        "'environment.conda_file'",
        ("mlflow", "pandas==2.2.1"),
        "3.10.4",
        conda_packages=("python=3.10.4", "pip", "numpy=1.26"),
    )


def test_what_mlflow_recorded_is_taken_where_the_deployment_says_nothing(tmp_path: Path) -> None:
    model = mlflow_model(tmp_path)

    assert spec_of(tmp_path, {}, model) == EnvironmentSpec("model 'heart'", ("mlflow==3.1", "scipy>=1"), "3.11.2")
    assert recorded_requirements(model.path) == ("mlflow==3.1", "scipy>=1")
    assert recorded_python(model.path) == "3.11.2"


def test_the_deployments_own_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text("numpy")
    content = {"python": {"requirements": "req.txt", "check": "strict"}, "environment": {"conda_file": CONDA}}

    assert spec_of(tmp_path, content, mlflow_model(tmp_path)) == EnvironmentSpec(
        "'req.txt'", ("numpy",), is_strict=True
    )


def test_nothing_is_asked_where_nothing_says_it(tmp_path: Path) -> None:
    assert spec_of(tmp_path, {}) is None


def test_a_conda_file_that_only_azure_needs_may_be_absent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert spec_of(tmp_path, {"environment": {"conda_file": "none.yml"}}) is None
    assert "'environment.conda_file' cannot be read" in caplog.text


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"python": {"check": "strict"}}, "REQUIREMENTS_MISSING"),
        ({"python": {"requirements": "none.txt"}}, "REQUIREMENTS_UNREADABLE"),
        ({"environment": {"conda_file": "none.yml"}, "python": {"check": "strict"}}, "REQUIREMENTS_UNREADABLE"),
    ],
)
def test_what_cannot_be_checked_is_refused(tmp_path: Path, content: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec_of(tmp_path, content)

    assert caught.value.code == code
