from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparkscore.cli.streams import CarefulStream, exit_code_of

_COMMAND = [sys.executable, "-c", "from sparkscore.cli import main; main()", "--version"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it needs /dev/full")
def test_a_full_stdout_is_said_in_one_line_without_a_traceback() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(_COMMAND, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "warning the answer was not written to stdout: No space left on device\n"


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", ">&- 2>&- <&-", "2>&-", "2>/dev/full"])
def test_closed_streams_leave_no_traceback(closed: str) -> None:
    done = subprocess.run(["bash", "-c", f'"$@" {closed}', "-", *_COMMAND], capture_output=True, text=True, check=False)

    assert done.returncode == (0 if closed.startswith("2") else 1)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_run_that_is_published_has_not_failed_because_its_summary_was_lost() -> None:
    stdout = CarefulStream(sys.stdout, 1)
    stdout.lost = "No space left on device"

    assert [exit_code_of(code, "run", stdout) for code in (0, 1, 2)] == [0, 1, 2]
    assert [exit_code_of(code, "runs", stdout) for code in (0, 1, 2)] == [1, 1, 2]


def test_what_can_be_written_is(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="utf-8") as file:
        stream = CarefulStream(file, file.fileno())
        stream.write("text")
        stream.flush()

    assert (tmp_path / "out").read_text() == "text"
    assert (stream.lost, stream.name) == ("", str(tmp_path / "out"))


def test_a_reader_that_takes_only_the_first_rows_of_a_query_is_no_failure() -> None:
    stdout = CarefulStream(sys.stdout, 1)
    stdout.lost = os.strerror(errno.EPIPE)

    assert [exit_code_of(code, "sql", stdout) for code in (0, 1)] == [0, 1]
    assert exit_code_of(0, "runs", stdout) == 1
    stdout.lost = os.strerror(errno.ENOSPC)
    assert exit_code_of(0, "sql", stdout) == 1
