from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from sparkscore.scripts.azure_stand_ins import AzureModules, ScriptFolders

Make = Callable[[], AzureModules]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make the modules of one script; whatever it does with them, the process is as it was."""
    before = list(sys.path), list(sys.meta_path), azure_names()
    made: list[AzureModules] = []

    def one() -> AzureModules:
        places = ScriptFolders(tmp_path / "output", tmp_path / "logs" / "host", tmp_path / "code")
        made.append(AzureModules(lambda name, version: Path(f"/models/{name}/{version}"), places))
        return made[-1]

    yield one
    for modules in made:
        modules.close()
    assert (list(sys.path), list(sys.meta_path), azure_names()) == before


@pytest.fixture
def patch(make: Make) -> Iterator[pytest.MonkeyPatch]:
    """Patches that are undone before `make` looks."""
    del make
    with pytest.MonkeyPatch.context() as patches:
        yield patches


@pytest.fixture
def azure(make: Make) -> Iterator[AzureModules]:
    modules = make()
    with modules.present():
        yield modules


def azure_names() -> list[str]:
    return [name for name in sys.modules if name.startswith("azureml")]


def run(source: str) -> dict[str, object]:
    found: dict[str, object] = {}
    exec(source, found)  # noqa: S102 - the test's own text, as a script has it
    return found


def install(folder: Path, files: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    """Put packages where installed ones are."""
    for name, text in files.items():
        (folder / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "site" / name).write_text(text)
    patch.syspath_prepend(folder / "site")


REAL_SDK = {
    "azureml/__init__.py": "",
    "azureml/core/__init__.py": "from azureml.core.model import Model\nfrom azureml.core.workspace import Workspace",
    "azureml/core/workspace.py": "class Workspace:\n    place = 'real'",
    "azureml/core/model.py": "class Model:\n    mark = 'real'\n    @staticmethod\n"
    "    def get_model_path(model_name, version=None, _workspace=None):\n        raise OSError('no run of Azure')",
    "azureml/train/__init__.py": "from azureml.core.model import Model",
}


@pytest.mark.parametrize(
    "source",
    [
        "from azureml.core.model import Model\npath = Model.get_model_path('m', 2)",
        "from azureml.core import Model\npath = Model.get_model_path(model_name='m', version=2)",
        "import azureml.core\npath = azureml.core.Model.get_model_path('m', version=2)",
        "import azureml.core\npath = azureml.core.model.Model.get_model_path('m', 2, _workspace=None)",
        "import azureml.core.model as m\npath = m.Model.get_model_path('m', 2)",
        "from azureml.core import model\npath = model.Model.get_model_path('m', 2)",
        "import importlib\npath = importlib.import_module('azureml.core.model').Model.get_model_path('m', 2)",
    ],
)
def test_a_models_path_is_had_by_every_import(source: str, azure: AzureModules) -> None:
    del azure
    assert run(source)["path"] == "/models/m/2"


def test_no_version_is_handed_on_as_none(azure: AzureModules) -> None:
    del azure
    assert run("from azureml.core import Model\npath = Model.get_model_path('m')")["path"] == "/models/m/None"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from azureml.core import Workspace", "azureml.core.Workspace"),
        ("from azureml.core import Model, Run", "azureml.core.Run"),
        ("from azureml.core.run import Run", "azureml.core.run"),
        ("import azureml.core.run", "azureml.core.run"),
        ("import azureml.core\nazureml.core.Dataset", "azureml.core.Dataset"),
        ("import azureml.train", "azureml.train"),
        ("from azureml_user.parallel_run import Other", "azureml_user.parallel_run.Other"),
        ("from azureml.core import Model\nModel.list", "Model.list"),
        ("from azureml.core import Model\nModel('workspace', name='m')", "Model(workspace, name)"),
        ("from azureml_user.parallel_run import EntryScript\nEntryScript().input_dir", "EntryScript().input_dir"),
        ("from azureml_user.parallel_run import EntryScript\nEntryScript.input_dir", "EntryScript.input_dir"),
    ],
)
def test_what_is_not_there_says_what_is_and_what_to_do(source: str, name: str, azure: AzureModules) -> None:
    del azure
    kinds = (ImportError, AttributeError, NotImplementedError)
    if name == "azureml_user.parallel_run.Other":
        # A module that is no package: Python asks for the attribute and puts its own sentence in place of ours.
        with pytest.raises(ImportError, match="cannot import name 'Other'"):
            run(source)
        return
    with pytest.raises(kinds) as caught:
        run(source)

    assert str(caught.value).startswith(f"'{name}' is not here: sparkscore stands in for Azure's SDK with")
    assert "get_model_path(name) and EntryScript only" in str(caught.value)


def test_a_guarded_import_goes_the_other_way(azure: AzureModules) -> None:
    del azure
    source = "try:\n    from azureml.core import Run\nexcept ModuleNotFoundError:\n    Run = None"

    assert run(source)["Run"] is None


def test_a_look_at_all_modules_passes_the_stand_ins_by(azure: AzureModules) -> None:
    del azure
    run("import azureml.core.model, azureml_user.parallel_run")

    assert [hasattr(sys.modules[name], "__file__") for name in azure_names()] == [False] * 5


def test_the_entry_script_is_one_object_with_its_places(azure: AzureModules, tmp_path: Path) -> None:
    del azure
    found = run("from azureml_user.parallel_run import EntryScript\none, two = EntryScript(), EntryScript()")
    one = found["one"]

    assert one is found["two"]
    assert isinstance(one, found["EntryScript"])  # type: ignore[arg-type]
    assert (one.output_dir, one.working_dir) == (str(tmp_path / "output"), str(tmp_path / "code"))  # type: ignore[attr-defined]
    assert one.agent_name == f"process{os.getpid():03d}"  # type: ignore[attr-defined]
    assert not (tmp_path / "logs").exists()
    assert Path(one.log_dir).is_dir()  # type: ignore[attr-defined]
    assert one.log_dir == str(tmp_path / "logs" / "host")  # type: ignore[attr-defined]


def test_the_entry_scripts_logger_writes_a_file_for_each_process_and_hides_secrets(
    azure: AzureModules, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = (
        "from azureml_user.parallel_run import EntryScript\n"
        "EntryScript().logger.debug('read %s', 'https://a.b/c?sig=SECRET')\nEntryScript().logger.info('done')"
    )
    with caplog.at_level(logging.INFO):
        run(source)
    azure.close()

    (file,) = (tmp_path / "logs" / "host").iterdir()
    lines = file.read_text().splitlines()
    assert file.name == f"process{os.getpid():03d}.txt"
    assert [line.split("|", 1)[1] for line in lines] == [
        "ParallelRunStep|DEBUG|read https://a.b/c?sig=***",
        "ParallelRunStep|INFO|done",
    ]
    assert "done" in caplog.messages
    assert "ParallelRunStep" not in logging.Logger.manager.loggerDict


def test_outside_the_script_nothing_of_azure_is_there(make: Make) -> None:
    modules = make()
    with modules.present():
        run("import azureml.core, azureml_user.parallel_run")

    assert azure_names() == []
    for name in ("azureml.core", "azureml_user.parallel_run"):
        with pytest.raises(ModuleNotFoundError, match="No module named"):
            importlib.import_module(name)


def test_the_script_finds_the_same_modules_again_and_another_script_its_own(make: Make) -> None:
    one, two = make(), make()
    source = "from azureml_user.parallel_run import EntryScript\nit = EntryScript()"
    with one.present():
        first = run(source)["it"]
    with two.present():
        second = run(source)["it"]
    with one.present():
        again = run(source)["it"]

    assert first is again
    assert first is not second


def test_an_error_in_the_script_leaves_nothing(make: Make) -> None:
    modules = make()
    with pytest.raises(ImportError), modules.present():
        run("import azureml.core\nfrom azureml.core import Run")

    assert azure_names() == []
    assert modules not in sys.meta_path


def test_a_script_may_take_the_finder_away(make: Make) -> None:
    with make().present():
        sys.meta_path.pop(0)


def test_modules_of_the_worker_are_put_back(make: Make, patch: pytest.MonkeyPatch) -> None:
    workers = {name: ModuleType(name) for name in ("azureml", "azureml.core", "azureml.mlflow", "azureml_tools")}
    for name, module in workers.items():
        patch.setitem(sys.modules, name, module)

    with make().present():
        found = run("import azureml.core\nimport azureml_tools")

    assert found["azureml"] is not workers["azureml"]
    assert found["azureml_tools"] is workers["azureml_tools"]
    assert {name: sys.modules[name] for name in workers} == workers


def test_an_installed_sdk_is_used_but_for_the_models_path(
    make: Make, tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, REAL_SDK, patch)
    with make().present():
        found = run(
            "import azureml.train\nfrom azureml.core import Model, Workspace, model\n"
            "path = azureml.train.Model.get_model_path('m', 3)\nplace = Workspace.place\nmark = Model.mark\n"
            "source = model.__loader__.get_source(model.__name__)\nfrom azureml_user.parallel_run import EntryScript"
        )

    assert (found["path"], found["place"], found["mark"]) == ("/models/m/3", "real", "real")
    assert "no run of Azure" in str(found["source"])
    real = importlib.import_module("azureml.core.model")
    with pytest.raises(OSError, match="no run of Azure"):
        real.Model.get_model_path("m")
    for name in azure_names():
        del sys.modules[name]


@pytest.mark.parametrize("init", [{}, {"azureml/__init__.py": ""}])
def test_other_packages_of_azure_stay_beside_the_stand_in(
    init: dict[str, str], make: Make, tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, {"azureml/mlflow/__init__.py": "PLACE = 'installed'", **init}, patch)
    source = "import azureml.mlflow\nfrom azureml.core import Model\npath = Model.get_model_path('m')"
    with make().present():
        found = run(source)
        with pytest.raises(ModuleNotFoundError, match=r"No module named 'azureml\.train'"):
            run("import azureml.train")

    assert found["path"] == "/models/m/None"
    assert found["azureml"].mlflow.PLACE == "installed"  # type: ignore[attr-defined]


def test_a_module_that_the_script_brings_itself_wins(make: Make, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    own = {"azureml_user/__init__.py": "", "azureml_user/parallel_run.py": "class EntryScript:\n    mark = 'own'"}
    install(tmp_path, own, patch)

    with make().present():
        found = run("from azureml_user.parallel_run import EntryScript\nmark = EntryScript.mark")

    assert found["mark"] == "own"
