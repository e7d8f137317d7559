from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from sparkscore.spark.sent_folder import make_sent_folder

MAKE = """
import sys
from pathlib import Path
from sparkscore.spark.sent_folder import make_sent_folder
folder = make_sent_folder(Path(sys.argv[1]))
(folder / "model").write_text("weights")
print(folder, flush=True)
sys.stdin.read()
"""


def start(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_folders_of_killed_drivers_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    killed, left = start(tmp_path)
    running, used = start(tmp_path)
    foreign = tmp_path / "sparkscore-sent-foreign"
    foreign.mkdir()
    (foreign / "lock").touch()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert (left / "model").exists()

    own = make_sent_folder(tmp_path)

    assert not left.exists()
    assert (used / "model").exists()
    assert foreign.exists(), "it has no mark of sparkscore"
    assert own.is_dir()
    assert own.stat().st_mode & 0o077 == 0
    running.communicate()
    assert not used.exists(), "a driver that ends removes its folder"
