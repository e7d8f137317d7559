"""Libraries that a template imports for its children, as a worker sees them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers import ScriptSpec
from sparkscore.scripts.packing import pack_script
from sparkscore.signature import parse_ddl
from sparkscore.worker import ChildSpec, EngineSpec, LineageValues, ResultSpec
from sparkscore.worker.child import supervisor
from sparkscore.worker.child.messages import Library
from sparkscore.worker.child.supervisor import ChildEngine
from sparkscore.worker.child.template import Template
from sparkscore.worker.child.templates import Templates

RESULT = ResultSpec(parse_ddl("prediction string"), (), (), LineageValues("night", None, None))
# Whether PIL was there before the script imported it, and from where it came.
SCRIPT = """
import sys
was_there = "PIL" in sys.modules
import PIL

def run(files):
    return [f"{was_there} {PIL.__file__}" for file in files]
"""
Answer = Callable[..., tuple[str, str]]


@pytest.fixture(autouse=True)
def templates(monkeypatch: pytest.MonkeyPatch) -> Iterator[Templates]:
    fresh = Templates()
    monkeypatch.setattr(supervisor, "templates", fresh)
    yield fresh
    fresh.stop()


@pytest.fixture
def answer(tmp_path: Path) -> Answer:
    """Run a script in a child of its own, and return what it says of PIL."""

    def ask(script: str = SCRIPT, *, beside: str = "", variables: tuple[tuple[str, str], ...] = ()) -> tuple[str, str]:
        code = tmp_path / os.urandom(4).hex()
        code.mkdir()
        (code / "score.py").write_text(script)
        if beside:
            (code / beside).write_text("")
        spec = ScriptSpec(
            pack_script(code, "score.py").code, "score.py", environment=variables, work_folder=str(tmp_path)
        )
        engine = ChildEngine(EngineSpec("k", spec), ChildSpec(load_timeout=120, timeout=60))
        assert engine.load().failure is None
        told = score(engine)
        engine.close()
        return told

    return ask


class Run(NamedTuple):
    """A run with a loaded script, and its child."""

    engine: ChildEngine
    pid: int
    template: Template


Load = Callable[..., Run]


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Load]:
    """Load a script in a child that stays until the test ends."""
    engines: list[ChildEngine] = []

    def load(script: str = SCRIPT, *, libraries: tuple[str, ...] = ()) -> Run:
        code = tmp_path / os.urandom(4).hex()
        code.mkdir()
        (code / "score.py").write_text(script)
        spec = ScriptSpec(pack_script(code, "score.py").code, "score.py", work_folder=str(tmp_path))
        engine = ChildEngine(EngineSpec("k", spec, libraries=libraries), ChildSpec(load_timeout=120, timeout=60))
        engines.append(engine)
        assert engine.load().failure is None
        child = engine._child
        assert child is not None
        return Run(engine, child.pid, child._template)

    yield load
    for engine in engines:
        engine.close()


def score(engine: ChildEngine) -> tuple[str, str]:
    """Return whether PIL was there before the script imported it, and from where it came."""
    outcome = engine.score(MiniBatch("0", ("/in/a",)), RESULT, datetime.now(UTC))
    assert outcome.table is not None
    was_there, _, file = outcome.table.column("prediction")[0].as_py().partition(" ")
    return was_there, Path(file).name


def test_the_second_child_has_the_libraries_of_the_first(answer: Answer) -> None:
    assert [answer() for _ in range(3)] == [("False", "__init__.py"), ("True", "__init__.py"), ("True", "__init__.py")]


def test_a_module_beside_the_script_is_not_replaced_by_a_library(answer: Answer) -> None:
    answer()

    assert answer(beside="PIL.py") == ("False", "PIL.py")
    assert answer() == ("False", "__init__.py")  # this worker imports nothing more in advance


def test_a_library_is_imported_with_the_variables_of_the_deployment(answer: Answer) -> None:
    answer()
    answer()

    assert answer(variables=(("OMP_NUM_THREADS", "3"),))[0] == "False"
    assert answer()[0] == "True"


def test_a_script_that_fails_beside_imported_libraries_is_loaded_without_them(answer: Answer) -> None:
    answer()

    assert answer("import sys\nif 'PIL' in sys.modules: raise OSError\n" + SCRIPT)[0] == "False"


def library(folder: Path, name: str, content: str) -> Library:
    (folder / f"{name}.py").write_text(content)
    return Library(name, str(folder / f"{name}.py"))


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Template]:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    started = Template(sys.executable, is_own_python=True)
    yield started
    started.stop()


@pytest.mark.parametrize(
    "content",
    [
        "raise OSError",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    ],
)
def test_a_template_in_which_an_import_fails_or_starts_threads_has_no_children(
    template: Template, tmp_path: Path, content: str
) -> None:
    assert not template.prepare([library(tmp_path, "odd", content)], 60)


def test_a_library_that_is_another_file_than_in_the_child_is_not_used(template: Template, tmp_path: Path) -> None:
    name, _ = library(tmp_path, "plain", "")

    assert not template.prepare([Library(name, "/elsewhere/plain.py")], 60)


def test_a_template_fits_only_runs_that_have_its_libraries_and_its_import_path(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = library(tmp_path, "plain", "")

    assert template.has_only([])
    assert template.prepare([plain], 60)
    assert template.prepare([plain], 60)  # not asked again
    assert template.has_only([plain])
    assert not template.has_only([])
    monkeypatch.setattr(sys, "path", [*sys.path, "/more/code"])
    assert not template.has_only([plain])


def test_the_libraries_of_another_interpreter_are_not_imported(templates: Templates) -> None:
    templates.remember("/one/python", [("PIL", "/one/PIL/__init__.py")])
    templates.remember("/other/python", [])

    assert not templates._libraries


def test_runs_side_by_side_have_children_of_one_template(loaded: Load) -> None:
    first, second = loaded(), loaded()

    assert first.template is second.template
    assert first.pid != second.pid
    first.engine.close()
    assert score(second.engine)[0] == "True"
    assert loaded().template is second.template


def test_a_third_run_finds_the_libraries_while_the_first_two_are_there(loaded: Load) -> None:
    assert [score(loaded().engine)[0] for _ in range(3)] == ["False", "True", "True"]


def test_a_library_that_is_known_in_advance_is_there_for_the_first_child(loaded: Load) -> None:
    assert score(loaded(libraries=("PIL",)).engine)[0] == "True"
    assert score(loaded().engine)[0] == "True"


def test_a_library_that_nobody_has_imported_yet_is_not_imported_beside_a_child(loaded: Load) -> None:
    first = loaded("import sys\ndef run(files): return ['True x'] * len(files)")

    second = loaded(libraries=("PIL",))

    assert second.template is not first.template
    assert score(first.engine)[0] == "True"
    former = first.template._process
    assert former.poll() is None
    first.engine.close()
    assert former.poll() is not None
    assert loaded(libraries=("PIL",)).template is second.template


@pytest.mark.parametrize("content", ["raise OSError", "import os\nos._exit(9)"])
def test_a_library_that_cannot_be_imported_in_advance_is_left_to_the_child(
    loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    library(tmp_path, "odd", content)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    assert score(loaded(libraries=("odd",)).engine)[0] == "False"
    assert score(loaded().engine)[0] == "False"  # this worker imports nothing in advance any more


def test_the_end_of_a_template_ends_its_children_and_another_one_takes_over(loaded: Load) -> None:
    first, second = loaded(), loaded()
    first.template._process.kill()
    first.template._process.wait()

    for each in (first, second):
        outcome = each.engine.score(MiniBatch("0", ("/in/a",)), RESULT, datetime.now(UTC))
        assert outcome.failure is not None
        assert outcome.failure.code == "PROCESS_ENDED"
        assert each.engine.load().failure is None
        assert score(each.engine)[0]
