"""What is sent to the workers of a session, and when. The platform tests do the same with real clusters."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
from pyspark.errors import PySparkRuntimeError

from sparkscore.errors import ScoringError
from sparkscore.spark import shipping

ELSEWHERE = ["spark://host:7077", "yarn", "k8s://https://host", "local-cluster[2,1,1024]", ""]


class Session:
    """Notes what is sent, with its content, as a session of Spark does."""

    def __init__(self, master: str = "spark://host:7077") -> None:
        self.conf = {"spark.master": master}
        self.sent: list[tuple[str, str]] = []
        self.refusal: Exception | None = None

    def local(self, path: str) -> Path:
        return Path(path)

    def addArtifacts(self, path: str, *, pyfile: bool = False, file: bool = False) -> None:  # noqa: N802 - Spark's
        if self.refusal is not None:
            raise self.refusal
        assert self.local(path).is_file()
        self.sent.append((Path(path).name, "pyfile" if pyfile else "file" if file else ""))
        if pyfile:
            sys.path.insert(1, f"/driver/{Path(path).name}")


def writing(text: str = "model") -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "sent_folder", lambda: tmp_path)


@pytest.mark.parametrize("master", ["local", "local[2]", "local[*,4]"])
def test_workers_on_this_machine_get_nothing(master: str) -> None:
    spark: Any = Session(master)

    shipping.ship_package(spark)

    assert not shipping.has_other_hosts(spark)
    assert spark.sent == []


@pytest.mark.parametrize("master", ELSEWHERE)
def test_other_workers_get_the_package_once_per_session(master: str) -> None:
    first, second = Session(master), Session(master)
    sessions: list[Any] = [first, first, second]

    for spark in sessions:
        shipping.ship_package(spark)

    assert [kind for _, kind in first.sent] == ["pyfile"]
    assert second.sent == first.sent
    assert first.sent[0][0].startswith("sparkscore-")


def test_sessions_of_spark_connect_always_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "a#b %20"
    odd.mkdir()
    monkeypatch.setattr(shipping, "sent_folder", lambda: odd)
    shipping._packed_package.cache_clear()

    class Remote(Session):
        def local(self, path: str) -> Path:
            assert urlparse(path).scheme == "file"
            return Path(url2pathname(urlparse(path).path))

    Remote.__module__ = "pyspark.sql.connect.session"
    spark: Any = Remote("local[2]")

    shipping.ship_package(spark)
    shipping.ship_file(spark, "model-1", "model 'm'", writing())

    assert [kind for _, kind in spark.sent] == ["pyfile", "file"]
    assert not (odd / "model-1").exists(), "the server has a copy"


def test_the_drivers_own_import_path_stays_as_it_is() -> None:
    before = list(sys.path)

    shipping.ship_package(Session())  # type: ignore[arg-type]

    assert sys.path == before


def test_a_file_is_written_and_sent_once_per_session_and_stays_for_later_executors(tmp_path: Path) -> None:
    first, second = Session(), Session()
    sessions: list[Any] = [first, first, second]
    written: list[Path] = []

    def write(path: Path) -> None:
        written.append(path)
        path.write_text("model")

    for spark in sessions:
        shipping.ship_file(spark, "model-1", "model 'm'", write)

    assert first.sent == second.sent == [("model-1", "file")]
    assert len(written) == 1
    assert (tmp_path / "model-1").read_text() == "model"


def test_what_cannot_be_written_or_sent_is_named_and_tried_again() -> None:
    spark: Any = Session()

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ScoringError, match=r"\[NOT_SENT\] model 'm' cannot be sent.*No space left.*TMPDIR"):
        shipping.ship_file(spark, "model-1", "model 'm'", full)
    spark.refusal = PySparkRuntimeError(errorClass="DUPLICATED_ARTIFACT", messageParameters={"normalized_path": "/x"})
    with pytest.raises(ScoringError, match=r"\[NOT_SENT\] sparkscore itself cannot be sent.*DUPLICATED_ARTIFACT"):
        shipping.ship_package(spark)
    spark.refusal = None
    shipping.ship_package(spark)
    shipping.ship_file(spark, "model-1", "model 'm'", writing())

    assert [kind for _, kind in spark.sent] == ["pyfile", "file"]
