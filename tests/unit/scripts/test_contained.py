"""What is put back after a call of the user's code."""

from __future__ import annotations

import subprocess
import sys

import pytest

CALLS = """
import os, sys
from sparkscore.scripts.contained import Contained

contained = Contained()
for _ in range(2):
    with contained:
        os.close({closed}[0])
        [os.close(number) for number in {closed}[1:]]
    kept = open(sys.argv[1], "a+")
    assert kept.fileno() > 2, kept.fileno()
    os.write(1, b"printed")
    kept.write("ours")
    kept.flush()
with open(sys.argv[1]) as file:
    os._exit(0 if file.read() == "oursours" else 3)
"""


@pytest.mark.parametrize("closed", [[1], [2, 0, 1]], ids=str)
def test_a_standard_stream_that_was_closed_is_no_file_of_ours(closed: list[int], tmp_path: object) -> None:
    command = [sys.executable, "-c", CALLS.format(closed=closed), f"{tmp_path}/file"]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
