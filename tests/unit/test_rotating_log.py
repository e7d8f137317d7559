from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sparkscore import rotating_log
from sparkscore.rotating_log import PipedLog, copy_to_log, make_room, rotating_handler


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


def test_python_does_not_warn_of_a_log_that_outlives_it(tmp_path: Path) -> None:
    code = """
import subprocess, sys
from pathlib import Path
from sparkscore.rotating_log import PipedLog
log = PipedLog(Path(sys.argv[1]))
writer = subprocess.Popen(["sh", "-c", "sleep 1; echo said later"], stdout=log.pipe)
log.close()
writer.returncode = 0  # the writer is not the question here
"""
    command = [sys.executable, "-W", "default::ResourceWarning", "-c", code, str(tmp_path / "spark.log")]

    ended = subprocess.run(command, capture_output=True, text=True, check=True)

    assert ended.stderr == ""
    end = time.monotonic() + 30
    while "said later" not in kept(tmp_path / "spark.log") and time.monotonic() < end:
        time.sleep(0.05)
    assert kept(tmp_path / "spark.log") == "said later\n"


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


class Copied:
    """What `copy_to_log` makes of a stream, in this process; its own has no packages, and nothing to measure it."""

    def __init__(self, log: Path, most_bytes: int = 1000) -> None:
        self._log = log
        output, self.output = os.pipe()
        secrets, self.secrets = os.pipe()
        self._ends = output, secrets
        self._thread = threading.Thread(target=copy_to_log, args=(output, secrets, str(log), most_bytes))
        self._thread.start()

    def write(self, text: str) -> None:
        os.write(self.output, text.encode())
        time.sleep(0.05)  # so that each text is read alone

    def end(self) -> str:
        os.close(self.output)
        self._thread.join(30)
        for end in (*self._ends, self.secrets):
            os.close(end)
        return self._log.read_text()


def test_pieces_of_a_stream_are_appended_without_secrets(tmp_path: Path) -> None:
    copied = Copied(tmp_path / "log")
    for secret in ("correct-horse", "short", "\udcff", "\ud800"):
        os.write(copied.secrets, json.dumps(secret).encode() + b"\n")
    time.sleep(0.1)

    for piece in ("a corr", "ect-horse and sho", "rt, shorts ", "correct-", "hors"):
        copied.write(piece)

    assert copied.end() == "a *** and ***, shorts correct-hors"


def test_without_secrets_a_stream_is_copied_as_it_is(tmp_path: Path) -> None:
    copied = Copied(tmp_path / "log")
    copied.write("one ")
    copied.write("two")

    assert copied.end() == "one two"


def test_a_full_log_is_copied_aside(tmp_path: Path) -> None:
    copied = Copied(tmp_path / "log", most_bytes=10)
    copied.write("12345678")
    copied.write("abcdefgh")

    assert copied.end() == "abcdefgh"
    assert (tmp_path / "log.before").read_text() == "12345678"


def test_a_log_that_cannot_be_copied_aside_loses_its_lines_and_the_stream_goes_on(tmp_path: Path) -> None:
    (tmp_path / "log.before").mkdir()
    copied = Copied(tmp_path / "log", most_bytes=10)
    copied.write("12345678")
    copied.write("abcdefgh")
    copied.write("x")

    assert copied.end() == "x"
