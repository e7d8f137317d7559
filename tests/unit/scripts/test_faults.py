from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.outcome import Failure, describe_failure
from sparkscore.scorers.environment import EnvironmentSpec, differences_of, names_of_the_same
from sparkscore.scorers.missing_package import advise_on_package
from sparkscore.scripts.faults import advice_for


class OutOfMemoryError(RuntimeError):
    """Has the name of PyTorch's."""


def raised(source: str) -> BaseException:
    try:
        exec(source, {"os": os})  # noqa: S102 - the test's own
    except BaseException as error:  # noqa: BLE001 - whatever the source raises
        return error
    raise AssertionError(source)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "mini_batch_size' smaller"),
        (OutOfMemoryError(), "mini_batch_size' smaller"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "mini_batch_size' smaller"),
        (OSError(errno.ENOSPC, "No space left on device"), "Make room"),
        (ConnectionRefusedError(), "did not reach"),
        (PermissionError(13, "x", "/x"), "the right to it"),
        (FileNotFoundError(2, "x", "weights.pkl"), "code folder"),
        (FileNotFoundError(2, "x", "/mnt/x"), "every worker's host"),
        (FileNotFoundError("x"), "code folder"),
        (SyntaxError("x", ("score.py", 1, 1, "x")), "The workers have Python 3."),
        (ImportError("libGL.so.1: cannot open shared object file"), "a library of their system"),
        (SystemExit(2), "code_configuration.arguments"),
    ],
)
def test_what_is_wrong_around_a_script_is_no_fault_of_the_script(error: BaseException, told: str) -> None:
    assert told in advice_for(error, Path("/models"))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("os.environ['OWN_SETTING']", "environment_variables: {OWN_SETTING: VALUE}"),
        ("from json import nothing", "in a version that lacks this name"),
        ("import pickle; pickle.loads(b'cjson\\nNothing\\n.')", "of another version of that package"),
        ("import pickle; pickle.loads(b'c__main__\\nOwnTransformer\\n.')", "a class of the program that saved it"),
        ("{}.nothing", ""),
        ("{}['age']", ""),
        ("1 / 0", ""),
        ("int('x')", ""),
        ("import no_such_module", ""),
        ("raise ImportError('pkg.solvers needs another version')", ""),
    ],
)
def test_a_fault_of_the_script_has_no_other_advice(source: str, told: str) -> None:
    found = advice_for(raised(source), Path("/models"))

    assert told in found
    assert bool(told) is bool(found)


def test_a_model_that_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").touch()
    error = raised(f"open({str(tmp_path / 'model' / 'x')!r})")

    assert "AZUREML_MODEL_DIR holds 'model.pkl'" in advice_for(error, tmp_path)
    (tmp_path / "model.pkl").unlink()
    assert "nothing: the deployment names no model" in advice_for(error, tmp_path)


def test_an_exception_that_cannot_be_asked_has_no_advice() -> None:
    class OddError(FileNotFoundError):
        @property
        def filename(self) -> str:
            raise RuntimeError

    assert advice_for(OddError(), Path("/models")) == ""


MISSING = "'no_such' is not installed on the workers"
CONDA = EnvironmentSpec(
    "'environment.conda_file'",
    ("lightgbm==4.5", "opencv-python-headless"),
    conda_packages=("pip", "conda-forge::umap=1"),
)


@pytest.mark.parametrize(
    ("module", "environment", "told"),
    [
        ("lightgbm_", None, "The deployment lists no packages"),
        ("lightgbm_", CONDA, "'environment.conda_file' does not list it"),
        ("cv2", CONDA, "lists it ('opencv-python-headless')"),
        ("umap", CONDA, "lists it for conda ('conda-forge::umap=1')"),
        ("pandas.no_such_part", CONDA, "'pandas' is installed on the workers (2."),
    ],
)
def test_a_missing_package_is_named_with_where_it_is_listed(
    module: str, environment: EnvironmentSpec | None, told: str
) -> None:
    failure = describe_failure(ModuleNotFoundError(f"No module named '{module}'"), ErrorCode.SCRIPT_IMPORT)

    step = advise_on_package(failure, environment).next_step

    assert told in step
    assert "sparkscore env build" in step
    assert "python.path" in step
    assert ("one of your files" in step) is not module.startswith("pandas")


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("google.cloud", "Module 'google.cloud' is not installed on the workers, and many packages share"),
        ("azure", "Module 'azure' is not installed"),
        ("Crypto", "'pycryptodome' is not installed"),
    ],
)
def test_modules_whose_packages_have_other_names(module: str, told: str) -> None:
    failure = describe_failure(ModuleNotFoundError(f"No module named '{module}'"), ErrorCode.SCRIPT_IMPORT)
    listing = EnvironmentSpec("'conda.yml'", ("google-cloud-storage==2", "azure-storage-blob", "pycryptodome"))

    assert told in advise_on_package(failure, None).next_step
    assert "lists it ('" in advise_on_package(failure, listing).next_step
    assert "does not list it" in advise_on_package(failure, CONDA).next_step


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("try:\n import no_such\nexcept ImportError as e:\n raise RuntimeError('x') from e", MISSING),
        ("try:\n import no_such\nexcept ImportError:\n raise ImportError('pip install it')", MISSING),
        ("try:\n import no_such\nexcept ImportError as e:\n raise ImportError('pip install it') from e", MISSING),
        ("try:\n import no_such\nexcept ImportError:\n {}['a']", ""),
        ("try:\n import no_such\nexcept ImportError:\n raise ImportError('x') from None", ""),
        ("raise ImportError('x')", ""),
    ],
)
def test_a_package_that_is_missing_behind_another_exception_is_named(source: str, told: str) -> None:
    error = raised(source)
    failure = describe_failure(error, ErrorCode.SCRIPT_IMPORT)

    assert advice_for(error, Path("/models"), Path("/code")) == ""
    step = advise_on_package(failure, None).next_step
    assert told in step
    assert bool(told) is bool(step)


def test_other_failures_keep_their_advice() -> None:
    for failure in (
        Failure(
            ErrorCode.SCRIPT_IMPORT,
            "ModuleNotFoundError",
            "No module named 'azureml.data': sparkscore stands in",
            next_step="a",
            missing_module="azureml.data",
        ),
        Failure(ErrorCode.SCRIPT_RUN, "KeyError", "No module named 'x'"),
    ):
        assert advise_on_package(failure, None) is failure


def test_packages_that_install_the_same_modules_stand_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"tensorflow-cpu": "2.16.1"}
    monkeypatch.setattr("sparkscore.scorers.environment._version_of", here.get)

    assert differences_of(EnvironmentSpec("x", ("tensorflow>=2.15", "tensorflow-cpu==2.16.1"))) == ()
    assert differences_of(EnvironmentSpec("x", ("tensorflow==2.17",))) == ("tensorflow 2.16.1 instead of ==2.17",)
    assert differences_of(EnvironmentSpec("x", ("tensorflow-hub",))) == ("tensorflow-hub is missing (any version)",)
    assert names_of_the_same("Tensor_Board") == {"tensor-board"}
