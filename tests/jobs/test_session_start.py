"""How a session starts, or says why it does not, in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import deltalake
import pytest

from sparkscore.spark.prerequisites import delta_coordinate

type_of_run = Callable[..., "subprocess.CompletedProcess[str]"]

FAILING_START = """
import ast, sys
from sparkscore.errors import SparkscoreError
from sparkscore.spark.session import local_session
try:
    local_session(log_file="log/spark.log", **ast.literal_eval(sys.argv[1]))
except SparkscoreError as error:
    print(type(error).__name__, error)
"""
# Nothing of Spark is started in these cases, so that one process has them all, each with its own environment.
REFUSED_STARTS = """
import json, os, sys
from sparkscore.errors import SparkscoreError
from sparkscore.spark.session import local_session
before, told = dict(os.environ), {}
for name, (environment, log_file) in json.loads(sys.argv[1]).items():
    os.environ.update(environment)
    try:
        local_session(log_file=log_file)
    except SparkscoreError as error:
        told[name] = f"{type(error).__name__} {error}"
    os.environ.clear()
    os.environ.update(before)
print(json.dumps(told))
"""
NO_MAVEN = """<ivysettings>
  <settings defaultResolver="empty"/>
  <resolvers>
    <filesystem name="empty" m2compatible="true"><artifact pattern="{folder}/[artifact]-[revision].[ext]"/></filesystem>
  </resolvers>
</ivysettings>"""


def only_line(ended: subprocess.CompletedProcess[str]) -> str:
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("\n") == 1
    return ended.stdout


def test_nothing_that_spark_or_a_worker_prints_reaches_the_terminal(run_python: type_of_run, tmp_path: Path) -> None:
    code = """
from sparkscore.spark.session import local_session

def noisy(batches):
    import sys
    print("worker says hello on stdout")
    print("worker says hello on stderr", file=sys.stderr, flush=True)
    yield from batches

spark = local_session(master="local[1]")
assert spark.range(3).mapInArrow(noisy, "id bigint").count() == 3
spark.stop()
again = local_session(master="local[2]", app_name="again")
again.range(7).write.format("delta").save("table")
assert (again.sparkContext.master, again.sparkContext.appName) == ("local[2]", "again")
"""

    ended = run_python(code, env={"XDG_CACHE_HOME": str(tmp_path / "cache")})

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    log = (tmp_path / "runs" / "spark.log").read_text(encoding="utf-8")
    assert "Ivy Default Cache" in log
    assert "worker says hello on stdout" in log
    assert "worker says hello on stderr" in log
    [note] = (tmp_path / "cache" / "sparkscore").glob("jars-*.json")
    assert any("delta-spark" in jar for jar in json.loads(note.read_text(encoding="utf-8")))
    assert deltalake.DeltaTable(tmp_path / "table").to_pyarrow_table().num_rows == 7


@pytest.mark.faults  # Every other test that starts a session starts it so, and this one starts four of Java.
def test_a_second_start_asks_neither_java_for_its_version_nor_ivy_for_its_jars(
    run_python: type_of_run, tmp_path: Path
) -> None:
    found = shutil.which("java") if not os.environ.get("JAVA_HOME") else Path(os.environ["JAVA_HOME"], "bin", "java")
    real = Path(str(found)).resolve().parents[1]
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/started\nexec {real}/bin/java "$@"\n', encoding="utf-8")
    java.chmod(0o755)
    shutil.copy(real / "release", tmp_path / "jdk" / "release")
    code = """
import sys
from sparkscore.spark.session import local_session
spark = local_session(master="local[1]", log_file=sys.argv[1])
spark.range(7).write.format("delta").save(sys.argv[2])
"""
    env = {"JAVA_HOME": str(tmp_path / "jdk"), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    ended = [run_python(code, f"{name}.log", name, env=env) for name in ("first", "second")]

    assert [(each.returncode, each.stderr) for each in ended] == [(0, "")] * 2
    logs = [(tmp_path / f"{name}.log").read_text(encoding="utf-8") for name in ("first", "second")]
    assert ["Ivy Default Cache" in log for log in logs] == [True, False]
    assert deltalake.DeltaTable(tmp_path / "second").to_pyarrow_table().num_rows == 7
    started = (tmp_path / "started").read_text(encoding="utf-8").splitlines()
    # Spark itself starts a Java to find out how to start the Java that stays.
    assert ["launcher.Main" in line for line in started] == [True, False] * 2
    assert len(started) == 4


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Tell what a start says where Java is missing or old, or the log file cannot be written."""
    folder = tmp_path_factory.mktemp("refused")
    java = folder / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n", encoding="utf-8")
    java.chmod(0o755)
    (folder / "taken").write_text("a file where the folder should be", encoding="utf-8")
    starts = {
        "no Java on the path": ({"PATH": "/nowhere", "JAVA_HOME": ""}, "log/spark.log"),
        "no Java at its home": ({"JAVA_HOME": "/nowhere"}, "log/spark.log"),
        "an old Java": ({"JAVA_HOME": str(folder / "jdk")}, "log/spark.log"),
        "no log": ({}, "taken/spark.log"),
    }
    command = [sys.executable, "-c", REFUSED_STARTS, json.dumps(starts)]
    told: dict[str, str] = json.loads(
        only_line(subprocess.run(command, capture_output=True, check=False, cwd=folder, env=os.environ, text=True))
    )
    assert not (folder / "log").exists()
    assert not [text for text in told.values() if "\n" in text]
    return told


@pytest.mark.parametrize("case", ["no Java on the path", "no Java at its home"])
def test_no_java_says_how_to_get_it(refused: dict[str, str], case: str) -> None:
    line = refused[case]

    assert line.startswith("MissingDependencyError [JAVA_MISSING] Spark needs Java: got no Java ")
    assert "apt-get install -y openjdk-17-jre-headless" in line
    assert "JAVA_HOME" in line


def test_an_old_java_is_refused_with_its_version(refused: dict[str, str]) -> None:
    line = refused["an old Java"]

    assert "[JAVA_VERSION] Spark needs Java: got Java 11 in JAVA_HOME" in line
    assert "expected Java 17 or later" in line


def test_a_wrong_master_names_the_cause_and_the_log_file(run_python: type_of_run, tmp_path: Path) -> None:
    line = only_line(run_python(FAILING_START, "{'master': 'nonsense'}"))

    assert "[SPARK_START] Spark did not start (org.apache.spark.SparkException: Master must either be" in line
    assert "'log/spark.log'" in line
    assert "\tat org.apache.spark" in (tmp_path / "log" / "spark.log").read_text(encoding="utf-8")


def test_a_setting_that_java_refuses_names_the_cause(run_python: type_of_run) -> None:
    line = only_line(run_python(FAILING_START, "{'conf': {'spark.driver.memory': 'lots'}}"))

    assert "[SPARK_START] Spark did not start (Invalid maximum heap size: -Xmxlots" in line


def test_a_missing_delta_jar_names_coordinate_and_log_file(run_python: type_of_run, tmp_path: Path) -> None:
    settings = tmp_path / "ivysettings.xml"
    settings.write_text(NO_MAVEN.format(folder=tmp_path / "empty"), encoding="utf-8")
    conf = {"spark.jars.ivy": str(tmp_path / "ivy"), "spark.jars.ivySettings": str(settings)}

    line = only_line(run_python(FAILING_START, str({"conf": conf})))

    assert f"[DELTA_JAR] Delta's jar '{delta_coordinate()}' is neither in the Ivy cache nor" in line
    assert "sparkscore doctor" in line
    assert "'log/spark.log'" in line
    assert "unresolved dependency: io.delta#" in (tmp_path / "log" / "spark.log").read_text(encoding="utf-8")


def test_spark_submit_keeps_its_master_and_must_bring_delta(run_python: type_of_run) -> None:
    submit = (sys.executable, "-m", "pyspark.find_spark_home")
    home = subprocess.run(submit, capture_output=True, text=True, check=True).stdout.strip()
    code = FAILING_START.replace("    local_session", "    session = local_session") + (
        "else:\n    print('master', session.sparkContext.master, session.conf.get('spark.sql.session.timeZone'))\n"
    )
    command = (f"{home}/bin/spark-submit", "--master", "local[1]")
    env = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}

    without = run_python(code, "{}", env=env, start=command)
    with_delta = run_python(code, "{}", env=env, start=(*command, "--packages", delta_coordinate()))

    assert "[DELTA_JAR]" in without.stdout
    assert f"spark-submit --packages {delta_coordinate()}" in without.stdout
    assert with_delta.stdout == "master local[1] UTC\n"


def test_without_pyspark_the_module_imports_and_says_what_to_install(run_python: type_of_run) -> None:
    line = only_line(run_python("import sys\nsys.modules['pyspark'] = None" + FAILING_START, "{}"))

    assert "[PYSPARK_MISSING]" in line
    assert "pip install 'sparkscore[local]'" in line


def test_a_log_file_that_cannot_be_written_is_refused(refused: dict[str, str]) -> None:
    assert refused["no log"].startswith("ConfigError [LOG_FILE] Spark's log file 'taken/spark.log' cannot be written")
