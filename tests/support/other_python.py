"""Make an environment of another Python with the locked packages of this one.

Run it with ``python -m tests.support.other_python VERSION FOLDER REQUIREMENTS``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path


def main(version: str, folder: Path, requirements: Path) -> None:
    """Make the environment, or make it again if it exists."""
    subprocess.run([_find(version), "-m", "venv", "--clear", folder], check=True)
    python = str(folder / "bin" / "python")
    locked = folder / "requirements.txt"
    locked.write_text(_without_pyspark(requirements.read_text(encoding="utf-8")), encoding="utf-8")
    options = ["--quiet", "--disable-pip-version-check", "--retries", "3", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([python, "-m", "pip", "install", *options, "--require-hashes", "-r", str(locked)], check=True)
    ours, theirs = Path(sysconfig.get_path("purelib")), folder / "lib" / f"python{version}" / "site-packages"
    # PySpark comes as source and is the same for each Python. The metadata of this package has its version.
    for package in (*ours.glob("pyspark*"), *ours.glob("sparkscore*.dist-info")):
        (theirs / package.name).symlink_to(package)
    (theirs / "sparkscore.pth").write_text(f"{Path.cwd()}\n", encoding="utf-8")


def _find(version: str) -> str:
    """Return the path of a Python that pyenv has installed, or that is on the ``PATH``."""
    of_pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    found = str(of_pyenv[-1]) if of_pyenv else shutil.which(f"python{version}")
    if found is None:
        sys.exit(f"There is no Python {version}, neither of pyenv nor on the PATH.")
    return found


def _without_pyspark(locked: str) -> str:
    """Leave out the entry of PySpark: its line, and the lines of its hashes, which are indented."""
    return re.sub(r"^pyspark==.*\n(?:[ \t].*\n)*", "", locked, flags=re.MULTILINE)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
