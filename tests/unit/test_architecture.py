from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sparkscore

PACKAGE = Path(sparkscore.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = Path(__file__).parents[1]
# What tests share: their stand-ins and checks, and the storm and the benchmark, which are programs of their own.
SHARED_BY_TESTS = ("tests.support", "tests.storm", "tests.bench")
CLASSIC_ONLY = {"_jsc", "_jvm", "_sc", "rdd", "sparkContext"}
# These use what no interface of Python has for all sessions, or has only in hundreds of calls. Spark Connect has no
# accumulators, so rows are counted in classic sessions only.
MAY_USE_CLASSIC = {
    f"spark/jvm_{name}.py" for name in ("batches", "conf", "delta", "hadoop", "names", "session", "thrift")
} | {"spark/row_counts.py"}
WORKER_AND_BELOW = (
    "survey",
    "worker",
    "scorers",
    "scripts",
    "registry",
    "stage",
    "outcome",
    "minibatch",
    "parquet",
    "returned",
    "signature",
    "location",
    "object_store",
    "redaction",
    "secret_names",
    "tolerance",
    "errors",
    "removal",
    "rotating_log",
)
REMOVES = {
    *("rmtree", "unlink", "rmdir", "removedirs", "truncate", "TemporaryDirectory", "mkdtemp"),
    *("delete_dir", "delete_dir_contents", "delete_file"),
}
RENAMES = {"remove", "rename", "replace", "renames", "move", "system"}
MAY_REMOVE = {"removal.py"}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "tools"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 50


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def classic_uses(source: str) -> list[str]:
    nodes = list(ast.walk(ast.parse(source)))
    attributes = [(node.lineno, node.attr) for node in nodes if isinstance(node, ast.Attribute)]
    texts = [(node.lineno, str(node.value)) for node in nodes if isinstance(node, ast.Constant)]
    return [f"{line}: {name}" for line, name in sorted(attributes + texts) if name in CLASSIC_ONLY]


@pytest.mark.parametrize(
    "source",
    [
        "df.rdd.count()",
        "spark._jvm.java",
        "x = spark.sparkContext",
        "getattr(spark, '_jvm')",
        "def f():\n    s._sc.stop()",
    ],
)
def test_the_search_finds_classic_only_interfaces(source: str) -> None:
    assert classic_uses(source)


def test_the_search_leaves_other_words_alone() -> None:
    assert classic_uses('"""The RDD, the sparkContext and _jvm in a text."""\nrdd = 1  # _jvm') == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_modules_that_may_touch_the_jvm_do_so(path: Path) -> None:
    uses = classic_uses(path.read_text(encoding="utf-8"))

    # A module that no longer needs its exemption loses it.
    assert bool(uses) == (name_of(path) in MAY_USE_CLASSIC)


def removals(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = REMOVES | RENAMES if node.module in {"os", "shutil"} else REMOVES
            found += [f"{node.lineno}: {alias.name}" for alias in node.names if alias.name in names]
        elif isinstance(node, ast.Import):
            # Under another name its functions would not be found.
            found += [
                f"{node.lineno}: {alias.name}"
                for alias in node.names
                if alias.name in {"os", "shutil"} and alias.asname
            ]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            found += [
                f"{node.lineno}: {part.value}"
                for part in node.args
                if isinstance(part, ast.Constant) and part.value in REMOVES
            ]
        elif isinstance(node, ast.Attribute) and node.attr in REMOVES:
            found.append(f"{node.lineno}: {node.attr}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _renames(node, node.func):
            found.append(f"{node.lineno}: {node.func.attr}")
    return found


def _renames(call: ast.Call, function: ast.Attribute) -> bool:
    """Tell a rename of files from `str.replace`, `datetime.replace` and `list.remove`."""
    if isinstance(function.value, ast.Name) and function.value.id in {"os", "shutil"}:
        return function.attr in RENAMES
    is_target = [keyword.arg for keyword in call.keywords] == ["target"] and not call.args
    return function.attr in {"rename", "replace"} and (is_target or (len(call.args) == 1 and not call.keywords))


@pytest.mark.parametrize(
    "source",
    [
        "shutil.rmtree(x)",
        "from shutil import rmtree",
        "path.unlink()",
        "os.unlink(path)",
        "from os import unlink as drop",
        "path.rmdir()",
        "os.remove(path)",
        "a.rename(b)",
        "a.replace(b)",
        "os.replace(a, b)",
        "shutil.move(a, b)",
        "from os import remove as drop",
        "from os import replace",
        "from shutil import move",
        "import os as o; o.remove(x)",
        "import shutil as s; s.move(a, b)",
        "a.rename(target=b)",
        "os.truncate(path, 0)",
        "os.system('rm -r x')",
        "getattr(os, 'unlink')(x)",
        "fs.delete_dir(x)",
        "tempfile.TemporaryDirectory()",
        "tempfile.mkdtemp()",
        "atexit.register(shutil.rmtree, folder)",
    ],
)
def test_the_search_finds_what_removes(source: str) -> None:
    assert removals(source)


def test_the_search_for_what_removes_leaves_other_words_alone() -> None:
    assert removals("text.replace('a', 'b'); day.replace(tzinfo=None); names.remove(1); replace(spec, kind='x')") == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_one_module_alone_removes_and_replaces_files(path: Path) -> None:
    if name_of(path) not in MAY_REMOVE:
        assert removals(path.read_text(encoding="utf-8")) == []


def test_worker_code_imports_without_spark_and_configuration_libraries() -> None:
    modules = [
        "sparkscore." + name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in FILES
        if path.relative_to(PACKAGE).with_suffix("").parts[0] in WORKER_AND_BELOW
    ]
    blocked = "for name in ('pyspark', 'delta', 'pydantic', 'yaml'): sys.modules[name] = None"
    code = f"import importlib, sys\n{blocked}\nfor name in {modules}: importlib.import_module(name)\nprint('imported')"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert len(modules) > len(WORKER_AND_BELOW)
    assert (ended.stdout, ended.stderr) == ("imported\n", "")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_small_and_names_say_something(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]

    assert len(source.splitlines()) <= LONGEST_FILE
    assert {node.name: body_lines(node) for node in functions if body_lines(node) > LONGEST_FUNCTION} == {}
    assert not VAGUE_NAMES & set(path.relative_to(PACKAGE).with_suffix("").parts)


def body_lines(function: ast.FunctionDef) -> int:
    statements = function.body[1:] if ast.get_docstring(function, clean=False) else function.body
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0


def settings_uses(source: str) -> list[str]:
    """Find what reads or writes by Spark, sets an option of that, or changes a session's settings."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            is_of_session = name in {"spark", "_spark", "sparkSession"} and node.attr in {"read", "readStream"}
            if is_of_session or (name == "conf" and node.attr in {"set", "unset"}) or name in {"write", "writeStream"}:
                found.append((node.lineno, f"{name}.{node.attr}"))
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in {"option", "options", "writeTo", "saveAsTable"}:
            found.append((called.lineno, called.attr))
    return [f"{line}: {name}" for line, name in sorted(found)]


@pytest.mark.parametrize(
    "source",
    [
        "spark.read.parquet('a')",
        "self._spark.read.format('delta')",
        "frame.sparkSession.read",
        "spark.conf.set('a', 'b')",
        "self._spark.conf.unset('a')",
        "rows().write.format('delta').save('a')",
        "reader.option('a', 'b')",
        "reader.options(**more)",
        "frame.writeTo('t').append()",
    ],
)
def test_the_search_finds_what_depends_on_a_sessions_settings(source: str) -> None:
    assert settings_uses(source)


def test_the_search_leaves_other_readers_and_writers_alone() -> None:
    assert settings_uses("file.write(text)\nsink.read(published)\nx = request.options\nself.conf = 1") == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_one_module_reads_and_writes_by_spark_and_changes_settings(path: Path) -> None:
    uses = settings_uses(path.read_text(encoding="utf-8"))

    if name_of(path) != "spark/settings.py":
        assert uses == []


def test_no_module_uses_pysparks_private_conversions() -> None:
    assert [name_of(path) for path in FILES if "pyspark.sql.pandas" in path.read_text(encoding="utf-8")] == []


def imports_of_tests(source: str) -> list[str]:
    """Return the modules below `tests/` that a source imports and that tests do not share."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name for name in names if f"{name}.".startswith("tests.") and not name.startswith(SHARED_BY_TESTS)]


@pytest.mark.parametrize(
    "source", ["from tests.unit.test_plan import plan", "import tests.azure.conftest", "from tests import faults"]
)
def test_the_search_finds_imports_of_other_tests(source: str) -> None:
    assert imports_of_tests(source)


def test_no_test_imports_another_test() -> None:
    for path in TESTS.rglob("*.py"):
        assert imports_of_tests(path.read_text(encoding="utf-8")) == [], path
