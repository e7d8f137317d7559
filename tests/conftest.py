from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import yaml

from sparkscore.spark.session import local_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# No deadline: the same example takes ten times as long while Spark works beside it. CI tries the same examples each
# time, so that a change fails for what it did; at everybody's desk they are new ones.
hypothesis.settings.register_profile("sparkscore", deadline=None, print_blob=True, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("sparkscore")
# Most JVMs of these tests, subprocesses too, live for seconds: their second compiler never pays. Without it, Java
# reserves only 48 MB for compiled code. The tests of one session need more, and Java would throw code away and compile
# it again.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m")
# With the archive of Spark's classes that `make` makes, the start of a driver's JVM costs half.
if (archive := Path(__file__).parents[1] / ".make" / "spark.jsa").exists():
    os.environ.setdefault("SPARK_SUBMIT_OPTS", f'-XX:SharedArchiveFile="{archive}" -Xlog:disable')
# An archive that the developer has made for commands is not used by tests.
os.environ.setdefault("SPARKSCORE_CLASS_ARCHIVE", "off")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    folder = tmp_path_factory.mktemp("spark")
    session = local_session(
        master="local[2,4]",
        app_name="sparkscore-tests",
        conf={"spark.sql.shuffle.partitions": "2", "spark.sql.warehouse.dir": str(folder / "warehouse")},
        log_file=folder / "spark.log",
    )
    yield session
    session.stop()


@pytest.fixture
def make_deployment(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a deployment with a scoring script into a new folder and returns its path."""

    def make(script: str, name: str = "deployment", **sections: object) -> Path:
        folder = tmp_path / name
        (folder / "code").mkdir(parents=True)
        (folder / "code" / "score.py").write_text(textwrap.dedent(script), encoding="utf-8")
        code = {"code": "code", "scoring_script": "score.py"}
        content = {"name": name, "code_configuration": code, **sections}
        (folder / "deployment.yml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return folder / "deployment.yml"

    return make


@pytest.fixture(scope="session", autouse=True)
def _templates_serve_several_tests() -> Iterator[None]:
    """Ignore variables that differ from test to test, so that one template process serves all tests of a session."""
    from sparkscore.worker.child import template  # noqa: PLC0415 - imports pandas

    environment = template._environment
    of_a_test = {"PYTEST_CURRENT_TEST", "SPARKSCORE_RUNS"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            template, "_environment", lambda: {k: v for k, v in environment().items() if k not in of_a_test}
        )
        yield


@pytest.fixture(autouse=True)
def _runs_in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARKSCORE_RUNS", str(tmp_path / "runs"))
