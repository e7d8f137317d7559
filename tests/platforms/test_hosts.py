"""Hosts that lack something: a run is refused before anything is scored, and the advice in the message works.

Each run is one of the real command line, and each cluster a real one. Read what is published with other libraries.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from onnx import TensorProto, helper, save

import sparkscore
from tests.support.cluster import Cluster, standalone_cluster

MakeDeployment = Callable[..., Path]

SCRIPT: Final = "def run(batch): return [float(each) * 2 for each in batch['id']]"
OF_FILES: Final = "def run(files): return [len(open(each).read()) for each in files]"
SLOW: Final = """
    import time

    def run(batch):
        time.sleep(0.2)
        return [float(each) * 2 for each in batch["id"]]
"""
NOBODY: Final = 65534
ITEMS: Final = 400
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes of another user")


@dataclass(frozen=True)
class Places:
    """Folders of a test: all hosts see ``shared``, and ``own`` is hidden from some."""

    root: Path

    @property
    def shared(self) -> Path:
        return self.root / "shared"

    @property
    def own(self) -> Path:
        return self.root / "own"

    @property
    def logs(self) -> Path:
        return self.root / "cluster"


@dataclass(frozen=True)
class Ended:
    code: int
    text: str

    def refused(self, code: str, *words: str) -> str:
        """Check that the run was refused with a code, and return the message."""
        message = next((line for line in self.text.splitlines() if line.startswith("error ")), self.text)
        assert f"[{code}]" in message, self.text
        assert self.code in {1, 2}
        assert [word for word in words if word not in message] == [], message
        return message


@pytest.fixture
def places() -> Iterator[Places]:
    # Only the user of the tests may open pytest's own folders.
    places = Places(Path(tempfile.mkdtemp(prefix="sparkscore-hosts-")))
    for folder in (places.root, places.shared, places.own, places.logs):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    yield places
    shutil.rmtree(places.root)


def rows_in(folder: Path, mini_batches: int = 4) -> Path:
    rows = folder / "rows"
    rows.mkdir()
    share = ITEMS // mini_batches
    for number in range(mini_batches):
        ids = pa.array(range(number * share, (number + 1) * share), pa.int64())
        pq.write_table(pa.table({"id": ids}), rows / f"{number:03}.parquet")
    return rows


def files_in(folder: Path) -> Path:
    files = folder / "files"
    files.mkdir()
    for number in range(20):
        (files / f"{number:02}.txt").write_text("x" * number)
    return files


def start(
    master: str,
    *arguments: object,
    environment: Mapping[str, str] | None = None,
    conf: Mapping[str, str] | None = None,
    umask: int = -1,
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sparkscore", "run", *map(str, arguments), "--master", master]
    for key, value in {"spark.executor.memory": "600m", **(conf or {})}.items():
        command += ["--spark-conf", f"{key}={value}"]
    variables = {"PYSPARK_PYTHON": sys.executable, **os.environ, **(environment or {})}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables, umask=umask
    )


def ended(process: subprocess.Popen[str]) -> Ended:
    text, _ = process.communicate(timeout=600)
    return Ended(process.returncode, text)


def run(master: str, *arguments: object, environment: Mapping[str, str] | None = None, umask: int = -1) -> Ended:
    return ended(start(master, *arguments, environment=environment, umask=umask))


def published(output: Path, column: str = "id") -> list[object]:
    is_delta = (output / "_delta_log").exists()
    table = DeltaTable(str(output)).to_pyarrow_table() if is_delta else pq.read_table(output, partitioning=None)
    return sorted(table[column].to_pylist())


def in_mounts_of(cluster: Cluster, host: str, *command: object) -> str:
    """Run a command that sees what a worker sees."""
    enter = ["nsenter", "-m", "-t", str(cluster.hosts[host].pid), *map(str, command)]
    return subprocess.run(enter, capture_output=True, text=True, check=True).stdout


def written_there(cluster: Cluster, folder: Path) -> list[str]:
    """Return the files that workers have written into a hidden folder."""
    return [
        file for host in cluster.hosts for file in in_mounts_of(cluster, host, "find", folder, "-type", "f").split()
    ]


def mount(cluster: Cluster, folder: Path, *hosts: str) -> None:
    """Let workers see a folder that was hidden from them."""
    for host in hosts or cluster.hosts:
        in_mounts_of(cluster, host, "umount", folder)


def save_onnx(path: Path) -> Path:
    """Write a model that doubles the column 'id'."""
    x = helper.make_tensor_value_info("id", TensorProto.INT64, ["N", 1])
    y = helper.make_tensor_value_info("twice", TensorProto.INT64, ["N", 1])
    graph = helper.make_graph([helper.make_node("Add", ["id", "id"], ["twice"])], "g", [x], [y])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


@pytest.mark.short
@pytest.mark.parametrize("output_format", ["delta", "parquet"])
def test_a_hidden_output_is_refused_before_anything_is_scored_until_it_is_mounted(
    places: Places, make_deployment: MakeDeployment, output_format: str
) -> None:
    rows, output = rows_in(places.shared), places.own / "out"
    request = (make_deployment(SCRIPT), "--input", rows, "--output", output, "--output-format", output_format)
    with standalone_cluster(places.logs, hidden=[places.own]) as cluster:
        first = run(cluster, *request)
        left = written_there(cluster, places.own)
        mount(cluster, places.own)
        again = run(cluster, *request)

    message = first.refused(
        "STAGE_NOT_SEEN", "worker '", "user '", "uid ", "Nothing was scored.", "Mount its file system"
    )
    assert f"'{output}/_sparkscore/run-" in message
    assert left == []
    assert again.code == 0, again.text
    assert published(output) == list(range(ITEMS))


def test_an_output_that_is_hidden_from_one_of_two_workers_is_refused_until_another_stage_and_output_is_named(
    places: Places, make_deployment: MakeDeployment
) -> None:
    rows, deployment = rows_in(places.shared), make_deployment(SCRIPT)
    with standalone_cluster(places.logs, hidden=[places.own]) as cluster:
        mount(cluster, places.own, "127.0.0.2")
        first = run(cluster, deployment, "--input", rows, "--output", places.own / "out")
        staged_elsewhere = run(
            cluster,
            deployment,
            "--input",
            rows,
            "--output",
            places.own / "new",
            "--set",
            f"output.stage={places.shared}",
        )
        left = written_there(cluster, places.own)
        again = run(cluster, deployment, "--input", rows, "--output", places.shared / "out")

    first.refused("STAGE_NOT_SEEN", "Nothing was scored.")
    staged_elsewhere.refused("STAGE_NOT_SEEN", "Nothing was scored.")
    assert left == []
    assert again.code == 0, again.text
    assert published(places.shared / "out") == list(range(ITEMS))


def test_a_model_in_the_cache_of_the_workers_scores_nothing_for_an_output_that_they_do_not_see(places: Places) -> None:
    rows, model = rows_in(places.shared), save_onnx(places.shared / "twice.onnx")
    request = ("--model", model, "--input", rows)
    with standalone_cluster(places.logs, hidden=[places.own]) as cluster:
        cached = run(cluster, *request, "--output", places.shared / "out")
        refused = run(cluster, *request, "--output", places.own / "out")
        left = written_there(cluster, places.own)

    assert cached.code == 0, cached.text
    refused.refused("STAGE_NOT_SEEN", "Nothing was scored.")
    assert left == []


@pytest.mark.parametrize("item", ["rows", "files"])
def test_a_hidden_input_is_refused_until_it_is_mounted(
    places: Places, make_deployment: MakeDeployment, item: str
) -> None:
    inputs, script = (rows_in(places.own), SCRIPT) if item == "rows" else (files_in(places.own), OF_FILES)
    output = places.shared / "out"
    request = (make_deployment(script), "--input", inputs, "--output", output)
    with standalone_cluster(places.logs, hidden=[places.own]) as cluster:
        first = run(cluster, *request)
        mount(cluster, places.own)
        again = run(cluster, *request)

    message = first.refused("INPUT_NOT_SEEN", f"'{inputs}/", "which the driver sees", "Mount its folder")
    assert "Correct the script" not in message
    assert "Repair" not in message
    assert again.code == 0, again.text
    assert published(output, "id" if item == "rows" else "prediction") == list(range(ITEMS if item == "rows" else 20))


def python_of_all(places: Places) -> dict[str, str]:
    """Return the variable with a Python that all users can execute, and that has the packages of this one."""
    version = f"python3.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        with suppress(OSError):
            if subprocess.run([python, "-c", ""], user=NOBODY, cwd="/", check=False).returncode == 0:
                break
    else:
        pytest.skip(f"{version} is only in folders of one user")
    folders = ":".join([str(Path(sparkscore.__file__).parents[1]), sysconfig.get_path("purelib")])
    wrapper = places.root / "python"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={folders}:$PYTHONPATH exec {python} "$@"\n')
    wrapper.chmod(0o755)
    return {"PYSPARK_PYTHON": str(wrapper)}


@needs_root
def test_a_stage_of_another_user_is_refused_until_that_user_may_write(
    places: Places, make_deployment: MakeDeployment
) -> None:
    rows, output = rows_in(places.shared), places.shared / "out"
    request = (make_deployment(SCRIPT), "--input", rows, "--output", output)
    with standalone_cluster(places.logs, user=NOBODY) as cluster:
        first = run(cluster, *request, environment=python_of_all(places))
        os.chown(places.shared, -1, NOBODY)
        places.shared.chmod(0o2775)
        in_one_group = run(cluster, *request, environment=python_of_all(places), umask=0o002)
    (places.root / "again").mkdir()
    with standalone_cluster(places.root / "again") as cluster:
        as_one_user = run(cluster, *request, "--mode", "overwrite")

    advice = ("Start Spark's workers as the user of the driver", "chmod 2775", "umask 002")
    first.refused("STAGE_NOT_WRITABLE", f"uid {NOBODY}", "Permission denied", *advice)
    assert in_one_group.code == 0, in_one_group.text
    assert as_one_user.code == 0, as_one_user.text
    assert published(output) == list(range(ITEMS))


@needs_root
def test_an_input_that_the_user_of_the_workers_may_not_read_is_refused(
    places: Places, make_deployment: MakeDeployment
) -> None:
    files = files_in(places.shared)
    files.chmod(0o700)
    output = places.shared / "out"
    output.mkdir()
    output.chmod(0o777)
    with standalone_cluster(places.logs, user=NOBODY) as cluster:
        request = ("--input", files, "--output", output, "--mode", "append")
        first = run(cluster, make_deployment(OF_FILES), *request, environment=python_of_all(places), umask=0)

    message = first.refused("INPUT_NOT_SEEN", f"uid {NOBODY}", "Permission denied", "chmod -R a+rX")
    advice = re.search(r"chmod (-R a\+rX) '([^']+)'", message)
    assert advice is not None
    assert Path(advice[2]) == files


@needs_root
def test_a_python_that_the_user_of_the_workers_cannot_execute_is_named(
    places: Places, make_deployment: MakeDeployment
) -> None:
    python = places.root / "home" / "python"
    python.parent.mkdir(mode=0o700)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with standalone_cluster(places.logs, user=NOBODY) as cluster:
        first = run(
            cluster,
            make_deployment(SCRIPT),
            *("--input", rows_in(places.shared), "--output", places.shared / "out"),
            environment={"PYSPARK_PYTHON": str(python)},
        )

    first.refused("WORKER_PYTHON", f"'{python}'", "127.0.0.", "Permission denied", "PYSPARK_PYTHON")


def other_python() -> str | None:
    """Return a Python of another version on this machine, or None if there is none."""
    found = [shutil.which(f"python3.{minor}") for minor in range(10, 15)]
    found += [str(each) for each in Path(sys.base_prefix).parent.glob("3.1[0-9]*/bin/python3")]
    ours = f"3.{sys.version_info.minor}"
    others = [each for each in found if each and version_of(each) != ours]
    return others[-1] if others else None


def version_of(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def test_a_python_of_another_version_is_named(places: Places, make_deployment: MakeDeployment) -> None:
    python = other_python()
    if python is None:
        pytest.skip("this machine has no other version of Python")
    with standalone_cluster(places.logs) as cluster:
        first = run(
            cluster,
            make_deployment(SCRIPT),
            *("--input", rows_in(places.shared), "--output", places.shared / "out"),
            environment={"PYSPARK_PYTHON": python},
        )

    first.refused("WORKER_PYTHON", f"Python {version_of(python)}", "PYSPARK_PYTHON")


# A worker's Python that refuses to import sparkscore, from wherever it comes.
WITHOUT: Final = """
    import sys

    class Refusing:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "sparkscore":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Refusing())
"""
# A worker's Python that has imported another sparkscore before Spark adds its own files to the path.
OTHER: Final = """
    import sys

    sys.path.insert(0, {folder!r})
    import sparkscore
"""


@pytest.mark.parametrize("lacking", ["nothing", "sparkscore", "another version"])
def test_a_worker_without_this_sparkscore_is_refused(
    places: Places, make_deployment: MakeDeployment, lacking: str
) -> None:
    other = places.root / "other"
    shutil.copytree(
        Path(sparkscore.__file__).parent, other / "sparkscore", ignore=shutil.ignore_patterns("__pycache__")
    )
    changed = other / "sparkscore" / "tolerance.py"
    changed.write_text(changed.read_text() + "# changed\n")
    start_up = {"nothing": "", "sparkscore": WITHOUT, "another version": OTHER.format(folder=str(other))}[lacking]
    python = places.root / "python"
    (places.root / "site").mkdir()
    (places.root / "site" / "sitecustomize.py").write_text(textwrap.dedent(start_up))
    python.write_text(f'#!/bin/sh\nPYTHONPATH={places.root}/site:$PYTHONPATH exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    output = places.shared / "out"
    with standalone_cluster(places.logs) as cluster:
        first = run(
            cluster,
            make_deployment(SCRIPT),
            *("--input", rows_in(places.shared), "--output", output),
            environment={"PYSPARK_PYTHON": str(python)},
        )

    if lacking == "nothing":
        assert first.code == 0, first.text
    else:
        got = "no module 'sparkscore" if lacking == "sparkscore" else f"in '{other}/sparkscore'"
        advice = "-m pip install 'sparkscore==" if lacking == "sparkscore" else "the driver's copy of sparkscore"
        first.refused("PACKAGE_MISSING", got, advice, "PYSPARK_PYTHON")
        assert not output.exists()


def test_a_worker_that_is_killed_with_its_host_in_mid_run_costs_no_row(
    places: Places, make_deployment: MakeDeployment
) -> None:
    rows, output, stage = rows_in(places.shared, 40), places.shared / "out", places.shared / "stage"
    deployment = make_deployment(SLOW, settings={"mini_batch_size": 10})
    with standalone_cluster(places.logs) as cluster:
        conf = {"spark.sql.files.maxPartitionBytes": "2000"}
        process = start(
            cluster, deployment, "--input", rows, "--output", output, "--set", f"output.stage={stage}", conf=conf
        )
        while process.poll() is None and not any(stage.glob("*/progress/*")):
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.killpg(cluster.hosts["127.0.0.2"].pid, SIGKILL)
        done = ended(process)

    assert done.code == 0, done.text
    assert published(output) == list(range(ITEMS))


# Two runs in one application, between which the folder is hidden from one worker: the small job is not repeated.
TWICE: Final = """
    import sys, time, sparkscore
    master, deployment, rows, root = sys.argv[1:]
    conf = {"spark.executor.memory": "600m", "spark.excludeOnFailure.enabled": "true",
            "spark.excludeOnFailure.task.maxTaskAttemptsPerExecutor": "1"}
    spark = sparkscore.local_session(master=master, conf=conf)
    jobs = lambda: max(spark.sparkContext.statusTracker().getJobIdsForGroup(None), default=-1) + 1
    for number in range(3):
        before, began = jobs(), time.monotonic()
        output = {"output": f"{root}/out", "output_format": "parquet", "mode": "append"}
        sparkscore.score(spark, deployment, input=rows, **output)
        print("done", number, jobs() - before, round(time.monotonic() - began, 2), flush=True)
        if number:
            input()
"""


def test_a_worker_process_proves_itself_again_in_each_run_of_an_application(
    places: Places, make_deployment: MakeDeployment
) -> None:
    rows, deployment = rows_in(places.shared), make_deployment(SCRIPT)
    variables = {"PYSPARK_PYTHON": sys.executable, **os.environ}
    with standalone_cluster(places.logs, hidden=[places.own]) as cluster:
        mount(cluster, places.own)
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(TWICE), cluster, str(deployment), str(rows), str(places.own)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=variables,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        jobs = [int(process.stdout.readline().split()[2]) for _ in range(2)]
        in_mounts_of(cluster, "127.0.0.3", "mount", "-t", "tmpfs", "none", places.own)
        process.stdin.write("\n")
        process.stdin.flush()
        third = process.stdout.readline()
        left = in_mounts_of(cluster, "127.0.0.3", "find", places.own, "-type", "f")
        process.communicate("\n", timeout=60)

    # The first run has one job more than the second.
    assert jobs[0] == jobs[1] + 1
    assert third.startswith("done 2"), third
    assert left == ""
    assert published(places.own / "out") == sorted([*range(ITEMS)] * 3)
