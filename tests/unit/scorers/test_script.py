from __future__ import annotations

import asyncio
import dataclasses
import importlib
import os
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sparkscore.digest import digest_of_path
from sparkscore.errors import ModelError, ScoringScriptError, SourceSchemaError
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure
from sparkscore.scorers import ScriptSpec, load_scorer
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scorers.failed import ScorerFailedError
from sparkscore.scorers.missing_package import advise_on_package
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.script import ScriptScorer
from sparkscore.scripts.packing import pack_script

FILES = MiniBatch("0", ("/in/a", "/in/b"))
ROWS = MiniBatch("0", (), pa.table({"x": [1, 2]}))

Load = Callable[..., ScriptScorer]


@pytest.fixture(autouse=True)
def _host_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., ScriptSpec]:
    def make(source: str, script: str = "score.py", **siblings: str) -> ScriptSpec:
        folder = tmp_path / f"code-{len(list(tmp_path.iterdir()))}"
        for name, text in {script: source, **siblings}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        return ScriptSpec(pack_script(folder, script).code, script, work_folder=str(work), output_folder="/out")

    return make


@pytest.fixture
def load(spec: Callable[..., ScriptSpec]) -> Iterator[Load]:
    loaded: list[ScriptScorer] = []

    def make(
        source: str, script: str = "score.py", siblings: dict[str, str] | None = None, **more: Any
    ) -> ScriptScorer:
        scorer = ScriptScorer(dataclasses.replace(spec(source, script, **(siblings or {})), **more))
        loaded.append(scorer)
        scorer.load()
        return scorer

    yield make
    for scorer in loaded:
        scorer.close()


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Whatever a script does and however it ends, the process is as it was."""
    before = surroundings()
    yield
    assert surroundings() == before


def surroundings() -> tuple[object, ...]:
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return (
        variables,
        Path.cwd(),
        list(sys.path),
        list(sys.argv),
        [name for name in sys.modules if name.startswith("own_")],
    )


def files_of(path: Path, name: str = "churn", version: str = "1") -> ModelFiles:
    return ModelFiles(name, version, str(path), digest_of_path(path))


def failure_of(call: Callable[[], object]) -> Failure:
    with pytest.raises(ScorerFailedError) as caught:
        call()
    return caught.value.failure


def test_the_script_gets_paths_or_a_frame_of_its_own(load: Load) -> None:
    scorer = load("def run(b):\n    return [type(b).__name__, list(b)]")

    assert scorer.score(FILES) == ["list", ["/in/a", "/in/b"]]
    assert scorer.score(ROWS) == ["DataFrame", ["x"]]


def test_arrow_dtypes_are_handed_over_when_asked_for(load: Load) -> None:
    rows = MiniBatch("0", (), pa.table({"x": pa.array([2**63 - 1, None])}))
    source = "def run(b):\n    return [str(b['x'].dtype)]"

    assert load(source, dtypes=Dtypes(are_arrow=True)).score(rows) == ["int64[pyarrow]"]
    with pytest.raises(SourceSchemaError, match="INPUT_INEXACT"):
        load(source, dtypes=Dtypes(with_null=frozenset({"x"}))).score(rows)


def test_init_is_called_once_and_state_lasts(load: Load) -> None:
    scorer = load(
        "done = []\ndef init():\n    done.append('init')\ndef run(b):\n    done.append('run')\n    return list(done)"
    )

    assert scorer.score(FILES) == ["init", "run"]
    assert scorer.score(FILES) == ["init", "run", "run"]


def test_init_may_be_absent_and_an_init_that_is_no_function_is_left_alone(load: Load) -> None:
    assert load("init = None\ndef run(b):\n    return [1]").score(FILES) == [1]


def test_the_script_runs_in_surroundings_of_its_own(load: Load) -> None:
    source = """
import os, sys
def look():
    return {
        "name": __name__, "file": __file__, "cwd": os.getcwd(), "path": sys.path[:2], "argv": sys.argv,
        "set": os.environ["OWN_SETTING"], "out": os.environ["AZUREML_BI_OUTPUT_PATH"],
        "model": os.environ["AZUREML_MODEL_DIR"],
    }
seen = [look()]
def init():
    seen.append(look())
def run(b):
    seen.append(look())
    return seen
def shutdown():
    seen.append(look())
"""
    more = {"environment": (("OWN_SETTING", "1"), ("AZUREML_MODEL_DIR", "/theirs")), "arguments": ("--a", "1")}

    scorer = load(source, "src/score.py", **more)
    seen = scorer.score(FILES)
    scorer.close()

    assert isinstance(seen, list)
    assert len(seen) == 4
    assert all(look == seen[0] for look in seen)
    folder = Path(seen[0]["cwd"])
    assert seen[0]["file"] == str(folder / "src" / "score.py")
    assert seen[0]["path"] == [str(folder / "src"), str(folder)]
    assert seen[0]["argv"] == [str(folder / "src" / "score.py"), "--a", "1"]
    assert (seen[0]["name"], seen[0]["set"], seen[0]["out"]) == ("score", "1", "/out")
    assert seen[0]["model"] == str(folder.parent / "model")


@pytest.mark.parametrize("place", ["", "def init():\n    ", "def run(b):\n    "])
@pytest.mark.parametrize(
    "end", ["raise ValueError('x')", "sys.exit(3)", "1 / 0", "raise asyncio.CancelledError", "raise GeneratorExit"]
)
def test_what_the_script_changes_and_raises_does_not_reach_the_process(place: str, end: str, load: Load) -> None:
    mess = "os.environ['OWN_X'] = '1'; os.environ.pop('PATH'); os.chdir('/'); sys.path[:0] = ['/x']; sys.argv.clear(); "
    rest = "" if place.startswith("def run") else "\ndef run(b): ..."

    failure = failure_of(lambda: load(f"import asyncio, os, sys\n{place}{mess}{end}{rest}").score(FILES))

    assert failure.code == {"": "SCRIPT_IMPORT", "def i": "SCRIPT_INIT", "def r": "SCRIPT_RUN"}[place[:5]]
    assert failure.place == f"score.py, line {3 if place else 2}"
    assert failure.error_class in {"ValueError", "SystemExit", "ZeroDivisionError", "CancelledError", "GeneratorExit"}


def test_the_script_may_replace_lists_of_the_process_without_harm(load: Load) -> None:
    load("import os, sys\nsys.path = ['/x'] + sys.path\nsys.argv = ['x']\ndef run(b): ...")


@pytest.mark.parametrize("place", ["", "def init():\n    ", "def run(b):\n    "])
def test_an_interrupt_is_no_failure_of_the_script(place: str, load: Load) -> None:
    rest = "" if place.startswith("def run") else "\ndef run(b): ..."

    with pytest.raises(KeyboardInterrupt):
        load(f"{place}raise KeyboardInterrupt{rest}").score(FILES)


@pytest.mark.parametrize("name", ["BAD=NAME", "NUL\0"])
def test_surroundings_that_cannot_be_made_leave_the_process_as_it_was(name: str, load: Load) -> None:
    with pytest.raises(ValueError, match=r"illegal environment variable name|embedded null"):
        load("def run(b): ...", environment=(("OWN_A", "1"), (name, "x")))


def test_a_copy_that_was_removed_under_the_scorer_leaves_the_process_as_it_was(load: Load, tmp_path: Path) -> None:
    scorer = load("def run(b):\n    return [1]")
    for home in (tmp_path / "work").iterdir():
        home.rename(tmp_path / "gone")

    with pytest.raises(ScoringScriptError, match="SCRIPT_FOLDER"):
        scorer.score(FILES)


@pytest.mark.parametrize(
    ("source", "place"),
    [("def run(b:\n", "score.py, line 1"), ("import own_broken\ndef run(b): ...", "own_broken.py, line 2")],
)
def test_a_syntax_error_has_a_place(source: str, place: str, load: Load) -> None:
    failure = failure_of(lambda: load(source, siblings={"own_broken.py": "\nx = = 1"}))

    assert (failure.code, failure.error_class, failure.place) == ("SCRIPT_IMPORT", "SyntaxError", place)


def test_a_script_without_run_is_refused(load: Load) -> None:
    with pytest.raises(ScoringScriptError, match="SCRIPT_NO_RUN"):
        load("run = 3")


def test_a_script_that_is_no_python_file_is_refused(load: Load) -> None:
    failure = failure_of(lambda: load("def run(b): ...", "score.txt"))

    assert (failure.code, failure.message) == ("SCRIPT_IMPORT", "score.txt is not a Python file")


def test_a_scorer_that_is_not_loaded_does_not_score(spec: Callable[..., ScriptSpec]) -> None:
    scorer = ScriptScorer(spec("def run(b): ..."))

    with pytest.raises(RuntimeError, match="not loaded"):
        scorer.score(FILES)
    scorer.close()


@pytest.mark.parametrize(
    "body",
    [
        "for file in b:\n        yield os.environ['OWN_X']",
        "return (os.environ['OWN_X'] for _ in b)",
        "return map(lambda _: os.environ['OWN_X'], b)",
    ],
)
def test_a_generator_runs_in_the_scripts_surroundings(body: str, load: Load) -> None:
    scorer = load(f"import os\ndef run(b):\n    {body}", environment=(("OWN_X", "1"),))

    assert scorer.score(FILES) == ["1", "1"]


def test_a_generator_that_raises_is_a_failure_of_run(load: Load) -> None:
    failure = failure_of(lambda: load("def run(b):\n    yield 1\n    raise OSError('x')").score(FILES))

    assert (failure.code, failure.place) == ("SCRIPT_RUN", "score.py, line 3")


def test_siblings_are_found_by_import_and_by_file(load: Load) -> None:
    source = """
import json
from pathlib import Path
import own_plain, own_package.part
from own_folder import part
labels = json.loads((Path(__file__).parent / "labels.json").read_text())
def run(b):
    import own_late
    return [own_plain.X, own_package.part.X, part.X, own_late.X, labels]
"""
    siblings = {
        "own_plain.py": "X = 1", "own_package/__init__.py": "", "own_package/part.py": "X = 2",
        "own_folder/part.py": "X = 3", "own_late.py": "X = 4", "labels.json": "[5]",
    }  # fmt: skip

    assert load(source, siblings=siblings).score(FILES) == [1, 2, 3, 4, [5]]


@pytest.mark.parametrize("first", ["own_lib.py", "own_lib/__init__.py", "own_lib/part.py"])
@pytest.mark.parametrize("second", ["own_lib.py", "own_lib/__init__.py", "own_lib/part.py"])
def test_scripts_of_different_runs_do_not_see_each_others_modules(first: str, second: str, load: Load) -> None:
    def source(name: str) -> str:
        return "from own_lib.part import X" if name.endswith("part.py") else "from own_lib import X"

    run = "\nfrom own_state import BOX\ndef run(b):\n    BOX.append(X)\n    return list(BOX)"
    one = load(source(first) + run, siblings={first: "X = 1", "own_state.py": "BOX = []"})
    assert one.score(FILES) == [1]
    one.close()

    two = load(source(second) + run, siblings={second: "X = 2", "own_state.py": "BOX = []"})

    assert two.score(FILES) == [2]


@pytest.mark.parametrize(
    "folder",
    ["os.path.dirname(os.path.realpath(__file__))", "os.getcwd()", "'.'", "str(Path(__file__).resolve().parent)"],
)
def test_modules_found_through_a_link_go_as_well(folder: str, spec: Callable[..., ScriptSpec], tmp_path: Path) -> None:
    source = (
        f"import os, sys\nfrom pathlib import Path\nsys.path[:0] = [{folder} + '/lib']\nimport own_x\ndef run(b): ..."
    )
    (tmp_path / "link").symlink_to(tmp_path / "work")

    scorer = load_scorer(dataclasses.replace(spec(source, **{"lib/own_x.py": ""}), work_folder=str(tmp_path / "link")))
    assert "own_x" in sys.modules
    scorer.close()

    assert "own_x" not in sys.modules


def test_modules_of_others_stay(load: Load) -> None:
    class Lazy:
        def __getattr__(self, name: str) -> object:
            raise ImportError(name)

    sys.modules["not_loaded_yet"] = Lazy()  # type: ignore[assignment]
    try:
        load("import colorsys\ndef run(b): ...").close()
        assert {"colorsys", "not_loaded_yet"} <= set(sys.modules)
    finally:
        del sys.modules["not_loaded_yet"]
    assert importlib.import_module("colorsys")


def test_the_scripts_classes_can_be_pickled_and_be_dataclasses(load: Load) -> None:
    source = """
from __future__ import annotations
import pickle
from dataclasses import dataclass
@dataclass
class Point:
    x: int
def run(b):
    return [pickle.loads(pickle.dumps(Point(3))).x]
"""
    assert load(source).score(FILES) == [3]


def test_a_folder_with_the_model_under_its_own_name_can_be_searched_in_every_way(load: Load, tmp_path: Path) -> None:
    model = tmp_path / "real" / "churn-1.2"
    (model / "data").mkdir(parents=True)
    (model / "data" / "weights.json").write_text("[1]")
    (model / "circle").symlink_to(model)
    (tmp_path / "latest").symlink_to(model)
    source = """
import glob, os
from pathlib import Path
def run(b):
    root = os.environ["AZUREML_MODEL_DIR"]
    yield sorted(os.listdir(root))
    yield [os.path.basename(p.rstrip("/")) for p in glob.glob(f"{root}/*/")]
    yield [p.name for p in Path(root).rglob("*.json")]
    yield [name for _, _, names in os.walk(root) for name in names if name.endswith(".json")]
    yield (next(Path(root).iterdir()) / "data" / "weights.json").read_text()
"""
    for path in (model, tmp_path / "latest"):
        scorer = load(source, model=files_of(path))
        assert scorer.score(FILES) == [[path.name], [path.name], ["weights.json"], ["weights.json"], "[1]"]
        scorer.close()
    assert (model / "data" / "weights.json").read_text() == "[1]"


def test_the_model_is_there_as_real_files_that_take_no_space(load: Load, tmp_path: Path) -> None:
    model = tmp_path / "churn"
    (model / "data").mkdir(parents=True)
    (model / "data" / "weights.bin").write_bytes(b"weights")
    source = """
import os
from pathlib import Path
def run(b):
    for folder, folders, names in os.walk(os.environ["AZUREML_MODEL_DIR"]):
        for name in [*folders, *names]:
            path = Path(folder, name)
            assert path.resolve() == path, path
            yield name if path.is_dir() else (name, path.stat().st_nlink)
"""
    scorer = load(source, model=files_of(model))

    assert scorer.score(FILES) == ["churn", "data", ("weights.bin", 2)]


def test_a_file_system_without_hard_links_gets_copies(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "model.pkl").write_bytes(b"weights")
    monkeypatch.setattr(os, "link", refuse)
    assert load(LOOK, model=files_of(tmp_path / "model.pkl")).score(FILES) == ["model.pkl"]


def test_the_folder_of_the_links_goes_with_the_scorer_and_the_copy_stays(load: Load, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"weights")
    scorer = load(LOOK.replace("return sorted", "return [root] + sorted"), model=files_of(tmp_path / "model.pkl"))
    found: Any = scorer.score(FILES)

    scorer.close()

    assert found[1:] == ["model.pkl"]
    assert not Path(found[0]).exists()
    assert list(Path(found[0]).parents[1].rglob("model.pkl"))


def test_a_script_loads_an_mlflow_model_from_there(load: Load, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    code = (
        "import mlflow\nclass M(mlflow.pyfunc.PythonModel):\n    def predict(self, context, model_input): return [7]\n"
    )
    (tmp_path / "seven.py").write_text(f"{code}\nmlflow.models.set_model(M())")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(tmp_path / "model", python_model=tmp_path / "seven.py", pip_requirements=["mlflow"])
    source = """
import os, mlflow
def init():
    global model
    model = mlflow.pyfunc.load_model(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model"))
def run(b):
    return model.predict([1])
"""
    assert load(source, model=files_of(tmp_path / "model")).score(FILES) == [7]


def test_the_folder_holds_a_model_file_under_its_own_name_or_nothing(load: Load, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"weights")
    source = "import os\nroot = os.environ['AZUREML_MODEL_DIR']\ndef run(b):\n    return os.listdir(root)"

    assert load(source, model=files_of(tmp_path / "model.pkl")).score(FILES) == ["model.pkl"]
    assert load(source).score(FILES) == []


LOOK = """
import os
root = os.environ["AZUREML_MODEL_DIR"]
def run(b):
    return sorted(os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root)
                  for name in names)
"""


def test_further_models_are_laid_out_by_name_and_version(load: Load, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"weights")
    (tmp_path / "labels" / "en").mkdir(parents=True)
    (tmp_path / "labels" / "en" / "names.txt").write_text("a")
    folder = tmp_path / "labels"

    scorer = load(
        LOOK,
        model=files_of(tmp_path / "model.pkl"),
        models=(files_of(folder, "words", "3"), files_of(folder, "plain", "sha256:ab"), files_of(folder, "up", "..")),
    )

    assert scorer.score(FILES) == [
        "model.pkl",
        "plain/sha256-ab/labels/en/names.txt",
        "up/-/labels/en/names.txt",
        "words/3/labels/en/names.txt",
    ]


@pytest.mark.parametrize("name", ["model", "model.pkl"])
def test_a_further_model_with_the_name_of_the_models_own_file_is_refused(name: str, load: Load, tmp_path: Path) -> None:
    path = tmp_path / "m" / name
    path.parent.mkdir()
    if name == "model":
        path.mkdir()
    (path / "weights" if name == "model" else path).write_bytes(b"weights")

    with pytest.raises(ModelError, match=f"MODEL_NAME.*'{name}'"):
        load(LOOK, model=files_of(path), models=(files_of(path, name),))


def test_a_model_that_is_not_the_one_the_run_began_with_is_not_used(load: Load, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"weights")
    files = files_of(tmp_path / "model.pkl")
    (tmp_path / "model.pkl").write_bytes(b"others")

    with pytest.raises(ModelError, match="MODEL_CHANGED"):
        load(LOOK, model=files)


def test_closing_calls_shutdown_and_removes_the_copy(load: Load, tmp_path: Path) -> None:
    source = "import os\ndef run(b): ...\ndef shutdown():\n    os.mkdir(os.environ['OWN_MARK'])"
    scorer = load(source, environment=(("OWN_MARK", str(tmp_path / "mark")),))
    assert len(list((tmp_path / "work").iterdir())) == 1

    scorer.close()
    scorer.close()

    assert (tmp_path / "mark").exists()
    assert list((tmp_path / "work").iterdir()) == []
    assert "score" not in sys.modules


@pytest.mark.parametrize("end", ["raise ValueError", "import sys\n    sys.exit(1)"])
def test_a_failing_shutdown_fails_nothing(end: str, load: Load, tmp_path: Path) -> None:
    load(f"import own_x\ndef run(b): ...\ndef shutdown():\n    {end}", siblings={"own_x.py": ""}).close()

    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("source", ["raise ValueError", "def init():\n    raise ValueError\ndef run(b): ...", "x = 1"])
def test_a_scorer_that_does_not_load_leaves_nothing_and_is_not_shut_down(
    source: str, spec: Callable[..., ScriptSpec], tmp_path: Path
) -> None:
    source = f"import own_x\ndef shutdown():\n    open({str(tmp_path / 'mark')!r}, 'w').close()\n{source}"

    with pytest.raises((ScorerFailedError, ScoringScriptError)):
        load_scorer(spec(source, **{"own_x.py": ""}))

    assert list((tmp_path / "work").iterdir()) == []
    assert not (tmp_path / "mark").exists()
    assert not {"score", "own_x"} & set(sys.modules)


def test_a_spec_travels(spec: Callable[..., ScriptSpec]) -> None:
    made = spec("def run(b): ...")

    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own


def test_cancellation_is_what_the_test_above_takes_it_for() -> None:
    assert not issubclass(asyncio.CancelledError, Exception)


def test_what_init_changes_of_its_surroundings_is_there_in_run(load: Load, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "late.py").write_text("VALUE = 7")
    before = (os.environ.copy(), Path.cwd(), sys.path.copy())
    scorer = load(
        """
import os, sys

def init():
    os.environ["CHOSEN_IN_INIT"] = "yes"
    os.mkdir("below")
    os.chdir("below")
    sys.path.insert(0, sys.argv[1])

def run(mini_batch):
    import late
    return [os.environ["CHOSEN_IN_INIT"], os.path.basename(os.getcwd()), late.VALUE]
""",
        arguments=(str(tmp_path / "deep"),),
    )

    assert [scorer.score(FILES) for _ in range(2)] == [["yes", "below", 7]] * 2
    assert (os.environ.copy(), Path.cwd(), sys.path.copy()) == before
    sys.modules.pop("late")


@pytest.mark.parametrize(
    "source",
    ["run = lambda batch, context: batch", "class Model:\n    def run(self, a, b): ...\nrun = Model().run"],
)
def test_parameters_that_only_an_import_shows_are_found_before_init(source: str, load: Load) -> None:
    source += "\ndef init():\n    raise AssertionError"

    with pytest.raises(ScoringScriptError) as caught:
        load(source)

    assert caught.value.code == "SCRIPT_PARAMETERS"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("from . import helper", "from helper import NAME"),
        ("from .helper import y", "from helper import NAME"),
        ("import pkg.above", "from helper import NAME"),
        ("import pkg.missing", "'pkg' is of the code folder, which has no module 'pkg.missing'"),
        ("import pkg.wrong", "'pkg' is of the code folder, which has no module 'pkg.absent'"),
        ("import helper.sub", "'helper' is of the code folder, which has no module 'helper.sub'"),
        ("from helper import absent", ""),
        ("import first", ""),
    ],
)
def test_files_of_the_code_folder_are_no_packages_of_the_workers(source: str, told: str, load: Load) -> None:
    siblings = {
        "helper.py": "y = 1",
        "pkg/__init__.py": "",
        "pkg/above.py": "from ..helper import y",
        "pkg/wrong.py": "from .absent import y",
        "first.py": "from second import b\na = 1",
        "second.py": "from first import a\nb = 1",
    }

    with pytest.raises(ScorerFailedError) as caught:
        load(f"{source}\ndef run(mini_batch): return [1]", siblings=siblings)

    step = advise_on_package(caught.value.failure, None).next_step
    assert told in step
    assert bool(step) is bool(told)
