from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparkscore import rotating_log
from sparkscore.rotating_log import PipedLog, make_room, rotating_handler


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(rotating_log, "MOST_BYTES", 200_000)
    return 200_000


def kept(log: Path) -> str:
    older = log.with_name(f"{log.name}.before")
    return (older.read_text() if older.exists() else "") + log.read_text()


def test_what_comes_through_the_pipe_is_appended_whole(tmp_path: Path) -> None:
    log = tmp_path / "spark.log"
    log.write_text("before\n")
    piped = PipedLog(log)

    subprocess.run([sys.executable, "-c", "print('é' * 1000)"], stdout=piped.pipe, check=True)
    piped.drain()

    assert log.read_text() == "before\n" + "é" * 1000 + "\n"
    assert [path.name for path in tmp_path.iterdir()] == ["spark.log"]


def test_a_flood_through_the_pipe_is_bounded_and_its_end_is_kept(tmp_path: Path, small: int) -> None:
    log = tmp_path / "spark.log"
    piped = PipedLog(log)

    flood = "for n in range(300_000): print(n)"
    subprocess.run([sys.executable, "-c", flood], stdout=piped.pipe, check=True)
    piped.drain()

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * small
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spark.log", "spark.log.before"]
    lines = kept(log).splitlines()
    assert lines[1:] == [str(n) for n in range(300_000 - len(lines) + 1, 300_000)]
    assert len(kept(log)) >= small / 2


def test_a_secret_that_is_known_is_masked_wherever_a_piece_of_the_stream_ends(tmp_path: Path) -> None:
    log = tmp_path / "spark.log"
    piped = PipedLog(log)
    piped.mask(["hunter2", "correct-horse-battery", "correct-horse", "ü\n'quoted'", "\udcff"])
    text = "a correct-horse-battery, hunter22 hunter2\nü\n'quoted' correct-horse. hunter2"
    for byte in text.encode():
        piped.pipe.write(bytes([byte]))
        piped.pipe.flush()
        time.sleep(0.002)
    piped.mask(["told later"])
    piped.pipe.write(b"\n" + b"told later" * 50_000)
    piped.drain()

    assert log.read_text() == "a ***, hunter22 ***\n*** ***. ***\n" + "***" * 50_000


def test_a_disk_that_takes_nothing_stops_nobody_who_writes() -> None:
    piped = PipedLog(Path("/dev/full"))

    ended = subprocess.run([sys.executable, "-c", "print('x' * 1_000_000)"], stdout=piped.pipe, check=False, timeout=30)
    piped.drain()

    assert ended.returncode == 0


def test_a_log_of_python_is_bounded_and_its_end_is_kept(tmp_path: Path, small: int) -> None:
    handler = rotating_handler(tmp_path / "run.log")
    for number in range(20_000):
        handler.handle(logging.makeLogRecord({"msg": f"\udcff line {number}"}))
    handler.close()

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * small
    assert kept(tmp_path / "run.log").endswith("line 19999\n")


def test_a_full_log_is_moved_aside_before_more_is_appended(tmp_path: Path, small: int) -> None:
    log = tmp_path / "sparkscore.log"
    make_room(log)
    log.write_text("x" * (small + 1))

    make_room(log)

    assert (log.stat().st_size, log.with_name("sparkscore.log.before").stat().st_size) == (0, small + 1)
